"""Pools the scores of ignore_band.sh over folds and seeds, and draws fields to compare the bands: ignore_band.py OUT."""

import json
import random
import re
import sys
from pathlib import Path

out = Path(sys.argv[1])
runs = {}  # band -> (field, seed) -> counts
for path in sorted(out.glob("labels-*/models/*/scores.json")):
    band, seed = re.match(r"(none|default|wide)-.*-s(\d+)-", path.parent.name).groups()
    for field in json.loads(path.read_text())["fields"]:
        pixels, objects = field["pixels"]["nucleus"], field["objects"]
        both = objects["truth"] + objects["prediction"]
        runs.setdefault(band, {})[field["name"], int(seed)] = (
            2 * pixels["tp"],
            2 * pixels["tp"] + pixels["fp"] + pixels["fn"],
            round((objects["f1_50"] or 0.0) * both),
            both,
            objects["truth"],
            objects["prediction"],
        )


def pooled(counts):
    """Nucleus F1, object F1 at 0.5, error of the count."""
    sums = [sum(column) for column in zip(*counts)]
    return sums[0] / sums[1], sums[2] / sums[3], sums[5] / sums[4] - 1


def interval(values):
    values = sorted(values)
    return values[len(values) * 25 // 1000], values[len(values) * 975 // 1000]


for band, by_field in runs.items():
    f1, objects, count = pooled(by_field.values())
    seeds = sorted({seed for _, seed in by_field})
    print(f"{band}: nucleus F1 {f1:.3f}, objects {objects:.3f}, count {100 * count:+.0f} %, seeds {seeds}")
draw = random.Random(1)
for band in (name for name in runs if name != "none"):
    # The same fields and seeds of both, drawn by field.
    shared = sorted(set(runs[band]) & set(runs["none"]))
    fields = sorted({name for name, _ in shared})
    difference = lambda keys: [
        a - b for a, b in zip(pooled([runs[band][k] for k in keys]), pooled([runs["none"][k] for k in keys]))
    ]
    drawn = []
    for _ in range(2000):
        names = draw.choices(fields, k=len(fields))
        drawn.append(difference([key for name in names for key in shared if key[0] == name]))
    mean = difference(shared)
    for i, what in enumerate(("nucleus F1", "objects")):
        low, high = interval([d[i] for d in drawn])
        print(f"{band} - none, {what}: {100 * mean[i]:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})")
