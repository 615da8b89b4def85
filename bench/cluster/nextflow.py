#!/usr/bin/env python3
"""Runs the blocks of docs/cluster/nextflow without Nextflow, on a simulated plate.

    bench/cluster/nextflow.py [STAINFREE]

`script:` and `stub:` of every module are taken out of its main.nf, the few forms of Groovy in them
are put in, inputs are staged as links under the names that `stageAs` gives, and bash runs the block
as Nextflow does (-ue, in an empty folder). The order of main.nf is followed by hand: plates x
shards, joined, measured by shards, joined. Every file has to be that of one run of `predict` and of
`measure`, but for the column `seconds` and the folder `shards`. Whatever this reader does not know
in a module stops it, so that a change is seen here. Python 3.9, its standard library alone.
"""
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = HERE.parent.parent / "docs/cluster/nextflow/modules/local/stainfree"
SHARDS = 3


class Module:
    """One process: its inputs, its outputs, and its blocks."""

    def __init__(self, name):
        text = (MODULES / name / "main.nf").read_text()
        text = re.sub(r"^ *//.*\n", "", text, flags=re.M)
        self.process = re.search(r"^process (\w+) \{", text, re.M).group(1)
        parts = re.split(r"^    (input|output|when|script|stub):\n", text, flags=re.M)
        self.parts = dict(zip(parts[1::2], parts[2::2]))
        self.inputs = [element for line in self.parts["input"].splitlines() if line.strip()
                       for element in self.elements(line.strip())]
        self.outputs = re.findall(r'path\(?\s*"([^"]+)"', self.parts["output"])

    @staticmethod
    def elements(line):
        """Kind, name and `stageAs` of what a line of `input:` declares."""
        found = re.findall(r"(val|path)\((\w+)(?:, stageAs: '([^']+)')?\)", line)
        assert line.startswith("tuple ") and found, f"unknown input: {line}"
        return found

    def block(self, kind, known):
        """The block as bash gets it, and the names that it has made."""
        known = dict(known)
        code, _, rest = self.parts[kind].partition('"""\n')
        body = rest[:rest.rindex('"""')]
        for line in filter(None, map(str.strip, code.splitlines())):
            made = re.fullmatch(r"(?:def )?(\w+) = (.+)", line)
            assert made, f"unknown line: {line}"
            known[made.group(1)] = self.value(made.group(2), known)
        indent = min(len(line) - len(line.lstrip()) for line in body.splitlines() if line.strip())
        body = "".join(line[indent:] if line.strip() else "\n" for line in body.splitlines(True))
        return self.text(body, known), known

    def value(self, code, known):
        """A string, `NAME ?: STRING`, or `NAME ? STRING : STRING`."""
        if choice := re.fullmatch(r'([\w.]+) \?: (.+)', code):
            return known.get(choice.group(1)) or self.value(choice.group(2), known)
        if choice := re.fullmatch(r'(\w+) \? ("[^"]*") : (\'[^\']*\')', code):
            return self.value(choice.group(2 if known[choice.group(1)] else 3), known)
        if code[0] == code[-1] == "'":
            return code[1:-1]
        assert code[0] == code[-1] == '"', f"unknown value: {code}"
        return self.text(code[1:-1], known)

    @staticmethod
    def text(body, known):
        """A string of Groovy in double quotes."""
        def one(found):
            if found.group(1):
                return found.group(1)
            return str(known[found.group(2)])
        return re.sub(r"\\([\\$])|\$\{([\w.]+)\}", one, body)

    def run(self, folder, program, given, kind="script", args="", cpus=1):
        """Runs a block; `given` are the inputs in the order of main.nf. Returns the outputs."""
        known = {"task.process": self.process, "task.cpus": cpus, "task.ext.args": args}
        folder.mkdir(parents=True)
        assert len(given) == len(self.inputs), f"{self.process} has {len(self.inputs)} inputs"
        for (what, name, stage), value in zip(self.inputs, given):
            if what == "val":
                known[name] = value
                known.update({f"{name}.{key}": each for key, each in value.items()}
                             if isinstance(value, dict) else {})
                continue
            files = value if isinstance(value, list) else [value]
            names = []
            for number, file in enumerate(files, 1):
                # `?` counts files from 1, `*` is the name.
                link = Path(stage.replace("?", str(number)).replace("*", file.name))
                (folder / link).parent.mkdir(parents=True, exist_ok=True)
                (folder / link).symlink_to(file.resolve())
                names.append(str(link))
            known[name] = " ".join(names)
        script, known = self.block(kind, known)
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(["bash", "-ue", "-c", script], cwd=folder, text=True,
                              env={**os.environ, "PATH": path}, capture_output=True)
        if done.returncode:
            sys.exit(f"{self.process}, exit code {done.returncode}\n{script}\n{done.stdout}{done.stderr}")
        outputs = [folder / self.text(name, known) for name in self.outputs]
        for output in outputs:
            assert output.exists(), f"{self.process} has not made {output.name}"
        version = outputs[-1].read_text().split()
        assert version[:2] == [f'"{self.process}":', "stainfree:"], version
        assert re.fullmatch(r"\d+\.\d+\.\d+", version[2]), version
        return outputs[0]


