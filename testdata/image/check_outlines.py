"""Other programs read the forms of labels and the OME-TIFFs that stainfree writes.

    python -m venv venv
    venv/bin/pip install tifffile imagecodecs ome-types scikit-image roifile shapely numpy
    STAINFREE_KEEP_WRITTEN=written cargo test -p stainfree-image --test ome_written
    STAINFREE_KEEP_FORMS=forms cargo test -p stainfree --test forms
    venv/bin/python testdata/image/check_outlines.py written forms

Both folders must be there and have absolute paths when the tests are run. Checked is that

- polygons of QuPath (shapely, scikit-image) and selections of ImageJ (roifile), painted again, are
  the labels, that polygons are valid, that a nucleus lies inside its cell, and that names and ids
  come once;
- OME-XML is valid (ome-types), and planes, types, names, sizes and levels are as written (tifffile);
- labels for napari have a type that it takes for labels, those for Cellpose its name.
"""

import json
import re
import sys
import uuid
from pathlib import Path

import numpy as np
import ome_types
import roifile
import tifffile
from shapely.geometry import shape
from skimage.draw import polygon2mask

checked = 0


def check(what, condition):
    global checked
    checked += 1
    if not condition:
        sys.exit(f"FAILED: {what}")


def painted(rings, size):
    """Pixels whose centre an odd number of rings is around; rings are (x, y) of pixels' corners."""
    inside = np.zeros(size, bool)
    for ring in rings:
        # scikit-image counts from the centre of the first pixel, in (row, column).
        corners = np.asarray(ring, float)[:, ::-1] - 0.5
        inside ^= polygon2mask(size, corners)
    return inside


def labels_of(features, kind, size):
    image = np.zeros(size, np.int64)
    for feature in features:
        properties = feature["properties"]
        measured = properties["measurements"]
        is_cell = properties["objectType"] == "cell"
        check("known kind of object", properties["objectType"] in ("cell", "detection"))
        if kind == "cells" and is_cell:
            geometry, label = feature["geometry"], measured["Label"]
        elif kind == "nuclei" and is_cell and "nucleusGeometry" in feature:
            geometry, label = feature["nucleusGeometry"], measured["Nucleus: Label"]
            check("nucleus inside its cell", shape(feature["geometry"]).covers(shape(geometry)))
        elif kind == "nuclei" and not is_cell:
            geometry, label = feature["geometry"], measured["Label"]
        else:
            continue
        polygon = shape(geometry)
        check(f"valid polygon {label}", polygon.is_valid)
        parts = getattr(polygon, "geoms", [polygon])
        rings = [list(ring.coords) for part in parts for ring in (part.exterior, *part.interiors)]
        inside = painted(rings, size)
        check(f"area of {label}", inside.sum() == polygon.area)
        check("no pixel twice", not image[inside].any())
        image[inside] = label
        area = [value for name, value in measured.items() if name.endswith("Area px^2")]
        if area:
            check(f"stated area of {label}", area[0] == polygon.area)
    return image


def check_geojson(path, nuclei, cells):
    collection = json.loads(path.read_text(encoding="utf-8"))
    check("a collection", collection["type"] == "FeatureCollection")
    features = collection["features"]
    ids = [uuid.UUID(feature["id"]) for feature in features]
    check("ids come once", len(set(ids)) == len(ids))
    check(f"{path}: nuclei", np.array_equal(labels_of(features, "nuclei", nuclei.shape), nuclei))
    if cells is not None:
        check(f"{path}: cells", np.array_equal(labels_of(features, "cells", cells.shape), cells))
    return len(features)


def check_rois(path, nuclei, cells):
    rois = roifile.ImagejRoi.fromfile(path)
    names = [roi.name for roi in rois]
    check("names come once", len(set(names)) == len(names))
    for prefix, labels in (("", nuclei), ("cell-", cells)):
        if labels is None:
            continue
        image = np.zeros(labels.shape, np.int64)
        for roi in rois:
            found = re.fullmatch(f"{prefix}(\\d+)", roi.name)
            if not found:
                continue
            rings = roi.coordinates(multi=True)
            rings = rings if isinstance(rings, list) else [rings]
            if roi.multi_coordinates is None:
                check("a traced selection", roi.roitype == roifile.ROI_TYPE.TRACED)
                x, y = rings[0].T
                box = (roi.left, roi.top, roi.right, roi.bottom)
                check("box", box == (x.min(), y.min(), x.max(), y.max()))
            inside = painted(rings, labels.shape)
            check(f"no pixel twice: {roi.name}", not image[inside].any())
            image[inside] = int(found[1])
        check(f"{path}: {prefix or 'nuclei'}", np.array_equal(image, labels))
    return len(rois)


def check_ome_labels(path, nuclei, cells):
    expected = [("nuclei", nuclei)] + ([("cells", cells)] if cells is not None else [])
    with tifffile.TiffFile(path) as file:
        ome = ome_types.from_xml(file.ome_metadata)
        pixels = ome.images[0].pixels
        check("channels", [channel.name for channel in pixels.channels] == [n for n, _ in expected])
        planes = file.series[0].asarray().reshape(len(expected), *nuclei.shape)
        check("at least 16 bits", planes.dtype in (np.uint16, np.uint32))
        for plane, (name, labels) in zip(planes, expected):
            check(f"{path}: {name}", np.array_equal(plane, labels))


