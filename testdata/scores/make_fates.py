"""Golden numbers for the fates of objects and the best rigid shift: python make_fates.py > fates.json

Made from the label images in `splitting/` (see make_splitting.py), with numpy, scipy and scikit-image:
dense matrices, whole-image dilations, `linear_sum_assignment`, nothing shared with the program. The
definitions are those of docs/scores.md ("Why a nucleus is wrong"). Every field is scored as it is and
with a part of it ignored; predictions are moved by a shift that is found again by trying all of them.
"""
import json
import pathlib
import sys

import numpy as np
from scipy import ndimage as ndi
from scipy.optimize import linear_sum_assignment
from skimage import io, morphology

FOLDER = pathlib.Path(__file__).parent / "splitting"
FIELDS = ["175dbb364bfe", "3f9fc8e63f87", "6fe2df6de1d9", "07fb37aafa66", "4596961c789d"]
HOW = ["fused", "shattered", "plain"]
#: How the prediction of each field is moved before it is scored.
MOVED = {"fused": (3, -2), "shattered": (-4, 5), "plain": (0, 0)}
SQUARE = np.ones((3, 3), bool)


def moved(labels, dy, dx):
    out = np.zeros_like(labels)
    h, w = labels.shape
    out[max(dy, 0):h + min(dy, 0), max(dx, 0):w + min(dx, 0)] = \
        labels[max(-dy, 0):h + min(-dy, 0), max(-dx, 0):w + min(-dx, 0)]
    return out


def matched(iou):
    """Pairs at IoU >= 0.5, as many as possible, then the largest sum."""
    good = iou >= 0.5
    rows, cols = linear_sum_assignment(-(good + iou * good / (2 * min(iou.shape))))
    return [(a, p) for a, p in zip(rows, cols) if good[a, p]]


class Field:
    def __init__(self, truth, prediction, ignored):
        self.kept = ~ignored
        self.ts, self.ps = ([l for l in np.unique(m) if l] for m in (truth, prediction))
        self.t_all, self.p_all = ([m == l for l in ls] for m, ls in ((truth, self.ts), (prediction, self.ps)))
        self.t_area, self.p_area = (np.array([(m & self.kept).sum() for m in all]) for all in (self.t_all, self.p_all))
        lost = [np.array([(m & ignored).sum() for m in all]) for all in (self.t_all, self.p_all)]
        self.t_counts, self.p_counts = lost[0] <= self.t_area, lost[1] <= self.p_area
        shared = np.array([[(t & p & self.kept).sum() for p in self.p_all] for t in self.t_all])
        self.shared = shared * self.t_counts[:, None]
        union = self.t_area[:, None] + self.p_area[None] - self.shared
        self.iou = self.shared / np.maximum(union, 1)
        self.pairs = matched(self.iou)

    def f1(self):
        tp = len(self.pairs)
        fp = self.p_counts.sum() - sum(self.p_counts[p] for _, p in self.pairs)
        return 2 * tp / (2 * tp + fp + self.t_counts.sum() - tp)

    def fates(self):
        """The fate of every object that counts, none for the others; each rule as it is written."""
        covers = 2 * self.shared > self.t_area[:, None]
        lies_in = (2 * self.shared > self.p_area[None]) & self.p_counts[None]
        part = lies_in & (10 * self.shared >= self.t_area[:, None])
        mainly = covers | lies_in
        merging, cut = covers.sum(0) >= 2, part.sum(1) >= 2
        truth, prediction = [], []
        for t in range(len(self.ts)):
            if any(t == a for a, _ in self.pairs):
                fate = "found"
            elif not self.t_counts[t]:
                fate = None
            elif (covers[t] & merging).any():
                fate = "merged"
            elif cut[t]:
                fate = "split"
            elif self.iou[t].max() >= 0.3:
                fate = "badly_outlined"
            else:
                fate = "wrong_size" if mainly[t].any() else "missed"
            truth.append(fate)
        for p in range(len(self.ps)):
            if any(p == b for _, b in self.pairs):
                fate = "found"
            elif not self.p_counts[p]:
                fate = None
            elif merging[p]:
                fate = "merged"
            elif (part[:, p] & cut).any():
                fate = "split"
            elif self.iou[:, p].max() >= 0.3:
                fate = "badly_outlined"
            else:
                fate = "wrong_size" if mainly[:, p].any() else "spurious"
            prediction.append(fate)
        return truth, prediction


