"""Golden numbers for the scores: python make_golden.py > golden.json

Outside judges: stardist.matching (object matching at thresholds, mean matched score, panoptic
quality), numpy transcriptions of the published definitions of AJI (Kumar 2017) and AJI+ (Graham
2019) with scipy's dense assignment, and of segmentation_models 1.0.1's IoU and F-score, and
scipy.stats.bootstrap's percentile rule as numpy.percentile.
"""
import json
import sys

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.ndimage import gaussian_filter, label
from stardist.matching import matching

rng = np.random.default_rng(7)


def crowd(side, n, jitter):
    """Ellipses painted one over the other, in truth and, moved and resized, in prediction."""
    yy, xx = np.mgrid[:side, :side]
    truth, pred = np.zeros((side, side), int), np.zeros((side, side), int)
    for i in range(1, n + 1):
        cy, cx = rng.uniform(0, side, 2)
        ry, rx = rng.uniform(3, 8, 2)
        truth[((yy - cy) / ry) ** 2 + ((xx - cx) / rx) ** 2 < 1] = i
        if rng.random() < 0.15:
            continue
        dy, dx = rng.normal(0, jitter, 2)
        sy, sx = rng.uniform(0.8, 1.25, 2)
        pred[((yy - cy - dy) / ry / sy) ** 2 + ((xx - cx - dx) / rx / sx) ** 2 < 1] = 3 * i
    return truth, pred


def halves(side):
    """Squares cut in two equal halves, chained by shifted copies: IoU of exactly 1/2 everywhere."""
    truth, pred = np.zeros((side, side), int), np.zeros((side, side), int)
    label_t = label_p = 0
    for y in range(0, side - 7, 9):
        for x in range(0, side - 7, 9):
            label_t += 1
            truth[y:y + 8, x:x + 8] = label_t
            pred[y:y + 8, x:x + 4] = label_p + 1
            pred[y:y + 8, x + 4:x + 8] = label_p + 2
            label_p += 2
    return truth, pred


def textures(side):
    """Blobs of smoothed noise: many odd overlaps in one big cluster."""
    a = label(gaussian_filter(rng.normal(size=(side, side)), 2) > 0.02)[0]
    b = label(gaussian_filter(rng.normal(size=(side, side)), 2) > 0.02)[0]
    return a, b


def tables(truth, pred):
    ts, ps = np.unique(truth[truth > 0]), np.unique(pred[pred > 0])
    inter = np.array([[np.sum((truth == t) & (pred == p)) for p in ps] for t in ts]).reshape(len(ts), len(ps))
    at = np.array([np.sum(truth == t) for t in ts])
    ap = np.array([np.sum(pred == p) for p in ps])
    union = at[:, None] + ap[None] - inter
    return inter, union, at, ap


def aji(inter, union, at, ap):
    iou = inter / union
    best = iou.argmax(1)
    hit = np.flatnonzero(iou.max(1) > 0)
    i = inter[hit, best[hit]].sum()
    u = union[hit, best[hit]].sum()
    u += at[np.setdiff1d(np.arange(len(at)), hit)].sum()
    u += ap[np.setdiff1d(np.arange(len(ap)), best[hit])].sum()
    return i / u


def aji_plus(inter, union, at, ap):
    iou = inter / union
    r, c = linear_sum_assignment(-iou)
    keep = iou[r, c] > 0
    r, c = r[keep], c[keep]
    u = union[r, c].sum()
    u += at[np.setdiff1d(np.arange(len(at)), r)].sum() + ap[np.setdiff1d(np.arange(len(ap)), c)].sum()
    return inter[r, c].sum() / u


objects = []
for name, (truth, pred) in {
    "crowd": crowd(64, 30, 1.0),
    "loose crowd": crowd(64, 40, 3.0),
    "halves": halves(45),
    "textures": textures(56),
    "dense textures": textures(72),
}.items():
    at = []
    for i in range(10):
        m = matching(truth, pred, thresh=(10 + i) / 20)
        at.append({"tp": int(m.tp), "fp": int(m.fp), "fn": int(m.fn), "precision": m.precision,
                   "recall": m.recall, "f1": m.f1, "ap": m.accuracy,
                   "iou_sum": m.mean_matched_score * int(m.tp), "pq": m.panoptic_quality})
    parts = tables(truth, pred)
    objects.append({"name": name, "side": truth.shape[0], "truth": truth.ravel().tolist(),
                    "prediction": pred.ravel().tolist(), "at": at,
                    "aji": float(aji(*parts)), "aji_plus": float(aji_plus(*parts))})

# segmentation_models 1.0.1, base/functional.py, with threshold 0.5 and per-image sums (batch 1).
S = 1e-5


def library(gt, pr):
    pr = (pr > 0.5).astype(float)
    tp = (gt * pr).sum((0, 1))
    fp, fn = pr.sum((0, 1)) - tp, gt.sum((0, 1)) - tp
    union = gt.sum((0, 1)) + pr.sum((0, 1)) - tp
    return (tp + S) / (union + S), (2 * tp + S) / (2 * tp + fn + fp + S)


paper = []
for classes in (3, 4):
    side = 24
    logits = gaussian_filter(rng.normal(size=(side, side, classes)), (2, 2, 0)) * 9
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    p = np.round(p * 64) / 64  # exact in f32, and some pixels lie on 0.5 exactly
    truth = np.where(rng.random((side, side)) < 0.8, p.argmax(-1), rng.integers(0, classes - 1, (side, side)))
    iou, f1 = library(np.eye(classes)[truth], p)
    paper.append({"classes": classes, "side": side, "truth": truth.ravel().tolist(),
                  "probabilities": np.moveaxis(p, -1, 0).reshape(classes, -1).tolist(),
                  "iou": iou.tolist(), "f1": f1.tolist()})

json.dump({"objects": objects, "paper": paper}, sys.stdout, separators=(",", ":"))
