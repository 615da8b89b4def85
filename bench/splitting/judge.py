"""Pixel, object and splitting scores of nucleus labels, as plain NumPy: the judge of bench/splitting.

Written from the definitions alone, apart from `crates/scores`, so that the two can be compared.
One field gives a `Counts`; `pooled` and `interval` turn many into numbers.
"""

import numpy as np
from scipy.ndimage import find_objects
from scipy.optimize import linear_sum_assignment

SIZES = ("2", "3", "4+")


def overlaps(truth, found):
    """Areas of the truth, of the prediction, and their intersections; row and column 0 are background."""
    rows, columns = int(truth.max()) + 1, int(found.max()) + 1
    keys = truth.astype(np.int64) * columns + found
    both = np.bincount(keys.ravel(), minlength=rows * columns).reshape(rows, columns)
    return both.sum(1), both.sum(0), both


def match(iou, threshold):
    """Pairs (truth, prediction), one to one, the most pairs with IoU >= threshold, then the largest IoU."""
    good = iou >= threshold
    cost = -good.astype(float) - iou / (2 * max(1, min(iou.shape)))
    rows, columns = linear_sum_assignment(cost)
    return [(r, c) for r, c in zip(rows, columns) if good[r, c]]


def joined_pairs(truth):
    """Pairs of nuclei with at most 2 background pixels between them (Chebyshev distance <= 3)."""
    height, width = truth.shape
    pairs = set()
    for dy in range(4):
        for dx in range(-3, 4):
            if dy == 0 and dx <= 0:
                continue
            a = truth[: height - dy, max(0, -dx) : width - max(0, dx)]
            b = truth[dy:, max(0, dx) : width - max(0, -dx)]
            differ = (a != b) & (a != 0) & (b != 0)
            pairs.update(map(tuple, np.unique(np.sort(np.stack([a[differ], b[differ]], 1), 1), axis=0)))
    return {(int(a), int(b)) for a, b in pairs}


def clusters(n, pairs):
    """Connected components of the graph of joined pairs; nuclei are 1..n."""
    parent = list(range(n + 1))

    def find(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        parent[find(a)] = find(b)
    groups = {}
    for i in range(1, n + 1):
        groups.setdefault(find(i), []).append(i)
    return list(groups.values())


class Field:
    """What is counted once per truth image."""

    def __init__(self, truth):
        values, flat = np.unique(truth, return_inverse=True)
        if values[0] != 0:
            raise ValueError("a truth without background")
        self.labels = flat.reshape(truth.shape).astype(np.int32)
        self.n = len(values) - 1
        self.pairs = joined_pairs(self.labels)
        self.clusters = clusters(self.n, self.pairs)


def score(field, found):
    """Counts of one field: a dict of numbers that add up over fields, and the object F1 of the field."""
    truth = field.labels
    _, flat = np.unique(np.concatenate([[0], found.ravel()]), return_inverse=True)
    found = flat[1:].reshape(found.shape).astype(np.int32)
    area_t, area_p, both = overlaps(truth, found)
    inner = both[1:, 1:]
    iou = inner / np.maximum(area_t[1:, None] + area_p[None, 1:] - inner, 1)
    n_t, n_p = inner.shape
    out = {"pixel_tp": int(inner.sum()), "pixel_fp": int(both[0, 1:].sum()), "pixel_fn": int(both[1:, 0].sum()),
           "truth": n_t, "found": n_p}
    matched = {}
    for t in (0.5, 0.7):
        matched[t] = dict(match(iou, t)) if n_t and n_p else {}
        out[f"tp_{t}"] = len(matched[t])
        out[f"f1_{t}"] = 2 * len(matched[t]) / (n_t + n_p) if n_t + n_p else float("nan")
    share = inner / np.maximum(area_p[None, 1:], 1)  # of the prediction, in the truth nucleus
    cover = inner / np.maximum(area_t[1:, None], 1)  # of the truth nucleus, by the prediction
    for t in (0.5, 0.7):
        m = matched[t]
        for members in field.clusters:
            rows = [i - 1 for i in members]
            inside = set(np.nonzero(share[rows].sum(0) > 0.5)[0].tolist())
            mine = {m[r] for r in rows if r in m}
            good = len(mine) == len(rows) and inside <= mine
            size = "1" if len(rows) == 1 else "2" if len(rows) == 2 else "3" if len(rows) == 3 else "4+"
            for key in (size, *(["4"] if len(rows) == 4 else [])):
                out[f"clusters_{key}"] = out.get(f"clusters_{key}", 0) + (t == 0.5)
                out[f"resolved_{key}_{t}"] = out.get(f"resolved_{key}_{t}", 0) + good
    m = matched[0.5]
    found_pairs = missed = 0
    big = cover > 0.5
    for a, b in field.pairs:
        if a - 1 in m and b - 1 in m:
            found_pairs += 1
        elif (big[a - 1] & big[b - 1]).any():
            missed += 1
    pieces = ((share > 0.5) & (cover >= 0.1)).sum(1)
    out.update(pairs=len(field.pairs), pairs_found=found_pairs, pairs_missed=missed,
               false_cuts=int(np.maximum(pieces - 1, 0).sum()))
    return out


def pooled(rows):
    """The numbers of the table from the counts of some fields."""
    s = {k: sum(r.get(k, 0) for r in rows) for k in {k for r in rows for k in r}}
    ratio = lambda a, b: a / b if b else float("nan")
    out = {"pixel F1": ratio(2 * s["pixel_tp"], 2 * s["pixel_tp"] + s["pixel_fp"] + s["pixel_fn"]),
           "object F1 0.5": np.nanmean([r["f1_0.5"] for r in rows]), "object F1 0.7": np.nanmean([r["f1_0.7"] for r in rows]),
           "singles": ratio(s["resolved_1_0.5"], s["clusters_1"])}
    for size in ("2", "3", "4", "4+"):
        out[f"clusters {size}"] = ratio(s.get(f"resolved_{size}_0.5", 0), s.get(f"clusters_{size}", 0))
    out["missed cuts"] = ratio(s["pairs_missed"], s["pairs"])
    out["false cuts"] = ratio(s["false_cuts"], s["truth"])
    recall, precision = ratio(s["pairs_found"], s["pairs"]), ratio(s["pairs_found"], s["pairs_found"] + s["false_cuts"])
    out["cut F1"] = ratio(2 * recall * precision, recall + precision)
    return out


def sizes(rows):
    """How many singles, clusters and pairs stand behind the rates."""
    return {k: sum(r.get(k, 0) for r in rows) for k in ("truth", "clusters_1", "clusters_2", "clusters_3", "clusters_4", "clusters_4+", "pairs")}


def interval(rows, resamples=2000, seed=1):
    """95 % percentile bootstrap over fields (they have no wells), of every number of `pooled`."""
    rng = np.random.default_rng(seed)
    draws = [pooled([rows[i] for i in rng.integers(0, len(rows), len(rows))]) for _ in range(resamples)]
    return {k: np.nanpercentile([d[k] for d in draws], [2.5, 97.5]) for k in draws[0]}