def check_forms(folder, labels, cells_folder):
    """`labels` gives the label image of a field by its name."""
    for path in sorted((folder / "qupath").glob("*.geojson")):
        name = path.stem
        nuclei = labels(name)
        cells = tifffile.imread(cells_folder / f"{name}.tif") if cells_folder else None
        features = check_geojson(path, nuclei, cells)
        rois = check_rois(folder / "rois" / f"{name}.zip", nuclei, cells)
        check_ome_labels(folder / "ome" / f"{name}.ome.tif", nuclei, cells)
        for inner, image in (("", nuclei), ("cells", cells)):
            if image is None:
                continue
            napari = tifffile.imread(folder / "napari" / inner / f"{name}.tif")
            # napari's own rule: these integers are labels, others an image.
            check("labels for napari", napari.dtype in (np.int32, np.uint32, np.int64, np.uint64))
            check("napari", np.array_equal(napari, image))
            cellpose = tifffile.imread(folder / "cellpose" / inner / f"{name}_cp_masks.tif")
            check("cellpose", np.array_equal(cellpose, image))
        print(f"{path}: {features} features, {rois} selections")


def expected_plane(size, z, channel, time):
    """The rule of `values` in crates/image/tests/ome_written.rs."""
    y, x = np.mgrid[: size[0], : size[1]]
    return (10_000 * time + 1000 * channel + 100 * z + (y * 31 + x * 7) % 97).astype(np.int64)


def check_levels(series, shrink):
    check("levels", len(series.levels) > 1)
    for larger, smaller in zip(series.levels, series.levels[1:]):
        before, after = larger.asarray().astype(np.int64), smaller.asarray()
        before = np.pad(before, [(0, side % 2) for side in before.shape], mode="edge")
        if shrink == "nearest":
            right = before[::2, ::2]
        else:
            sums = before[::2, ::2] + before[1::2, ::2] + before[::2, 1::2] + before[1::2, 1::2]
            right = (sums + 2) // 4
        check(f"level {smaller.shape}", np.array_equal(right, after))
        check("type of a level", smaller.dtype == larger.dtype)


def check_written(folder):
    for path in sorted(folder.glob("*.ome.tif")):
        with tifffile.TiffFile(path) as file:
            ome = ome_types.from_xml(file.ome_metadata)
            pixels = ome.images[0].pixels
            check("pixel size", pixels.physical_size_x == pixels.physical_size_y == 0.65)
            check("unit", pixels.physical_size_x_unit.value == "µm")
            check("name", ome.images[0].name == 'B02_s1 <"µ" & co>')
            page = file.pages[0]
            check("tiles", page.is_tiled and page.tilewidth % 16 == 0 == page.tilelength % 16)
            n, d = page.tags["XResolution"].value
            check("resolution tag", abs(n / d * 0.65 / 1e4 - 1) < 1e-9)
            series = file.series[0]
            size = series.shape[-2:]
            planes = series.asarray()
            if path.name.startswith("zct"):
                check("axes", series.axes == "TCZYX" and pixels.physical_size_z == 1.5)
                names = [channel.name for channel in pixels.channels]
                check("channels", names == ['BF & "co"', "DAPI µ"])
                for (t, c, z) in np.ndindex(planes.shape[:3]):
                    check(f"plane {t} {c} {z}", np.array_equal(planes[t, c, z], expected_plane(size, z, c, t)))
            elif path.name.startswith("missing"):
                for (c, z) in np.ndindex(planes.shape[:2]):
                    there = c == 0 or z == 1
                    right = expected_plane(size, z, c, 0) * there
                    check(f"plane {c} {z}", np.array_equal(planes[c, z], right))
            elif path.name.startswith("type-"):
                kind, factor = {
                    "u8": (np.uint8, 1),
                    "u16": (np.uint16, 500),
                    "u32": (np.uint32, 100_000),
                    "f32": (np.float32, -0.37),
                }[path.name[5:].split(".")[0]]
                right = expected_plane(size, 0, 0, 0).astype(np.float32) * np.float32(factor)
                check("type", planes.dtype == kind)
                check("values", np.array_equal(planes.astype(np.float32), right))
            elif path.name.startswith("pyramid"):
                check_levels(series, "nearest" if "labels" in path.name else "mean")
                check("levels are no pages", len(file.pages) == 1)
            print(f"{path}: {series.axes} {series.shape} {series.dtype}, {len(series.levels)} levels")


def main():
    written, forms = map(Path, sys.argv[1:3])
    check_written(written)
    out = forms / "out"
    check_forms(out, lambda name: tifffile.imread(out / f"{name}.tif"), out / "cells")
    labels = forms / "labels"
    check_forms(forms / "forms", lambda name: tifffile.imread(labels / f"{name}_cp_masks.tif"), None)
    print(f"{checked} checks passed")


main()
