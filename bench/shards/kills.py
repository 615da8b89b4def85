"""Kills shards at random moments and looks what is left.

Over and over a plate is predicted by shards of which several run at once; each is killed at a random
moment, some of them many times, and given again until it ends by itself. Then the tables are joined,
and every file has to be what one run leaves. Only the standard library is needed:

    python3 bench/shards/kills.py target/release/stainfree --kills 1000

A simulated plate and a small model are made first, in a temporary folder.
"""

import argparse
import csv
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def tree(folder):
    """Files by name, without the seconds that fields took.

    Left out are the tables of shards, and unfinished files of those that were killed, which nobody
    reads and the next writer of the file uses up (docs/reliability.md).
    """
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        unfinished = path.name.startswith(".") and path.name.endswith(".part")
        if not path.is_file() or name.startswith("shards/") or unfinished:
            continue
        if name == "predictions.csv":
            with path.open() as table:
                rows = [dict(row, seconds="") for row in csv.DictReader(table)]
            names = [row["name"] for row in rows]
            assert len(names) == len(set(names)), f"a field stands twice: {names}"
            found[name] = rows
        else:
            found[name] = path.read_bytes()
    return found


COMMANDS = ["prepare", "predict", "segment", "measure"]


class Work:
    """A folder with a plate, a model and what one run makes of them."""

    def __init__(self, program, folder, seed):
        self.program, self.folder = str(program), pathlib.Path(folder)
        self.random = random.Random(seed)
        self.kills = self.rounds = self.runs = 0

    def command(self, *args):
        return [self.program, *map(str, args), "--threads", "1"]

    def run(self, *args, codes=(0,)):
        ended = subprocess.run(
            self.command(*args), cwd=self.folder, capture_output=True, text=True, check=False
        )
        if ended.returncode not in codes:
            sys.exit(f"{args}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
        return ended

    def begin(self):
        self.run("simulate", "--out", "sim", "--wells", 4, "--sites", 3, "--side", 256,
                 "--planes", 1)
        self.run("new", "sim/plate", "--out", "study")
        shutil.copytree(self.folder / "study", self.folder / "unprepared")
        self.run("prepare", "study")
        self.run("train", "study", "--encoder", "vgg16", "--width", 0.0625, "--crop", 64,
                 "--batch", 2, "--steps", 4)
        begun = time.monotonic()
        self.run(*self.args("predict", "one"))
        self.takes = time.monotonic() - begun
        for command in COMMANDS:
            self.fresh(command, f"one-{command}")
            self.run(*self.args(command, f"one-{command}"))
        self.one = {command: tree(self.folder / f"one-{command}") for command in COMMANDS}

    def fresh(self, command, out):
        """The folder as it is before the command."""
        shutil.rmtree(self.folder / out, ignore_errors=True)
        if command == "prepare":
            shutil.copytree(self.folder / "unprepared", self.folder / out)
        if command == "measure":
            (self.folder / out).mkdir()

    def args(self, command, out):
        return {
            "prepare": ["prepare", out],
            "predict": ["predict", "study", "sim/plate", "--out", out],
            "segment": ["segment", "sim/plate", "--out", out],
            "measure": ["measure", "--labels", "one-segment", "--images", "sim/plate", "--out",
                        f"{out}/cells.csv", "--wells", f"{out}/wells.csv"],
        }[command]

    def one_round(self, most):
        """One result by two to four shards, disturbed."""
        command = self.random.choice(COMMANDS)
        out = f"many-{command}"
        self.fresh(command, out)
        args = self.args(command, out)
        count = self.random.randint(2, 4)
        left = {index: self.random.randint(0, 4) for index in range(1, count + 1)}
        running = {}
        while left or running:
            for index in sorted(left):
                if index not in running and len(running) < 2:
                    process = subprocess.Popen(
                        self.command(*args, "--shard", f"{index}/{count}"), cwd=self.folder,
                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                    )
                    share = self.takes / count * self.random.uniform(0.05, 1.2)
                    due = time.monotonic() + share if left[index] and self.kills < most else None
                    running[index] = (process, due)
                    self.runs += 1
            time.sleep(0.002)
            for index, (process, due) in list(running.items()):
                code = process.poll()
                if code is None and due is not None and time.monotonic() >= due:
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                    if process.returncode == -signal.SIGKILL:
                        self.kills += 1
                    left[index] -= 1
                    del running[index]
                elif code is not None:
                    said = process.communicate()[1]
                    if code != 0:
                        sys.exit(f"shard {index}/{count} of {command}: exit code {code}\n{said}")
                    del running[index], left[index]
            joined_whole = command in ("prepare", "measure")
            is_begun = (self.folder / out / "shards").is_dir()
            if not joined_whole and is_begun and self.random.random() < 0.02:
                # Anyone may join at any time, also before there is anything.
                self.run("merge", out, codes=(0, 1, 2, 3))
        counts = json.loads(self.run("status", out, "--json", "-").stdout)
        assert counts["done"] == counts["units"] and not counts["missing"], counts
        self.run("merge", out)
        found = tree(self.folder / out)
        one = self.one[command]
        odd = sorted(n for n in one.keys() | found.keys() if one.get(n) != found.get(n))
        assert not odd, f"round {self.rounds}, {command}: {odd[:5]}"
        self.rounds += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9, help="end after so long")
    args = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stainfree-kills-") as folder:
        work = Work(args.program.resolve(), folder, args.seed)
        work.begin()
        while work.kills < args.kills and time.monotonic() - begun < 60 * args.minutes:
            work.one_round(args.kills)
    print(
        f"{work.kills} kills in {work.rounds} results of {work.runs} runs, "
        f"{time.monotonic() - begun:.0f} s: every file is that of one undisturbed run"
    )


if __name__ == "__main__":
    main()
