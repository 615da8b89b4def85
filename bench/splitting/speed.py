#!/usr/bin/env python3
"""Truth of one 2160 x 2160 field with two stains, splitting included: this program beside scikit-image / scipy.

  speed.py TRUTH_SPEED CLASSIC_SPEED.py [--repeat 5] [--rounds 3]

TRUTH_SPEED is target/release/examples/truth_speed, CLASSIC_SPEED.py is ../shared/peers/classic_speed.py, which makes
the field and times the same steps with the cheap background on block means. Both run in turns, `--rounds` times;
the least CPU time of each counts. Prints one Markdown table.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

PIXEL_UM = "0.5"


def last_line(command):
    done = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", type=pathlib.Path)
    p.add_argument("classic", type=pathlib.Path)
    p.add_argument("--repeat", type=int, default=5)
    p.add_argument("--rounds", type=int, default=3)
    args = p.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds):
            peer = last_line([sys.executable, args.classic, "--repeat", args.repeat, "--save", folder])
            rows.setdefault("scikit-image / scipy, one core", []).append((peer["truth_total_cheap_background"]["cpu_s"], peer["truth_total_cheap_background"]["wall_s"], None))
            for threads in (1, 2):
                ours = last_line([args.program, f"{folder}/nucleus.tif", f"{folder}/cell.tif", PIXEL_UM, args.repeat, threads])
                rows.setdefault(f"stainfree, {threads} thread{'s'[: threads - 1]}", []).append((ours["cpu_seconds"], ours["seconds"], ours["bytes_per_pixel"]))
    print("| | CPU s | wall s | bytes per pixel beyond the images |")
    print("|---|---|---|---|")
    for name, runs in rows.items():
        cpu, wall = (min(r[i] for r in runs) for i in (0, 1))
        memory = f"{max(r[2] for r in runs):.0f}" if runs[0][2] is not None else "-"
        print(f"| {name} | {cpu:.2f} | {wall:.2f} | {memory} |")


if __name__ == "__main__":
    main()
