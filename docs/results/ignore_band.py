"""Pools the scores of ignore_band.sh over folds and seeds, and draws fields to compare both bands: ignore_band.py OUT."""

import json
import random
import re
import sys
from pathlib import Path

out = Path(sys.argv[1])
runs = {}  # band -> (field, seed) -> counts
for path in sorted(out.glob("labels-*/models/*/scores.json")):
    band, seed = re.match(r"(none|default)-.*-s(\d+)-", path.parent.name).groups()
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


def difference(keys):
    """The default band's scores minus those without, on the same fields and seeds."""
    default, none = (pooled([runs[band][key] for key in keys]) for band in ("default", "none"))
    return [a - b for a, b in zip(default, none)]


for band, by_field in runs.items():
    f1, objects, count = pooled(by_field.values())
    print(f"{band}: nucleus F1 {f1:.3f}, objects {objects:.3f}, count {100 * count:+.0f} %")

keys = sorted(runs["default"].keys() & runs["none"].keys())
fields = sorted({name for name, _ in keys})
draw = random.Random(1)
drawn = []
for _ in range(2000):
    names = draw.choices(fields, k=len(fields))
    drawn.append(difference([key for name in names for key in keys if key[0] == name]))
mean = difference(keys)
for i, what in enumerate(("nucleus F1", "objects")):
    low, high = interval([values[i] for values in drawn])
    print(f"default - none, {what}: {100 * mean[i]:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})")
