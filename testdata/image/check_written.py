"""Checks with tifffile and Pillow what `tests/written.rs` of crates/image wrote.

    STAINFREE_KEEP_WRITTEN=DIR cargo test --release -p stainfree-image --test written
    python check_written.py DIR
"""

import pathlib
import sys

import numpy as np
import tifffile
from PIL import Image

folder = pathlib.Path(sys.argv[1])
yy, xx = np.mgrid[0:701, 0:523]
large = ((yy * 523 + xx * 7) % 60_000).astype(np.uint16)
first = (large.astype(np.float32) / np.float32(7.0) - np.float32(3.0)).astype(np.float32)

expected = {
    "labels.tif": large,
    "labels-wide.tif": large.astype(np.uint32) + 100_000_000,
    "mask.tif": (large % 4).astype(np.uint8),
    "plane.tif": large,
    "stack.tif": np.stack([first, first / 2]),
    "xml.tif": large,
    "xml-deflate.tif": large,
}
for name, data in expected.items():
    with tifffile.TiffFile(folder / name) as file:
        found = file.asarray()
        assert found.dtype == data.dtype and np.array_equal(found, data), name
        page = file.pages[0]
        if name.startswith("xml"):
            assert page.description.startswith("<MetaData>"), name
        else:
            assert file.is_imagej and file.imagej_metadata["unit"] == "um", name
            n, d = page.tags["XResolution"].value
            assert abs(d / n - 0.325) < 1e-8, name
        print(name, page.compression.name, page.predictor, found.shape, found.dtype, (folder / name).stat().st_size)
grey = (large % 256).astype(np.uint8)
assert np.array_equal(np.array(Image.open(folder / "grey.png")), grey)
assert np.array_equal(np.array(Image.open(folder / "rgb.png")), np.dstack([grey, 255 - grey, np.full_like(grey, 7)]))
print("all equal")
