"""Checks with zarr-python and ome-zarr-models the stores that crates/image writes.

    python -m venv venv && venv/bin/pip install 'zarr>=3.1,<3.2' 'ome-zarr-models>=1.7'
    STAINFREE_KEEP_WRITTEN=DIR cargo test -p stainfree-image --features zarr --test zarr_written
    venv/bin/python testdata/image/check_zarr.py DIR

With a second folder, `check_zarr.py DIR IMAGES`, it checks what `stainfree convert IMAGES --out DIR
--to ome-zarr` wrote of a folder of TIFF files of one page, which is no plate, instead (needs
tifffile): each store NAME.ome.zarr against NAME.tif or NAME.tiff. Where DIR is a result of `stainfree
predict --to ome-zarr`, image and labels of every field are checked, the labels against the TIFFs
of the result.
"""

import pathlib
import sys

import numpy as np
import zarr
from ome_zarr_models import open_ome_zarr

yy, xx = np.mgrid[0:1100, 0:700]


def pixels(z, c, t):
    return ((yy * 523 + xx * 7 + 1000 * c + 100 * z + 10 * t) % 60_000).astype(np.uint16)


def shrunk(plane, nearest=False):
    """One pixel of 2 x 2; at an odd rim they count twice."""
    plane = np.pad(plane, [(0, n % 2) for n in plane.shape], mode="edge")
    if nearest:
        return plane[::2, ::2]
    parts = [plane[y::2, x::2].astype(np.float64) for y in (0, 1) for x in (0, 1)]
    mean = sum(parts) / 4
    return (np.floor(mean + 0.5) if plane.dtype.kind == "u" else mean).astype(plane.dtype)


def check_levels(group, wanted, axes, nearest=False):
    """All levels of a group against planes of the largest, by their place along the other axes."""
    said = group.attrs["ome"]["multiscales"][0]
    assert "".join(axis["name"] for axis in said["axes"]) == axes
    count = 0
    for number, level in enumerate(said["datasets"]):
        array = group[level["path"]]
        assert array.metadata.dimension_names == tuple(axes)
        for place in np.ndindex(array.shape[:-2]):
            plane = wanted(*place)
            for _ in range(number):
                plane = shrunk(plane, nearest)
            found = array[place]
            assert found.dtype == plane.dtype and np.array_equal(found, plane), (number, place)
            count += 1
    print(group.store_path, count, "planes of", len(said["datasets"]), "levels")


def check_models(group):
    print(type(open_ome_zarr(group)).__module__, type(open_ome_zarr(group)).__name__)


def written(folder):
    group = zarr.open_group(folder / "image.ome.zarr", mode="r")
    check_models(group)
    check_levels(group, lambda t, c, z: pixels(z, c, t) * ((t, c, z) != (0, 1, 1)), "tczyx")

    group = zarr.open_group(folder / "labelled.ome.zarr", mode="r")
    check_models(group)
    check_levels(group, lambda c: pixels(0, c, 0), "cyx")
    check_models(group["labels"])
    labels = (((yy // 100) * 7 + xx // 100) * 70_000).astype(np.uint32)
    for name in ["cells", "nuclei"]:
        check_models(group["labels"][name])
        check_levels(group["labels"][name], lambda: labels, "yx", nearest=True)

    group = zarr.open_group(folder / "plate.ome.zarr", mode="r")
    check_models(group)
    for k, path in enumerate(["A/01/0", "B/12/0", "B/12/1", "AA/03/0"]):
        check_models(group[path.rsplit("/", 1)[0]])
        check_models(group[path])
        wanted = (pixels(0, 0, k) / 8).astype(np.float32)
        check_levels(group[path], lambda c: wanted, "cyx")


def converted(folder, images):
    import tifffile

    stores = sorted(folder.glob("*.ome.zarr"))
    assert stores
    for store in stores:
        group = zarr.open_group(store, mode="r")
        check_models(group)
        name = store.name.removesuffix(".ome.zarr")
        files = [images / f"{name}.{ending}" for ending in ["tif", "tiff"]]
        path = next(path for path in files if path.exists())
        check_levels(group, lambda c: tifffile.imread(path), "cyx")


def predicted(folder, images):
    import tifffile

    stores = sorted((folder / "zarr").glob("*.ome.zarr"))
    assert stores
    for store in stores:
        group = zarr.open_group(store, mode="r")
        check_models(group)
        name = store.name.removesuffix(".ome.zarr")
        image = tifffile.imread(images / f"{name}.tif")
        check_levels(group, lambda c: image, "cyx")
        check_models(group["labels"])
        kinds = list(group["labels"].attrs["ome"]["labels"])
        assert {"classes", "nuclei"} <= set(kinds), kinds
        for kind in kinds:
            labels = tifffile.imread(folder / kind / f"{name}.tif").astype(np.uint32)
            check_models(group["labels"][kind])
            check_levels(group["labels"][kind], lambda: labels, "yx", nearest=True)
            said = group["labels"][kind].attrs["ome"]["image-label"]
            known = {entry["label-value"] for entry in said["colors"]}
            assert known >= set(np.unique(labels)) - {0, 255}, kind


if len(sys.argv) > 2 and (pathlib.Path(sys.argv[1]) / "zarr").is_dir():
    predicted(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
elif len(sys.argv) > 2:
    converted(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
else:
    written(pathlib.Path(sys.argv[1]))
