"""Golden numbers for outlines: python make_boundaries.py > boundaries.json

Reads the label crops of `splitting/` (make_splitting.py made them), paints scheme-B masks from them
(outline 3 px inside each nucleus, split where two nuclei are within 2 px) into `boundaries/`, and
computes the definitions slowly with scipy and scikit-image: contours by `find_boundaries`, distances
by whole-image distance transforms, bands by `binary_erosion`, skeletons by a transcription of Zhang &
Suen's rules (with Lü & Wang's change) and of the removal of staircases, with the length of scikit-image's skeleton beside it.
"""
import json
import pathlib
import sys

import numpy as np
from scipy import ndimage as ndi
from skimage import io, morphology, segmentation

from_labels = pathlib.Path(__file__).parent / "splitting"
OUT = pathlib.Path(__file__).parent / "boundaries"


def off_rim(mask):
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = mask[1:-1, 1:-1]
    return inner


def contour(labels):
    return off_rim(segmentation.find_boundaries(labels, connectivity=1, mode="inner"))


def near(one, other):
    distance = ndi.distance_transform_edt(~other) if other.any() else np.full(other.shape, np.inf)
    return [int((one & (distance <= d)).sum()) for d in range(4)]


def tolerant(truth, prediction):
    return {"truth": int(truth.sum()), "prediction": int(prediction.sum()),
            "truth_near": near(truth, prediction), "prediction_near": near(prediction, truth)}


def skeleton(mask):
    image = np.pad(mask.astype(int), 1)
    while True:
        before = image.copy()
        for first in (True, False):
            n = [image[:-2, 1:-1], image[:-2, 2:], image[1:-1, 2:], image[2:, 2:],
                 image[2:, 1:-1], image[2:, :-2], image[1:-1, :-2], image[:-2, :-2]]
            total = sum(n)
            rises = sum((n[i] == 0) & (n[(i + 1) % 8] == 1) for i in range(8))
            up, right, down, left = n[0], n[2], n[4], n[6]
            if first:
                side = (up * right * down == 0) & (right * down * left == 0)
            else:
                side = (up * right * left == 0) & (up * down * left == 0)
            gone = (image[1:-1, 1:-1] == 1) & (total >= 3) & (total <= 6) & (rises == 1) & side
            image[1:-1, 1:-1][gone] = 0
        if (image == before).all():
            break
    for y, x in np.argwhere(image):
        around = [image[y - 1, x], image[y - 1, x + 1], image[y, x + 1], image[y + 1, x + 1],
                  image[y + 1, x], image[y + 1, x - 1], image[y, x - 1], image[y - 1, x - 1]]
        turned = [around[k:] + around[:k] for k in (0, 2, 4, 6)]
        if any(n[0] and n[2] and not (n[4] or n[5] or n[6]) for n in turned):
            image[y, x] = 0
    return image[1:-1, 1:-1].astype(bool)


def pairs(truth, prediction):
    rows = {"n": 0, "measured": 0, "assd": 0.0, "hd95": 0.0, "band_iou": [0.0, 0.0, 0.0]}
    for t in np.unique(truth[truth > 0]):
        for p in np.unique(prediction[(truth == t) & (prediction > 0)]):
            a, b = truth == t, prediction == p
            # Above 0.5 a pair is unique; none of these pairs lies on 0.5 exactly.
            iou = (a & b).sum() / (a | b).sum()
            assert iou != 0.5
            if iou < 0.5:
                continue
            rows["n"] += 1
            for d in (1, 2, 3):
                erode = lambda m: m & ~ndi.binary_erosion(m, np.ones((3, 3)), d)  # outside counts as edge
                rows["band_iou"][d - 1] += (erode(a) & erode(b)).sum() / (erode(a) | erode(b)).sum()
            ca, cb = contour(a.astype(int)), contour(b.astype(int))
            if ca.any() and cb.any():
                there = ndi.distance_transform_edt(~cb)[ca]
                back = ndi.distance_transform_edt(~ca)[cb]
                rows["measured"] += 1
                rows["assd"] += (there.sum() + back.sum()) / (len(there) + len(back))
                rows["hd95"] += max(np.percentile(there, 95), np.percentile(back, 95))
    return rows


def scheme_b(labels):
    """0 background, 1 nucleus, 2 boundary, 3 split."""
    classes = (labels > 0).astype(np.uint8)
    around = np.zeros(labels.shape, int)
    for label in np.unique(labels[labels > 0]):
        mask = labels == label
        classes[mask & (ndi.distance_transform_edt(mask) <= 3)] = 2
        around += ndi.distance_transform_edt(~mask) <= 2
    classes[around >= 2] = 3
    return classes


OUT.mkdir(exist_ok=True)
objects, lines = [], []
for field in ("175dbb364bfe", "07fb37aafa66", "4596961c789d"):
    truth = io.imread(from_labels / f"{field}.png").astype(int)
    for how in ("fused", "plain"):
        prediction = io.imread(from_labels / f"{field}_{how}.png").astype(int)
        objects.append({"field": field, "how": how, **tolerant(contour(truth), contour(prediction)),
                        "pairs": pairs(truth, prediction)})
    masks = {"": scheme_b(truth), "_plain": scheme_b(io.imread(from_labels / f"{field}_plain.png").astype(int))}
    for suffix, mask in masks.items():
        io.imsave(OUT / f"{field}{suffix}.png", mask, check_contrast=False)
    for value in (2, 3):
        t, p = masks[""] == value, masks["_plain"] == value
        lines.append({"field": field, "class": value, **tolerant(t, p),
                      "truth_length": int(skeleton(t).sum()), "prediction_length": int(skeleton(p).sum()),
                      "truth_length_skimage": int(morphology.skeletonize(t).sum()),
                      "prediction_length_skimage": int(morphology.skeletonize(p).sum())})
    t, p = masks[""] == 1, masks["_plain"] == 1
    lines.append({"field": field, "class": 1, **tolerant(contour(t.astype(int)), contour(p.astype(int)))})
json.dump({"objects": objects, "lines": lines}, sys.stdout, indent=1)
