#!/usr/bin/env python3
"""Golden numbers of `measure`, by scikit-image, scipy and numpy.

usage: make_golden.py SHARED_DATA        (needs numpy, scipy, scikit-image, pandas, pillow)

Writes beside this script, for each of three crops of BBBC038 (CC0; a field of each group, 8 bit):
NAME_image.png, NAME_labels.png (16 bit) and NAME.csv with a row an object. `u2os` is also written as 16 bit
(`u2os16`): the grey levels times 150 with the noise of a seeded camera, since no real 16-bit field with hand-made
labels under CC0 was at hand. `drawn` is seeded noise cut at a threshold: specks, lines, holes, objects in pieces. Cells (NAME_cells.png) are the labels grown by 6 pixels with numbers of their own.
"""
import pathlib
import sys

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage as ndi
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import label, regionprops, regionprops_table
from skimage.segmentation import expand_labels

here = pathlib.Path(__file__).parent
PIXEL_UM, GAP_UM, WIDTH_UM, NEAR_UM, LEVELS = 0.5, 1.0, 3.0, 10.0, 32
CROPS = {  # field, first row, first column, height, width
    "u2os": ("10ba6cbee487", 100, 180, 260, 300),
    "dense": (None, 0, 0, 170, 190),
    "large": (None, 0, 0, 300, 330),
}
SHAPE = ("label", "area", "equivalent_diameter_area", "centroid", "axis_major_length", "axis_minor_length", "eccentricity",
         "orientation", "bbox", "area_bbox", "extent", "perimeter", "perimeter_crofton", "euler_number", "area_convex", "solidity",
         "feret_diameter_max")


def feret_min(region):
    """Smallest width of the hull of the middles of the hull image's pixel edges, by trying every edge."""
    y, x = np.nonzero(region.image_convex)
    p = np.concatenate([np.stack([y + dy, x + dx], 1) for dy, dx in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))])
    corners = p[ConvexHull(p).vertices]
    edges = np.roll(corners, -1, 0) - corners
    normals = np.stack([-edges[:, 1], edges[:, 0]], 1) / np.linalg.norm(edges, axis=1, keepdims=True)
    return np.ptp(corners @ normals.T, axis=0).min()


def neighbours(labels, table):
    coordinates = {r.label: r.coords for r in regionprops(labels)}
    touching, near = [], []
    for a in table["label"]:
        d = np.array([cdist(coordinates[a], coordinates[b]).min() for b in table["label"] if b != a])
        touching.append((d <= np.sqrt(2)).sum())
        near.append((d <= NEAR_UM / PIXEL_UM).sum())
    return touching, near


def rings(labels):
    """Label of the nearest object for pixels of the ring; pixels as near to two objects belong to none."""
    stack = np.stack([ndi.distance_transform_edt(labels != l) for l in np.unique(labels[labels > 0])])
    squared = np.sort(np.rint(stack**2), axis=0)
    d = np.sqrt(squared[0]) * PIXEL_UM
    owner = np.unique(labels[labels > 0])[stack.argmin(0)]
    unique = np.ones(d.shape, bool) if len(stack) == 1 else squared[0] != squared[1]
    return np.where((d > GAP_UM) & (d <= GAP_UM + WIDTH_UM) & unique, owner, 0), d <= GAP_UM + WIDTH_UM


def intensities(labels, image, which, prefix, background):
    """Statistics of the pixels of each label of `which` (0 = none: NaN)."""
    rows = []
    for l in which:
        v = image[labels == l].astype(np.float64) if l else np.array([])
        if v.size == 0:
            rows.append({})
            continue
        row = {"mean": v.mean(), "median": np.median(v), "std": v.std(), "min": v.min(), "max": v.max(), "sum": v.sum(),
               "mean_net": v.mean() - background, "sum_net": (v - background).sum()}
        row.update({f"p{q}": np.percentile(v, q) for q in (5, 25, 75, 95)})
        rows.append(row)
    return {f"{prefix}intensity_{k}": [r.get(k, np.nan) for r in rows] for k in
            ("mean", "median", "std", "min", "max", "p5", "p25", "p75", "p95", "sum", "mean_net", "sum_net")}