def neighbours(masks, fates):
    """Objects that count whose dilation by a pixel overlaps or touches that of an object."""
    counts = [f is not None for f in fates]
    grown = [ndi.binary_dilation(m, SQUARE) for m in masks]
    twice = [ndi.binary_dilation(m, SQUARE) for m in grown]
    return [sum(a != b and counts[a] and counts[b] and bool((twice[a] & grown[b]).any())
                for b in range(len(masks))) for a in range(len(masks))]


def at_border(mask):
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def contrast(mask, light):
    values = light[ndi.binary_dilation(mask, morphology.disk(3))].astype(float)
    return values.std() / values.mean()


def objects(field, light):
    rows = []
    for side, fates, masks, labels, areas, best in zip(
        ("truth", "prediction"), field.fates(), (field.t_all, field.p_all), (field.ts, field.ps),
        (field.t_area, field.p_area), (field.iou.max(1), field.iou.max(0)),
    ):
        near = neighbours(masks, fates)
        for i, fate in enumerate(fates):
            if fate:
                rows.append([side, int(labels[i]), fate, int(areas[i]), near[i], at_border(masks[i]),
                             round(float(best[i]), 6), round(float(contrast(masks[i], light)), 6)])
    return rows


def best_shift(truth, prediction, ignored):
    scores = []
    for dy in range(-8, 9):
        for dx in range(-8, 9):
            p = (moved(prediction, dy, dx) > 0) & ~ignored
            t = (truth > 0) & ~ignored
            scores.append((-2 * (p & t).sum() / (p.sum() + t.sum()), dy * dy + dx * dx, dy, dx))
    _, _, dy, dx = min(scores)
    return dy, dx


def table(rows):
    """Fates by side, pooled, for all objects and by thirds of the areas of the true ones."""
    areas = [row[3] for row in rows if row[0] == "truth"]
    low, high = (float(np.quantile(areas, q, method="inverted_cdf")) for q in (1 / 3, 2 / 3))
    def count(of):
        sides = {}
        for row in filter(of, rows):
            counts = sides.setdefault(row[0], {})
            counts[row[2]] = counts.get(row[2], 0) + 1
        return sides
    return {
        "limits": [low, high],
        "all": count(lambda row: True),
        "small": count(lambda row: row[3] <= low),
        "medium": count(lambda row: low < row[3] <= high),
        "large": count(lambda row: row[3] > high),
        "no neighbour": count(lambda row: row[4] == 0),
        "3 or more neighbours": count(lambda row: row[4] >= 3),
        "at the border": count(lambda row: row[5]),
    }


def main():
    cases, pooled = [], []
    for name in FIELDS:
        truth = io.imread(FOLDER / f"{name}.png").astype(int)
        y, x = np.mgrid[:truth.shape[0], :truth.shape[1]]
        light = ((7 * y + 13 * x) % 101 + 50).astype(np.float32)
        for how in HOW:
            for part in (False, True):
                ignored = (y < 60) & (x < 90) & part
                prediction = moved(io.imread(FOLDER / f"{name}_{how}.png").astype(int), *MOVED[how])
                dy, dx = best_shift(truth, prediction, ignored)
                field = Field(truth, prediction, ignored)
                rows = objects(field, light)
                cases.append({
                    "field": name, "prediction": how, "moved": MOVED[how], "ignored": part,
                    "shift": [dy, dx],
                    "f1": float(field.f1()),
                    "f1_shifted": float(Field(truth, moved(prediction, dy, dx), ignored).f1()),
                    "objects": [json.dumps(row) for row in rows],
                })
                if how == "shattered" and not part:
                    pooled += rows
    json.dump({"cases": cases, "strata": table(pooled)}, sys.stdout, indent=0)


main()
