#!/usr/bin/env python3
"""A parallel task of Fractal: nuclei and cytoplasm of one image of an OME-Zarr plate, as its labels.

    predict.py --args-json ARGUMENTS --out-json RESULT

`stainfree predict IMAGE --to ome-zarr` writes an image of its own with labels, beside the plate.
This puts those labels into the image of the plate: OME-Zarr 0.5 as the program writes it, OME-Zarr
0.4 by other metadata for the same chunks (one zstd frame each, which both formats have). Axes and
scales are those of the image, so that labels lie on it whatever pixel size was said.

Python's standard library alone.
"""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Optional

# What tells labels of this task from those of other programs.
MARK = "stainfree"
V2_TYPES = {"uint8": "|u1", "uint16": "<u2", "uint32": "<u4"}


class Image:
    """Metadata of an image of a plate, and of its labels, in the format that it has."""

    def __init__(self, path):
        self.path = path
        self.labels = path / "labels"
        if (path / "zarr.json").is_file():
            attributes = read(path / "zarr.json").get("attributes", {}).get("ome", {})
            self.version, self.v3 = attributes.get("version"), True
        elif (path / ".zattrs").is_file():
            attributes = read(path / ".zattrs")
            self.version, self.v3 = (attributes.get("multiscales") or [{}])[0].get("version"), False
        else:
            raise SystemExit(f"{path} is no image of an OME-Zarr plate: a folder with zarr.json or .zattrs")
        if "multiscales" not in attributes or self.version != ("0.5" if self.v3 else "0.4"):
            raise SystemExit(f"{path} is no image in OME-Zarr 0.4 or 0.5 (version {self.version})")
        scales = attributes["multiscales"][0]
        level = scales["datasets"][0]
        names = [axis["name"] for axis in scales["axes"]]
        self.kept = [place for place, axis in enumerate(scales["axes"]) if axis.get("type") != "channel"]
        self.axes = [scales["axes"][place] for place in self.kept]
        if names[-2:] != ["y", "x"]:
            raise SystemExit(f"{path} has the axes {', '.join(names)}; the last two have to be y and x")
        array = read(path / level["path"] / ("zarr.json" if self.v3 else ".zarray"))
        times = [array["shape"][place] for place, name in enumerate(names) if name == "t"]
        if times and times[0] > 1:
            raise SystemExit(f"{path} has {times[0]} times; the task takes images of one time")
        self.whole = self.of_kept(scales.get("coordinateTransformations", []))
        self.scale, self.shift = [1.0] * len(self.kept), [0.0] * len(self.kept)
        for step in self.of_kept(level["coordinateTransformations"]):
            if step["type"] == "scale":
                self.scale = step["scale"]
            elif step["type"] == "translation":
                self.shift = step["translation"]

    def of_kept(self, steps):
        """Transformations without the channel's axis."""
        return [{**step, step["type"]: [step[step["type"]][place] for place in self.kept]} for step in steps]

    def listed(self):
        """Names of the labels that the image has."""
        file = self.labels / ("zarr.json" if self.v3 else ".zattrs")
        if not file.is_file():
            return []
        found = read(file)
        return (found.get("attributes", {}).get("ome", {}) if self.v3 else found).get("labels", [])

    def is_ours(self, name):
        """Whether a folder of labels is of this task."""
        file = self.labels / name / ("zarr.json" if self.v3 else ".zattrs")
        found = read(file) if file.is_file() else {}
        return MARK in (found.get("attributes", {}) if self.v3 else found)

    def list(self, names):
        """Makes labels known. What else the group says stays."""
        if not self.v3:
            file = self.labels / ".zattrs"
            write(self.labels / ".zgroup", {"zarr_format": 2})
            write(file, {**(read(file) if file.is_file() else {}), "labels": names})
            return
        file = self.labels / "zarr.json"
        group = read(file) if file.is_file() else {"zarr_format": 3, "node_type": "group"}
        ome = group.setdefault("attributes", {}).setdefault("ome", {"version": "0.5"})
        ome["labels"] = names
        write(file, group)

    def put(self, source, name, made):
        """Writes a label image that the program made as one of this image: whole, or not at all."""
        part = self.labels / f".{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        ome = read(source / "zarr.json")["attributes"]["ome"]
        scales, told = ome["multiscales"][0], dict(ome["image-label"])
        first = next(step["scale"] for step in scales["datasets"][0]["coordinateTransformations"]
                     if step["type"] == "scale")
        levels = []
        for level in scales["datasets"]:
            self.put_array(source / level["path"], part / level["path"])
            levels.append({"path": level["path"],
                           "coordinateTransformations": self.placed(level["coordinateTransformations"], first)})
        scales = {"name": name, "axes": self.axes, "datasets": levels}
        if self.whole:
            scales["coordinateTransformations"] = self.whole
        if self.v3:
            ome = {"version": "0.5", "multiscales": [scales], "image-label": told}
            write(part / "zarr.json", {"zarr_format": 3, "node_type": "group",
                                       "attributes": {"ome": ome, MARK: made}})
        else:
            write(part / ".zgroup", {"zarr_format": 2})
            write(part / ".zattrs", {"multiscales": [{"version": "0.4", **scales}],
                                     "image-label": {"version": "0.4", **told}, MARK: made})
        old = self.labels / name
        if old.exists():
            gone = self.labels / f".{name}.old"
            shutil.rmtree(gone, ignore_errors=True)
            old.rename(gone)
            part.rename(old)
            shutil.rmtree(gone)
        else:
            part.rename(old)

    def placed(self, steps, first):
        """Scale and place of a level, on the image: the program's, relative to its first level."""
        scale, shift = list(self.scale), list(self.shift)
        for step in steps:
            for axis in (-2, -1):
                if step["type"] == "scale":
                    scale[axis] = self.scale[axis] * (step["scale"][axis] / first[axis])
                elif step["type"] == "translation":
                    shift[axis] += self.scale[axis] * (step["translation"][axis] / first[axis])
        placed = [{"type": "scale", "scale": scale}]
        if any(shift):
            placed.append({"type": "translation", "translation": shift})
        return placed

    def put_array(self, source, target):
        """An array of y and x, as one of all axes of the image but the channel's."""
        array = read(source / "zarr.json")
        codecs = {codec["name"]: codec.get("configuration", {}) for codec in array["codecs"]}
        chunk = array["chunk_grid"]["configuration"]["chunk_shape"]
        if list(codecs) != ["bytes", "zstd"] or len(chunk) != 2:
            raise SystemExit("this version of the program writes labels that the task does not know")
        more = len(self.axes) - 2
        shape, chunk = [1] * more + array["shape"], [1] * more + chunk
        if self.v3:
            array["shape"] = shape
            array["chunk_grid"]["configuration"]["chunk_shape"] = chunk
            array["dimension_names"] = [axis["name"] for axis in self.axes]
            target.mkdir()
            write(target / "zarr.json", array)
            chunks = target / "c"
        else:
            target.mkdir()
            write(target / ".zarray", {
                "zarr_format": 2, "shape": shape, "chunks": chunk, "dtype": V2_TYPES[array["data_type"]],
                "compressor": {"id": "zstd", "level": codecs["zstd"]["level"]},
                "fill_value": array["fill_value"], "order": "C", "filters": None, "dimension_separator": "/"})
            chunks = target
        for _ in range(more):
            chunks = chunks / "0"
        # Chunks of background alone are not there.
        for file in (source / "c").glob("*/*"):
            place = chunks / file.parent.name / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def read(file):
    """A JSON file."""
    return json.loads(file.read_text(encoding="utf-8"))