def texture(region, image):
    """Features of pairs inside the object: level 0 stands for outside and is taken out of the matrix."""
    v = image[region.slice].astype(np.float64)
    low, high = v[region.image].min(), v[region.image].max()
    q = np.zeros(v.shape) if high == low else np.minimum((v - low) * LEVELS / (high - low), LEVELS - 1)
    q = np.where(region.image, q.clip(0).astype(int) + 1, 0).astype(np.uint8)
    m = graycomatrix(q, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], levels=LEVELS + 1, symmetric=True)[1:, 1:]
    m = m[..., m.sum((0, 1))[0] > 0]
    names = ("contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation", "entropy")
    return {f"texture_{n}": graycoprops(m, n).mean() if m.shape[3] else np.nan for n in names}


def golden(name, image, labels):
    table = pd.DataFrame(regionprops_table(labels, image, properties=SHAPE))
    theirs = regionprops_table(labels, image, properties=("intensity_mean", "intensity_median", "intensity_std", "intensity_min", "intensity_max"))
    regions = regionprops(labels)
    table["feret_diameter_min"] = [feret_min(r) for r in regions]
    table["touches_border"] = [int(min(r.bbox[:2]) == 0 or r.bbox[2] == labels.shape[0] or r.bbox[3] == labels.shape[1]) for r in regions]
    table["neighbours_touching"], table["neighbours_near"] = neighbours(labels, table)
    grown = expand_labels(labels, 6)
    # Other numbers than the objects'; two objects share the last cell.
    cells = np.where(grown > 0, 2000 - grown, 0)
    cells[grown == table["label"].iloc[0]] = 2000 - table["label"].iloc[1]
    ring, near = rings(labels)
    background = np.median(image[(labels == 0) & (cells == 0) & ~near].astype(np.float64))
    own = table["label"].to_numpy()
    linked = np.where(own == own[0], 2000 - own[1], 2000 - own)
    table["cell_label"], table["cell_nuclei"] = linked, [(linked == c).sum() for c in linked]
    cytoplasm = np.where(labels == 0, cells, 0)
    for part, which, prefix in ((labels, own, ""), (ring, own, "ring_"), (cells, linked, "cell_"), (cytoplasm, linked, "cytoplasm_")):
        table[f"{prefix}area"] = [area if area else np.nan for area in ((part == l).sum() for l in which)]
        table = table.assign(**intensities(part, image, which, prefix, background))
    assert all(np.allclose(table[k], v, rtol=1e-12) for k, v in theirs.items())
    for prefix in ("ring_", "cytoplasm_"):
        table[f"{prefix}ratio"] = (table["intensity_mean_net"] / table[f"{prefix}intensity_mean_net"]).where(table[f"{prefix}intensity_mean_net"] > 0)
    table["background"] = background
    table = pd.concat([table, pd.DataFrame([texture(r, image) for r in regions])], axis=1)
    Image.fromarray(image).save(here / f"{name}_image.png", optimize=True)
    Image.fromarray(labels.astype(np.uint16)).save(here / f"{name}_labels.png", optimize=True)
    Image.fromarray(cells.astype(np.uint16)).save(here / f"{name}_cells.png", optimize=True)
    table.to_csv(here / f"{name}.csv", index=False, float_format="%.10g")
    print(name, image.shape, image.dtype, len(table), "objects,", len(table.columns), "columns")


def main():
    root = pathlib.Path(sys.argv[1]) / "bbbc038-u2os"
    fields = pd.read_csv(root / "fields.csv")
    for name, (field, y, x, height, width) in CROPS.items():
        if field is None:
            field = fields.loc[fields["group"] == f"other-{name}", "field"].iloc[0]
        window = (slice(y, y + height), slice(x, x + width))
        image = np.asarray(Image.open(root / f"images/{field}.png"))[window]
        labels = np.asarray(Image.open(root / f"labels/{field}.png")).astype(np.int32)[window]
        golden(name, np.ascontiguousarray(image), np.ascontiguousarray(labels))
        if name == "u2os":
            signal = image * 150.0 + 300
            noisy = np.random.default_rng(5).normal(signal, np.sqrt(signal) + 8)
            golden("u2os16", np.clip(np.rint(noisy), 0, 65535).astype(np.uint16), np.ascontiguousarray(labels))
    rng = np.random.default_rng(3)
    noise = ndi.gaussian_filter(rng.standard_normal((90, 80)), 1.0)
    labels = label(noise > 0.28, connectivity=2) * 3
    labels[labels == 27] = 30  # one object in two pieces
    golden("drawn", rng.integers(0, 256, labels.shape).astype(np.uint8), labels.astype(np.int32))


if __name__ == "__main__":
    main()
