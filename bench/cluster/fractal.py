#!/usr/bin/env python3
"""Calls the Fractal task of docs/cluster/fractal as Fractal does, on a simulated plate.

    bench/cluster/fractal.py [STAINFREE]

The plate is OME-Zarr 0.5 as `convert` writes it, and once more OME-Zarr 0.4 with the axes c, z, y
and x, as Fractal's plates mostly are. Every image is a task of its own; the labels that it then has
are compared, chunk by chunk, with those of one `predict --to ome-zarr` of the whole plate. Also:
what is refused (labels that are there, another version, several times), a task that was killed and
given again, and that the program still reads the plate. Python 3.9, its standard library alone.

With KEEP=1 the folder stays, and its name is printed: for other readers of OME-Zarr.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASK = HERE.parent.parent / "docs/cluster/fractal/stainfree_fractal"


def read(file):
    return json.loads(file.read_text())


def write(file, value):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


def older(source, target):
    """A plate of OME-Zarr 0.5 as one of 0.4, its images with a z axis of one plane."""
    for file in sorted(source.rglob("zarr.json")):
        found, place = read(file), target / file.parent.relative_to(source)
        if found["node_type"] == "group":
            ome = found["attributes"].get("ome", {})
            ome.pop("version", None)
            for key in "plate", "well":
                if key in ome:
                    ome[key]["version"] = "0.4"
            for scales in ome.get("multiscales", []):
                scales["version"] = "0.4"
                scales["axes"].insert(1, {"name": "z", "type": "space", "unit": "micrometer"})
                # Half of the scale of y and x lies on all levels.
                scales["coordinateTransformations"] = [{"type": "scale", "scale": [1.0, 1.0, 0.5, 0.5]}]
                for level in scales["datasets"]:
                    for step in level["coordinateTransformations"]:
                        values = step[step["type"]]
                        values[-2:] = [2 * value for value in values[-2:]]
                        values.insert(1, 5.0 if step["type"] == "scale" else 0.0)
            write(place / ".zgroup", {"zarr_format": 2})
            write(place / ".zattrs", ome)
            continue
        names = [codec["name"] for codec in found["codecs"]]
        assert names == ["bytes", "zstd"] and found["data_type"] == "uint16", found
        channels, *plane = found["shape"]
        _, *chunk = found["chunk_grid"]["configuration"]["chunk_shape"]
        write(place / ".zarray", {
            "zarr_format": 2, "shape": [channels, 1, *plane], "chunks": [1, 1, *chunk], "dtype": "<u2",
            "compressor": {"id": "zstd", "level": 3}, "fill_value": 0, "order": "C", "filters": None,
            "dimension_separator": "/"})
        for piece in (file.parent / "c").glob("*/*/*"):
            c, y, x = piece.relative_to(file.parent / "c").parts
            (place / c / "0" / y).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(piece, place / c / "0" / y / x)


def chunks(labels):
    """Bytes of the chunks of a label image, by level and place; added axes and `c` left out."""
    found = {}
    for file in labels.rglob("*"):
        if file.is_file() and not file.name.startswith((".", "zarr.json")):
            parts = file.relative_to(labels).parts
            found[(parts[0], *parts[-2:])] = file.read_bytes()
    assert found, f"no chunks in {labels}"
    return found


class Task:
    """Calls the task."""

    def __init__(self, work, program, model):
        self.work, self.number = work, 0
        self.given = {"model": str(model), "program": str(program), "threads": 1}

    def __call__(self, image, refused=None, **more):
        self.number += 1
        arguments, out = self.work / f"in-{self.number}.json", self.work / f"out-{self.number}.json"
        write(arguments, {"zarr_url": str(image), **self.given, **more})
        done = subprocess.run([sys.executable, TASK / "predict.py", "--args-json", arguments, "--out-json", out],
                              text=True, capture_output=True)
        if refused:
            assert done.returncode and refused in done.stderr, f"not refused: {done.stdout}{done.stderr}"
            assert not out.exists()
            return
        if done.returncode:
            sys.exit(f"the task failed: {done.stdout}{done.stderr}")
        updates = read(out)["image_list_updates"]
        assert [update["zarr_url"] for update in updates] == [str(image)], updates


def main():
    program = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "target/release/stainfree").resolve()
    work = Path(tempfile.mkdtemp(prefix="stainfree-fractal."))
    try:
        def call(*words):
            subprocess.run([program, *words, "--quiet", "--threads", "1"], cwd=work, check=True,
                           stdout=subprocess.DEVNULL)

        call("simulate", "stained", "--wells", "4", "--sites", "1", "--side", "256", "--planes", "1")
        call("new", "stained/plate", "--out", "study")
        call("prepare", "study")
        call("train", "study", "--encoder", "vgg16", "--width", "0.0625", "--crop", "64", "--batch", "2",
             "--steps", "4")
        # Large enough for several levels and chunks.
        call("simulate", "sim", "--wells", "2", "--sites", "2", "--side", "1100", "--planes", "1", "--unstained",
             "--seed", "2")
        call("convert", "sim/plate", "--out", "new", "--to", "ome-zarr")
        plate = next((work / "new").glob("*.ome.zarr"))
        older(plate, work / "old" / plate.name)
        call("predict", "study", str(plate), "--out", "one", "--to", "ome-zarr")
        one = work / "one/zarr" / plate.name

        task = Task(work, program, work / "study/models/model")
        for version, folder in ("0.5", plate), ("0.4", work / "old" / plate.name):
            images = sorted(image for image in folder.glob("?/??/?") if image.is_dir())
            assert len(images) == 4, images
            for image in images:
                task(image, labels=["nuclei", "cells", "classes"])
                *_, row, column, site = image.parts
                # The program calls an image of its own after the site, from 1.
                whole = one / row / column / str(int(site) + 1) / "labels"
                for name in "nuclei", "cells", "classes":
                    assert chunks(image / "labels" / name) == chunks(whole / name), f"{image}: {name} differ"
                task(image, "has labels nuclei already")
                task(image, overwrite=True)
                # Killed before the labels were listed, and in the middle of them.
                listing = image / "labels" / ("zarr.json" if version == "0.5" else ".zattrs")
                listing.unlink()
                (image / "labels/.cells.part").mkdir()
                task(image, labels=["nuclei", "cells", "classes"])
                assert not list((image / "labels").glob(".*.part")) + list((image / "labels").glob(".*.old"))
            task(images[0], prefix="again_", labels=["nuclei"], results=str(work / "kept"))
            assert len(list((work / "kept").rglob("nuclei/*.tif"))) == 1, "nothing kept"
            shutil.rmtree(work / "kept")
            print(f"OME-Zarr {version}: labels of {len(images)} images are those of one run")
            # The program reads the plate as before, labels or not.
            call("predict", "study", str(folder), "--out", f"after-{version}")
            for file in (work / "one/nuclei").iterdir():
                assert file.read_bytes() == (work / f"after-{version}/nuclei" / file.name).read_bytes(), file.name
        image = images[0]
        scales = read(image / "labels/nuclei/.zattrs")["multiscales"][0]
        assert [axis["name"] for axis in scales["axes"]] == ["z", "y", "x"], scales
        assert scales["coordinateTransformations"][0]["scale"] == [1.0, 0.5, 0.5], scales
        assert scales["datasets"][0]["coordinateTransformations"][0]["scale"] == [5.0, 0.65, 0.65], scales

        (image / "labels/foreign").mkdir()
        (image / "labels/foreign").rename(image / "labels/other_nuclei")
        task(image, "is not listed as labels", prefix="other_", labels=["nuclei"])
        task(image, "no label of the program", labels=["nucleoli"])
        task(image.parent, "no image in OME-Zarr")
        task(work / "nowhere", "is no image of an OME-Zarr plate")
        task(image, "exit code", overwrite=True, brightfield="nothing")
        attributes = read(image / ".zattrs")
        attributes["multiscales"][0]["version"] = "0.3"
        write(image / ".zattrs", attributes)
        task(image, "version 0.3", overwrite=True)
        attributes["multiscales"][0]["version"] = "0.4"
        write(image / ".zattrs", attributes)
        shutil.rmtree(image / "labels/other_nuclei")
        film = work / "film.zarr"
        write(film / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {
            "version": "0.5", "multiscales": [{
                "axes": [{"name": name, "type": "time" if name == "t" else "space"} for name in "tyx"],
                "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]}]}}})
        write(film / "0/zarr.json", {"zarr_format": 3, "node_type": "array", "shape": [2, 64, 64]})
        task(film, "has 2 times")
        print("refused: labels that are there, foreign folders, unknown labels and channels, other versions, several times")
    finally:
        if os.environ.get("KEEP"):
            print(work)
        else:
            shutil.rmtree(work)


main()
