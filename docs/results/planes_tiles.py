#!/usr/bin/env python3
"""Cuts the one field of a z-stack set into tiles that can be fields of a study: planes_tiles.py SET OUT

SET is the folder of `sephace` (made half as large, to 0.4 um a pixel) or of `xacgan`. OUT/images gets NAME_bf.tif with
all planes and NAME_nuclei.tif; for xacgan OUT/masks gets NAME.tif, the authors' nuclei. Needs numpy and tifffile.
"""

import pathlib
import sys

import numpy as np
import tifffile


def halved(planes):
    z, y, x = planes.shape
    blocks = planes[:, : y // 2 * 2, : x // 2 * 2].reshape(z, y // 2, 2, x // 2, 2)
    return np.rint(blocks.mean((2, 4))).astype(planes.dtype)


def pages(path):
    image = tifffile.imread(path)
    return image if image.ndim == 3 else image[None]


def main():
    source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    if (source / "set1_bf.tif").exists():
        planes, nuclei = halved(pages(source / "set1_bf.tif")), halved(pages(source / "set1_dapi.tif"))
        masks, side = None, (256, 224)
    else:
        (found,) = source.glob("*_bf.tif")
        name = str(found)[: -len("_bf.tif")]
        planes = pages(found)
        # Healthy and apoptotic nuclei are pages of their own.
        nuclei = pages(name + "_nuclei.tif").max(0, keepdims=True)
        masks, side = pages(name + "_mask.tif").max(0), (256, 256)
    for folder in ("images",) if masks is None else ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    height, width = side
    for y in range(0, planes.shape[1] - height + 1, height):
        for x in range(0, planes.shape[2] - width + 1, width):
            here = np.s_[..., y : y + height, x : x + width]
            name = f"t{y // height}{x // width}"
            for kind, stack in (("bf", planes), ("nuclei", nuclei)):
                tifffile.imwrite(out / "images" / f"{name}_{kind}.tif", stack[here], photometric="minisblack")
            if masks is not None:
                tifffile.imwrite(out / "masks" / f"{name}.tif", masks[here].astype(np.uint8), photometric="minisblack")


if __name__ == "__main__":
    main()
