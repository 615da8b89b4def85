#!/usr/bin/env python3
"""Shows that two builds of stainfree give the same bytes: for changes that must change no result.

    python3 bench/same/same.py keep PROGRAM hashes.json    # runs the journey, keeps a hash a file
    python3 bench/same/same.py check PROGRAM hashes.json   # runs it again, says which files differ
    python3 bench/same/same.py check PROGRAM hashes.json --allow 'model.toml: graph = '

The journey: a plate is simulated; a study is made, prepared, trained with every encoder for a few
steps, evaluated, predicted, measured and reported; images are segmented. What says how long
something took is left out, as are the lines that --allow names (FILE: TEXT, given again for more).
Python's standard library is all it needs. Both programs must run on the same kind of processor.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TINY = ["--width", "0.0625", "--crop", "64", "--batch", "2", "--steps", "6", "--resume"]
ENCODERS = ["vgg16", "mobilenet-v2", "efficientnet-b4"]


def journey():
    """The commands, in order; each runs in the same folder."""
    yield ["simulate", "--out", "plate", "--wells", "3", "--sites", "2", "--side", "192", "--seed", "5"]
    yield ["simulate", "--out", "other", "--wells", "1", "--sites", "2", "--side", "160", "--seed", "6"]
    yield ["inspect", "plate", "--json", "inspect.json"]
    yield ["new", "study", "--images", "plate"]
    yield ["prepare", "study", "--json", "prepare.json"]
    for encoder in ENCODERS:
        yield ["train", "study", "--name", encoder, "--encoder", encoder, *TINY]
        yield ["evaluate", "study", "--model", encoder, "--json", f"evaluate-{encoder}.json"]
        yield ["predict", f"study/models/{encoder}", "other", "--out", f"predicted-{encoder}", "--probabilities"]
    yield ["predict", "study/models/vgg16", "other", "--out", "flips", "--flips", "--overlay"]
    yield ["predict", "study/models/vgg16", "other", "--out", "tiles", "--memory", "200MiB"]
    yield ["predict", "study/models/vgg16", "other", "--out", "bf16", "--precision", "bf16"]
    yield ["train", "study", "--name", "heir", "--weights", "study/models/vgg16", "--encoder", "vgg16", *TINY]
    yield ["segment", "plate", "--out", "segmented"]
    yield ["compare", "--labels", "study/truth/nuclei", "--corrected", "segmented", "--json", "compare.json"]
    yield ["measure", "predicted-vgg16", "--images", "other", "--out", "objects.csv"]
    yield ["report", "study", "--model", "vgg16"]


def without_times(name, data):
    """The file without what legitimately differs between two runs."""
    if name in ("predictions.csv", "results.csv"):
        rows = [line.split(",") for line in data.decode().splitlines()]
        drop = [i for i, head in enumerate(rows[0]) if head == "seconds"]
        kept = [",".join(c for i, c in enumerate(row) if i not in drop) for row in rows]
        return "\n".join(kept).encode()
    if name.endswith((".json", ".jsonl", ".toml", ".html")):
        text = data.decode()
        for key in ('"seconds":', '"waiting":', "seconds = ", "seconds_per_field"):
            text = re.sub(re.escape(key) + r"\s*[0-9.eE+-]+", key, text)
        text = re.sub(r"steps in [0-9.]+ (s|min|h)\b", "steps", text)
        return text.encode()
    if name == "checkpoint.safetensors":
        length = int.from_bytes(data[:8], "little")
        head = data[8 : 8 + length]
        for key in (rb'\\\\\\"seconds\\\\\\":', rb'\\\\\\"log_bytes\\\\\\":'):
            head = re.sub(key + rb"[0-9.eE+-]+", key, head)
        head = re.sub(rb'\\"(seconds|log_bytes)\\":[0-9.eE+-]+', rb"\1", head)
        return head.rstrip() + data[8 + length :]
    return data


def files(folder):
    """Relative path -> bytes of every file that is compared."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and ".stainfree-" not in path.name and ".part" not in path.name:
            name = str(path.relative_to(folder))
            found[name] = without_times(path.name, path.read_bytes())
    return found


def run(program, folder):
    """Runs the journey in `folder`; what the commands print is compared as well."""
    said = {}
    for number, command in enumerate(journey()):
        done = subprocess.run(
            [program, *command, "--threads", "2"], cwd=folder, capture_output=True, text=True
        )
        words = " ".join(command)
        print(f"  {words}", file=sys.stderr)
        if done.returncode != 0:
            sys.exit(f"`{words}` failed ({done.returncode}): {done.stderr.strip()}")
        if command[0] == "simulate":
            # Keys of what was made hold the times of the images that it was made from.
            for path in (folder / command[2]).rglob("*"):
                os.utime(path, (1_700_000_000, 1_700_000_000))
        said[f"stdout of {number:02} {command[0]}"] = re.sub(
            r"[0-9.]+ (ms|s|min|h)\b", "TIME", done.stdout
        ).encode()
    return {**files(folder), **said}


def lines_of(data):
    """Hash of every line of a text; of the whole where it is none."""
    try:
        return [hashlib.sha256(line.encode()).hexdigest()[:16] for line in data.decode().splitlines()]
    except UnicodeDecodeError:
        return [hashlib.sha256(data).hexdigest()]


def allowed(name, data, rules):
    """The text without lines that may differ."""
    texts = [text for file, text in rules if re.search(file, name)]
    if not texts:
        return data
    kept = [l for l in data.decode().splitlines() if not any(text in l for text in texts)]
    return "\n".join(kept).encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["keep", "check"])
    parser.add_argument("program", type=Path)
    parser.add_argument("hashes", type=Path)
    parser.add_argument("--allow", action="append", default=[], metavar="FILE: TEXT")
    parser.add_argument("--keep-folder", type=Path, help="run there and leave the files")
    options = parser.parse_args()
    rules = [tuple(rule.split(": ", 1)) for rule in options.allow]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep_folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = run(options.program.resolve(), folder)
    hashes = {name: lines_of(allowed(name, data, rules)) for name, data in found.items()}
    if options.action == "keep":
        options.hashes.write_text(json.dumps(hashes, indent=0))
        print(f"{len(hashes)} files kept in {options.hashes}")
        return
    kept = json.loads(options.hashes.read_text())
    problems = [f"missing: {name}" for name in kept if name not in hashes]
    problems += [f"new: {name}" for name in hashes if name not in kept]
    for name in kept:
        if name in hashes and kept[name] != hashes[name]:
            pairs = zip(kept[name], hashes[name])
            first = next((i for i, (a, b) in enumerate(pairs) if a != b), "the end")
            problems.append(f"differs: {name} (first at line {first}, counted from 0)")
    print("\n".join(problems) or "no file differs")
    print(f"{len(hashes)} files, {len(problems)} differ")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
