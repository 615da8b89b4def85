#!/usr/bin/env python3
"""Golden numbers for the classical operations, by scikit-image and scipy.

usage: make_golden.py SHARED_DATA        (needs numpy, scipy, scikit-image, pillow)

Writes beside this script `golden.bin.z` (zlib; all arrays, little-endian f32 or u32, row-major) and
`golden.json` (where each array begins, and the scalars). Inputs: a 97 x 83 crop of a real 8-bit Hoechst
field (BBBC038, CC0, field 10ba6cbee487) and a synthetic 16-bit field (seeded).
"""
import json
import pathlib
import sys
import zlib

import numpy as np
import scipy
import scipy.ndimage as ndi
import skimage
from PIL import Image
from skimage import filters, measure, morphology, segmentation

here = pathlib.Path(__file__).parent
index, blob = {}, bytearray()


def keep(name, array):
    """Adds an array to the blob: f32 or u32, row-major."""
    array = np.ascontiguousarray(array)
    kind = "f32" if array.dtype.kind == "f" else "u32"
    data = array.astype("<f4" if kind == "f32" else "<u4").tobytes()
    index[name] = {"kind": kind, "shape": list(array.shape), "offset": len(blob)}
    blob.extend(data)


def main():
    root = pathlib.Path(sys.argv[1])
    real = np.asarray(Image.open(root / "bbbc038-u2os/images/10ba6cbee487.png"))[100:197, 200:283].astype(np.float64)
    rng = np.random.default_rng(11)
    y, x = np.mgrid[0:64, 0:71]
    synthetic = np.full(y.shape, 400.0)
    for _ in range(9):
        cy, cx, r = rng.random() * 64, rng.random() * 71, rng.uniform(4, 8)
        synthetic += 10 ** rng.uniform(3, 4.5) / (1 + np.exp(np.hypot(y - cy, x - cx) - r))
    synthetic = np.clip(rng.normal(synthetic, np.sqrt(synthetic) + 20), 0, 65535).astype(np.uint16).astype(np.float64)
    scalars = {}
    for name, image in (("real", real), ("synthetic", synthetic)):
        keep(f"{name}/image", image)
        for sigma in (0.7, 2.0):
            keep(f"{name}/gaussian_{sigma}", ndi.gaussian_filter(image, sigma))
        smooth = ndi.gaussian_filter(image, 1.0).astype(np.float32)
        keep(f"{name}/smooth", smooth)
        keep(f"{name}/local_mean", filters.threshold_local(image, 15, method="mean"))
        keep(f"{name}/local_gaussian", filters.threshold_local(image, 15, method="gaussian"))
        wide = smooth.astype(np.float64)
        scalars[name] = {
            "otsu": float(filters.threshold_otsu(wide, nbins=256)),
            "li": float(filters.threshold_li(wide)),
            "triangle": float(filters.threshold_triangle(wide, nbins=256)),
            # One bin of the histograms above.
            "bin": float((wide.max() - wide.min()) / 256),
        }
        raw = image > filters.threshold_otsu(image)  # unsmoothed: ragged, with specks and holes
        keep(f"{name}/mask", raw.astype(np.uint32))
        for n, connectivity in ((4, 1), (8, 2)):
            keep(f"{name}/label_{n}", measure.label(raw, connectivity=connectivity))
        keep(f"{name}/fill", ndi.binary_fill_holes(raw).astype(np.uint32))
        keep(f"{name}/drop_small", morphology.remove_small_objects(raw, max_size=11, connectivity=1).astype(np.uint32))
        keep(f"{name}/fill_small", morphology.remove_small_holes(raw, max_size=3, connectivity=1).astype(np.uint32))
        for r in (1, 2, 3, 5):
            disk, square = morphology.disk(r), np.ones((2 * r + 1, 2 * r + 1), bool)
            for shape, footprint in (("disk", disk), ("square", square)):
                for op in ("erosion", "dilation", "opening", "closing"):
                    if op in ("opening", "closing") and r != 2:
                        continue
                    result = getattr(morphology, op)(raw, footprint)
                    keep(f"{name}/{op}_{shape}_{r}", result.astype(np.uint32))
        mask = ndi.binary_fill_holes(smooth > scalars[name]["li"])
        keep(f"{name}/clean", mask.astype(np.uint32))
        squared = np.rint(ndi.distance_transform_edt(mask) ** 2)
        keep(f"{name}/edt_squared", squared.astype(np.uint32))
        levels = np.floor(smooth / smooth.max() * 40).astype(np.float32)  # few levels: plateaus and ties
        keep(f"{name}/levels", levels)
        for n, footprint in ((4, morphology.disk(1)), (8, np.ones((3, 3)))):
            keep(f"{name}/reconstruct_{n}", morphology.reconstruction(levels - 3, levels, footprint=footprint))
            hmax = morphology.h_maxima(levels.astype(np.uint8), 3, footprint=footprint)
            keep(f"{name}/h_maxima_{n}", hmax.astype(np.uint32))
            keep(f"{name}/maxima_{n}", morphology.local_maxima(levels, connectivity=n // 4).astype(np.uint32))
        seeds = measure.label(morphology.h_maxima(levels.astype(np.uint8), 3, footprint=np.ones((3, 3))), connectivity=2)
        keep(f"{name}/seeds", seeds)
        for n in (4, 8):
            keep(f"{name}/watershed_levels_{n}", segmentation.watershed(-levels, seeds, connectivity=n // 4, mask=mask))
            keep(f"{name}/watershed_smooth_{n}", segmentation.watershed(-smooth, seeds, connectivity=n // 4, mask=mask))
        labels = segmentation.watershed(-smooth, seeds, mask=mask)
        keep(f"{name}/labels", labels)
        keep(f"{name}/expand_3", segmentation.expand_labels(labels, 3))
        keep(f"{name}/border", segmentation.clear_border(labels))
        keep(f"{name}/border_2", segmentation.clear_border(labels, buffer_size=2))
        for mode in ("inner", "thick"):
            for n in (4, 8):
                keep(f"{name}/{mode}_{n}", segmentation.find_boundaries(labels, connectivity=n // 4, mode=mode).astype(np.uint32))
        gaps = np.where(labels % 2 == 1, labels * 7, 0)
        keep(f"{name}/gaps", gaps)
        keep(f"{name}/relabelled", segmentation.relabel_sequential(gaps)[0])
    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-image": skimage.__version__}
    (here / "golden.json").write_text(json.dumps({"versions": versions, "scalars": scalars, "arrays": index}, indent=1) + "\n")
    (here / "golden.bin.z").write_bytes(zlib.compress(bytes(blob), 9))
    print(len(blob), "bytes,", len(index), "arrays")


if __name__ == "__main__":
    main()