def write(file, value):
    """A JSON file, whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    part.replace(file)


def predict(
    *,
    zarr_url: str,
    model: str,
    labels: list[str] = ["nuclei", "cells"],
    prefix: Optional[str] = None,
    brightfield: Optional[str] = None,
    planes: Optional[str] = None,
    pixel_um: Optional[float] = None,
    threads: Optional[int] = None,
    options: list[str] = [],
    results: Optional[str] = None,
    program: str = "stainfree",
    overwrite: bool = False,
) -> dict:
    """
    Find nuclei and cytoplasm in a brightfield image of an OME-Zarr plate.

    Runs `stainfree predict` on the image and adds what it found to the image as labels.

    Args:
        zarr_url: Path of the image in its plate. Set by Fractal.
        model: Model folder, or a study with one model.
        labels: Labels to add: `nuclei`, `cells` (where the model knows cytoplasm; each with the
            number of its nucleus), `classes`.
        prefix: Put before the names of the labels, such as `stainfree_`.
        brightfield: Label of the brightfield channel, or of three that are the planes, with commas.
            As the model was trained unless given.
        planes: z planes of the brightfield, from 1, with commas. As the model was trained unless
            given.
        pixel_um: Pixel size in um, where the image states none or a wrong one.
        threads: Threads to use. All cores that the task may use unless given.
        options: Further words for `stainfree predict`, such as `--flips`.
        results: Folder in which the whole result is kept (label images as TIFF, predictions.csv),
            below it as the image in its plate. Nothing but the labels is kept unless given.
        program: The program, where it is not on the PATH.
        overwrite: Replace labels of these names.
    """
    place = Path(zarr_url)
    image = Image(place)
    known = {name: f"{prefix or ''}{name}" for name in labels}
    for name, told in known.items():
        if name not in ("nuclei", "cells", "classes"):
            raise SystemExit(f"{name} is no label of the program: nuclei, cells, classes")
        if told in image.listed() and not overwrite:
            raise SystemExit(f"{place} has labels {told} already; `overwrite` replaces them")
        # Labels that are not listed are what is left of a task that was killed, or not ours.
        if told not in image.listed() and (image.labels / told).exists() and not image.is_ours(told):
            raise SystemExit(f"{image.labels / told} is there, and is not listed as labels")

    with tempfile.TemporaryDirectory(prefix="stainfree-") as scratch:
        # Plate, row, column and image; never the root, which would lead out of `results`.
        out = Path(results, *place.absolute().parts[1:][-4:]) if results else Path(scratch, "result")
        words = [program, "predict", model, str(place), "--out", str(out), "--to", "ome-zarr", "--quiet"]
        for option, value in (("--brightfield", brightfield), ("--planes", planes), ("--pixel-um", pixel_um),
                              ("--threads", threads)):
            if value is not None:
                words += [option, str(value)]
        words += (["--overwrite"] if overwrite else []) + list(options)
        print(" ".join(words), flush=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        print(done.stdout, end="", flush=True)
        if done.returncode:
            raise SystemExit(f"stainfree predict ended with exit code {done.returncode}: {done.stdout.strip()}")
        stores = sorted((out / "zarr").glob("*.ome.zarr"))
        if len(stores) != 1:
            raise SystemExit(f"{place} gave {len(stores)} results; the task takes images of one field")
        made = read(stores[0] / "zarr.json")["attributes"][MARK]
        missing = [name for name in labels if not (stores[0] / "labels" / name).is_dir()]
        if missing:
            raise SystemExit(f"the model makes no {', '.join(missing)}; `labels` has to do without")
        for name, told in known.items():
            image.put(stores[0] / "labels" / name, told, made)
        image.list(sorted({*image.listed(), *known.values()}))
    return {"image_list_updates": [{"zarr_url": zarr_url, "types": {"stainfree": True}}]}


def main():
    """Called by Fractal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--args-json", required=True, type=Path)
    parser.add_argument("--out-json", required=True, type=Path)
    words = parser.parse_args()
    if words.out_json.exists():
        sys.exit(f"{words.out_json} is there already")
    write(words.out_json, predict(**read(words.args_json)))


if __name__ == "__main__":
    main()
