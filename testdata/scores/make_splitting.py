"""Golden numbers for the splitting scores: python make_splitting.py DATA > splitting.json

DATA is the folder with `bbbc038-u2os` (real Hoechst fields with hand-made labels, CC0; Data Science
Bowl 2018 / BBBC038 with corrected masks). Crops of five fields and predictions of different quality
are written to `splitting/`: scikit-image's watershed with few, many and sensible markers, and the
truth itself. The scores are a slow transcription of their definitions with scipy and scikit-image:
whole-image distance transforms, dense matrices, `linear_sum_assignment`, nothing shared with the
program.
"""
import json
import pathlib
import sys

import numpy as np
from scipy import ndimage as ndi
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage import feature, filters, io, segmentation

OUT = pathlib.Path(__file__).parent / "splitting"


def watershed(image, min_distance, sigma, threshold):
    smooth = filters.gaussian(image.astype(float), 1, preserve_range=True)
    mask = ndi.binary_fill_holes(smooth > threshold(smooth))
    distance = filters.gaussian(ndi.distance_transform_edt(mask), sigma)
    peaks = feature.peak_local_max(distance, min_distance=min_distance, labels=mask.astype(int))
    markers = np.zeros(mask.shape, int)
    markers[tuple(peaks.T)] = np.arange(len(peaks)) + 1
    return segmentation.watershed(-distance, markers, mask=mask)


def one_to_one(iou, t):
    """Pairs at IoU >= t, as many as possible, then the largest sum."""
    if iou.size == 0:
        return {}
    good = iou >= t
    worth = good + iou * good / (2 * min(iou.shape))
    rows, cols = linear_sum_assignment(-worth)
    return {int(a): int(p) for a, p in zip(rows, cols) if good[a, p]}


def line(to_a, to_b):
    return np.argwhere((abs(to_a - to_b) <= 1) & (to_a <= 3) & (to_b <= 3))


def line_distance(one, other):
    return (cKDTree(other).query(one)[0].mean() + cKDTree(one).query(other)[0].mean()) / 2


def splitting(truth, prediction):
    ts = [t for t in np.unique(truth) if t]
    ps = [p for p in np.unique(prediction) if p]
    t_masks, p_masks = [truth == t for t in ts], [prediction == p for p in ps]
    shared = np.array([[np.sum(t & p) for p in p_masks] for t in t_masks]).reshape(len(ts), len(ps))
    t_area, p_area = np.array([m.sum() for m in t_masks]), np.array([m.sum() for m in p_masks])
    iou = shared / (t_area[:, None] + p_area[None] - shared)
    matched = {t: one_to_one(iou, t) for t in (0.5, 0.7)}

    # Joined: dilations by a 3 x 3 square that overlap or touch, also at a corner.
    square = np.ones((3, 3), bool)
    grown = [ndi.binary_dilation(m, square) for m in t_masks]
    touching = [ndi.binary_dilation(m, square) for m in grown]
    pairs = [(a, b) for a in range(len(ts)) for b in range(a + 1, len(ts)) if (touching[a] & grown[b]).any()]
    graph = coo_matrix((np.ones(len(pairs)), ([a for a, _ in pairs], [b for _, b in pairs])), (len(ts),) * 2)
    count, component = connected_components(graph, directed=False)

    sizes = {}
    for c in range(count):
        members = np.flatnonzero(component == c)
        mainly = np.flatnonzero(2 * shared[members].sum(0) > p_area)
        row = sizes.setdefault(str(min(len(members), 5)), {"n": 0, "at_50": 0, "at_70": 0})
        row["n"] += 1
        for t, key in ((0.5, "at_50"), (0.7, "at_70")):
            partners = {matched[t].get(m) for m in members}
            row[key] += int(None not in partners and set(mainly) <= partners)

    found = missed = without = 0
    distances = []
    for a, b in pairs:
        p, q = matched[0.5].get(a), matched[0.5].get(b)
        if p is not None and q is not None:
            found += 1
            edt = ndi.distance_transform_edt
            one = line(edt(~t_masks[a]), edt(~t_masks[b]))
            other = line(edt(~p_masks[p]), edt(~p_masks[q]))
            if len(one) and len(other):
                distances.append(line_distance(one, other))
            else:
                without += 1
        elif ((2 * shared[a] > t_area[a]) & (2 * shared[b] > t_area[b])).any():
            missed += 1
    false = 0
    for a in range(len(ts)):
        k = np.sum((2 * shared[a] > p_area) & (10 * shared[a] >= t_area[a]))
        false += max(int(k) - 1, 0)
    return {"nuclei": len(ts), "sizes": sizes, "pairs": len(pairs), "found": found, "missed": missed,
            "false_cuts": false, "lines": len(distances), "without_line": without,
            "line_px": float(np.sum(distances))}


def main(data):
    OUT.mkdir(exist_ok=True)
    cases = []
    folder = pathlib.Path(data) / "bbbc038-u2os"
    for field, (y, x) in {
        "175dbb364bfe": (120, 200), "3f9fc8e63f87": (40, 380), "6fe2df6de1d9": (0, 0),
        "07fb37aafa66": (200, 200), "4596961c789d": (250, 60),
    }.items():
        window = np.s_[y:y + 220, x:x + 220]
        image = io.imread(folder / "images" / f"{field}.png")
        truth = io.imread(folder / "labels" / f"{field}.png")[window]
        predictions = {
            "fused": watershed(image, 14, 3, filters.threshold_li)[window],
            "shattered": watershed(image, 2, 0.5, filters.threshold_li)[window],
            "plain": watershed(image, 7, 1, filters.threshold_otsu)[window],
            "truth": truth,
        }
        io.imsave(OUT / f"{field}.png", truth.astype(np.uint16), check_contrast=False)
        for how, prediction in predictions.items():
            if how != "truth":
                io.imsave(OUT / f"{field}_{how}.png", prediction.astype(np.uint16), check_contrast=False)
            cases.append({"field": field, "prediction": how, **splitting(truth, prediction)})
    json.dump(cases, sys.stdout, indent=1)


main(sys.argv[1])
