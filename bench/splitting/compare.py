#!/usr/bin/env python3
"""`stainfree segment` with its defaults against scikit-image's plain way on bbbc038-u2os, both scored here.

  compare.py STAINFREE [--data ../shared/data/bbbc038-u2os] [--resamples 2000] [--splitting NAME ..] [--pictures DIR]

STAINFREE is the program (target/release/stainfree). Prints Markdown tables: all 48 fields, the half on
which choices were made (every second field by name, from the first), the held-out half, and the groups;
95 % bootstrap intervals over fields. `--splitting` adds rows for other methods, `--pictures` writes sheets
of clusters that came apart rightly and wrongly.
"""

import argparse
import csv
import pathlib
import subprocess
import tempfile

import numpy as np
from skimage.io import imread, imsave
from skimage.segmentation import find_boundaries
import tifffile

import judge
import plain

COLUMNS = {"pixel F1": "pixel F1", "object F1 0.5": "object F1 at 0.5", "object F1 0.7": "at 0.7", "singles": "singles",
           "clusters 2": "clusters of 2", "clusters 3": "of 3", "clusters 4": "of 4", "clusters 4+": "of 4 and more",
           "missed cuts": "missed cuts", "false cuts": "false cuts"}


def ours(program, images, names, splitting=None):
    """Labels of all fields, made by the program."""
    with tempfile.TemporaryDirectory() as out:
        choice = ["--splitting", splitting] if splitting else []
        subprocess.run([program, "segment", str(images), "--out", out, "--quiet", *choice], check=True, stdout=subprocess.DEVNULL)
        return {n: tifffile.imread(f"{out}/{n}.tif").astype(np.int32) for n in names}


def table(title, methods, use, resamples):
    fields = {n: rows for n, rows in methods["default"].items() if n in use}
    n = judge.sizes(list(fields.values()))
    print(f"\n### {title}: {len(use)} fields, {n['truth']} nuclei\n")
    print(f"{n['clusters_1']} singles; {n['clusters_2']}, {n['clusters_3']} and {n['clusters_4']} clusters of 2, 3 and 4, "
          f"{n['clusters_4+']} of 4 and more; {n['pairs']} joined pairs.\n")
    print("| method | " + " | ".join(COLUMNS.values()) + " |")
    print("|---|" + "---|" * len(COLUMNS))
    for name, all_rows in methods.items():
        rows = [all_rows[f] for f in use]
        value, ends = judge.pooled(rows), judge.interval(rows, resamples)
        cells = [f"{value[k]:.3f} ({ends[k][0]:.3f}-{ends[k][1]:.3f})" if np.isfinite(value[k]) else "-" for k in COLUMNS]
        print(f"| {name} | " + " | ".join(cells) + " |")


def sheet(path, images, fields, labels, use, wanted, side=72, zoom=3, columns=4, rows=4):
    """Clusters of 2 to 4 nuclei that were resolved (`wanted`) or not: truth left in green, ours right in red."""
    tiles = []
    for name in use:
        field, found = fields[name], labels[name]
        image = imread(images / f"{name}.png").astype(float)
        here = 0
        for members in field.clusters:
            if not 2 <= len(members) <= 4 or here == 2:
                continue
            only = np.where(np.isin(field.labels, members), field.labels, 0)
            touched = np.isin(found, np.unique(found[only > 0]))
            counts = judge.score(judge.Field(only), np.where(touched, found, 0))
            good = sum(counts.get(f"resolved_{k}_0.5", 0) for k in judge.SIZES)
            if bool(good) != wanted:
                continue
            y, x = (int(v.mean()) for v in np.nonzero(only))
            y, x = np.clip(y, side // 2, image.shape[0] - side // 2), np.clip(x, side // 2, image.shape[1] - side // 2)
            cut = np.s_[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2]
            top = np.percentile(image[only > 0], 99) * 1.1
            grey = np.kron(np.clip((image[cut] - image.min()) / (top - image.min()), 0, 1) ** 0.6, np.ones((zoom, zoom)))
            pair = []
            for which, colour in ((field.labels, (0, 1, 0)), (found, (1, 0.2, 0.2))):
                tile = np.stack([grey] * 3, -1)
                tile[find_boundaries(np.kron(which[cut], np.ones((zoom, zoom), int)), mode="inner")] = colour
                pair.append(tile)
            tile = np.concatenate(pair, 1)
            tile[:2] = tile[:, :2] = 1
            tiles.append(tile)
            here += 1
    # Evenly over the fields, not the first ones.
    chosen = [tiles[i] for i in np.linspace(0, len(tiles) - 1, min(len(tiles), rows * columns)).astype(int)]
    chosen += [np.zeros_like(tiles[0])] * (-len(chosen) % columns)
    lines = [np.concatenate(chosen[i : i + columns], 1) for i in range(0, len(chosen), columns)]
    imsave(path, (np.concatenate(lines) * 255).astype(np.uint8), check_contrast=False)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data/bbbc038-u2os"))
    p.add_argument("--resamples", type=int, default=2000)
    p.add_argument("--splitting", nargs="*", default=[])
    p.add_argument("--pictures", type=pathlib.Path)
    args = p.parse_args()
    groups = {r["field"]: r["group"] for r in csv.DictReader(open(args.data / "fields.csv"))}
    names = sorted(groups)
    images = args.data / "images"
    fields = {n: judge.Field(imread(args.data / "labels" / f"{n}.png").astype(np.int32)) for n in names}
    labels = {"default": ours(args.program, images, names)}
    labels |= {name: ours(args.program, images, names, name) for name in args.splitting}
    labels |= {f"plain, {t}": {n: plain.segment(imread(images / f"{n}.png"), t) for n in names} for t in plain.THRESHOLDS}
    scores = {m: {n: judge.score(fields[n], found[n]) for n in names} for m, found in labels.items()}
    table("All", scores, names, args.resamples)
    table("Tuning half", scores, names[::2], args.resamples)
    table("Held-out half", scores, names[1::2], args.resamples)
    for group in sorted(set(groups.values())):
        table(f"Group `{group}`", scores, [n for n in names if groups[n] == group], args.resamples)
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
        for wanted, name in ((True, "splitting-right.png"), (False, "splitting-wrong.png")):
            sheet(args.pictures / name, images, fields, labels["default"], names, wanted)


if __name__ == "__main__":
    main()