def files(folder):
    """Bytes of all files of a result, but for what may differ."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name.startswith("shards/"):
            continue
        if name == "predictions.csv":
            with path.open(newline="") as table:
                found[name] = [{**row, "seconds": ""} for row in csv.DictReader(table)]
        else:
            found[name] = path.read_bytes()
    return found


def same(what, joined, one):
    left, right = files(joined), files(one)
    differ = [name for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name)]
    if differ:
        sys.exit(f"{what}: these differ from one run: {', '.join(differ)}")
    print(f"{what}: all {len(left)} files are those of one run")


def main():
    default = HERE.parent.parent / "target/release/stainfree"
    wanted = Path(sys.argv[1] if len(sys.argv) > 1 else default).resolve()
    work = Path(tempfile.mkdtemp(prefix="stainfree-nextflow."))
    try:
        # The blocks call `stainfree`, whatever the file is called.
        (work / "bin").mkdir()
        program = work / "bin/stainfree"
        program.symlink_to(wanted)

        def call(*words, cwd=work):
            subprocess.run([program, *words, "--quiet", "--threads", "1"], cwd=cwd, check=True,
                           stdout=subprocess.DEVNULL)

        small = ["--sites", "1", "--side", "256", "--planes", "1"]
        call("simulate", "stained", "--wells", "4", *small)
        for number in (1, 2):
            # The second plate has fewer fields than shards.
            call("simulate", f"sim{number}", "--wells", str(6 - 2 * number), "--unstained", "--seed", str(number), *small)
            (work / "plates").mkdir(exist_ok=True)
            shutil.move(work / f"sim{number}/plate", work / f"plates/plate{number}")
        call("new", "stained/plate", "--out", "study")
        call("prepare", "study")
        call("train", "study", "--encoder", "vgg16", "--width", "0.0625", "--crop", "64", "--batch", "2",
             "--steps", "4")
        model = work / "study/models/model"

        predict, merge, measure = Module("predict"), Module("merge"), Module("measure")
        shares = [f"{number}/{SHARDS}" for number in range(1, SHARDS + 1)]
        for plate in sorted((work / "plates").iterdir()):
            meta, tasks = {"id": plate.name}, work / "work" / plate.name
            parts = [predict.run(tasks / f"predict-{share[0]}", program,
                                 [meta, plate, share, {"id": "model"}, model], args="--overlay")
                     for share in shares]
            joined = merge.run(tasks / "join", program, [meta, parts])
            # One run without shards, by the block too: the paths in its table are then the same.
            one = predict.run(tasks / "one", program, [meta, plate, "", {"id": "model"}, model], args="--overlay")
            same(f"{plate.name}, predictions", joined, one)
            # And by hand, so that the block itself is compared with the plain command.
            by_hand = tasks / "by-hand"
            for name, target in ("images", plate), ("model", model):
                (by_hand / "staged" / name).mkdir(parents=True)
                (by_hand / "staged" / name / target.name).symlink_to(target)
            call("predict", f"staged/model/{model.name}", f"staged/images/{plate.name}", "--out", "result",
                 "--overlay", cwd=by_hand)
            same(f"{plate.name}, the plain command", one, by_hand / "result")

            rows = [measure.run(tasks / f"measure-{share[0]}", program, [meta, joined, plate, share])
                    for share in shares]
            tables = merge.run(tasks / "tables", program, [meta, rows])
            (by_hand / "tables").mkdir()
            call("measure", "result", "--images", plate, "--out", "tables/cells.csv", "--wells",
                 "tables/wells.csv", cwd=by_hand)
            same(f"{plate.name}, tables", tables, by_hand / "tables")

            # Stubs promise what scripts make.
            stub = predict.run(tasks / "stub-predict", program, [meta, plate, "1/2", {"id": "model"}, model], "stub")
            stub = merge.run(tasks / "stub-merge", program, [meta, [stub, stub]], "stub")
            stub = measure.run(tasks / "stub-measure", program, [meta, stub, plate, ""], "stub")
            assert (stub / "cells.csv").exists()
        print("stubs: all outputs were made")
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(work)


main()
