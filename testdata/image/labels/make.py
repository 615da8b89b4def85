"""The same labels as editors save them: python make.py

napari and scikit-image leave NumPy's integers (int32, uint32, int64; its TIFFs are written by tifffile
with zlib), Fiji 16-bit or 32-bit float with ImageJ's description. One file has numbers that no label
image of this program can hold.
"""
import pathlib

import numpy as np
import tifffile

HERE = pathlib.Path(__file__).parent
labels = np.zeros((20, 31), int)
labels[2:9, 3:11] = 1
labels[2:9, 11:17] = 40_000  # beyond int16
labels[12:18, 4:29] = 7
for kind in (np.int32, np.uint32, np.int64, np.uint64):
    name = np.dtype(kind).name
    tifffile.imwrite(HERE / f"napari-{name}.tif", labels.astype(kind), compression="zlib")
tifffile.imwrite(HERE / "fiji-uint16.tif", labels.astype(np.uint16), imagej=True)
tifffile.imwrite(HERE / "fiji-float32.tif", labels.astype(np.float32), imagej=True)
tifffile.imwrite(HERE / "too-wide-int64.tif", labels * 2**32, compression="zlib")
