"""Writes the sample images of this folder and golden.json, what tifffile and Pillow read from them
and from the sets in ../../../shared/data.

    python make.py [folder of the real sets]

Pixels of the samples are synthetic. Only digests of the real sets are kept, no pixels.
Needs numpy, tifffile, imagecodecs, Pillow.
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
import tifffile
from PIL import Image

HERE = pathlib.Path(__file__).parent
DATA = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "../../../shared/data"
H, W = 37, 53  # odd, so that strips and tiles end short

rng = np.random.default_rng(7)
yy, xx = np.mgrid[0:H, 0:W]
ramp = (yy * 1000 + xx * 37 + rng.integers(0, 50, (H, W))).astype(np.uint16)
u8 = (ramp % 251).astype(np.uint8)
f32 = (ramp / 7 - 1000).astype(np.float32)


def tif(name, data, **options):
    options.setdefault("photometric", "minisblack")
    options.setdefault("metadata", None)
    kind = {key: options.pop(key) for key in ("byteorder", "bigtiff", "imagej", "ome") if key in options}
    with tifffile.TiffWriter(HERE / name, **kind) as writer:
        writer.write(data, **options)


def samples():
    tif("u16-none.tif", ramp)
    tif("u16-strips.tif", ramp, rowsperstrip=5)
    tif("u16-lzw.tif", ramp, compression="lzw")
    tif("u16-lzw-pred.tif", ramp, compression="lzw", predictor=True, rowsperstrip=8)
    tif("u16-deflate-pred.tif", ramp, compression="zlib", predictor=True, rowsperstrip=8)
    tif("u16-zstd.tif", ramp, compression="zstd")
    tif("u16-zstd-pred.tif", ramp, compression="zstd", predictor=True, rowsperstrip=8)
    tif("u16-big-endian.tif", ramp, byteorder=">")
    tif("u16-big-endian-lzw-pred.tif", ramp, byteorder=">", compression="lzw", predictor=True)
    tif("u16-bigtiff-deflate.tif", ramp, bigtiff=True, compression="zlib")
    tif("u16-tiles-deflate-pred.tif", ramp, tile=(16, 16), compression="zlib", predictor=True)
    tif("u16-tiles-zstd.tif", ramp, tile=(16, 32), compression="zstd")
    tif("u8-packbits.tif", u8 // 64, compression="packbits")
    tif("u8-tiles-big-endian.tif", u8, tile=(16, 16), byteorder=">")
    tif("f32-deflate-pred.tif", f32, compression="zlib", predictor=True)
    tif("f32-big-endian-pred.tif", f32, byteorder=">", compression="zlib", predictor=True)
    tif("f64.tif", f32.astype(np.float64))
    tif("f16.tif", (f32 / 100).astype(np.float16))
    tif("i16.tif", (ramp.astype(np.int32) - 20000).astype(np.int16))
    tif("i8.tif", (u8.astype(np.int16) - 120).astype(np.int8))
    tif("u32-labels.tif", (ramp // 100).astype(np.uint32) * 1000)
    tif("f32-labels.tif", (ramp // 100).astype(np.float32))
    tif("bit.tif", u8 > 100)
    tif("pages.tif", np.stack([ramp, ramp[::-1], ramp // 2]))
    tif("rgb-grey.tif", np.repeat(u8[..., None], 3, -1), photometric="rgb")
    tif("rgb-grey-planar.tif", np.repeat(u8[None], 3, 0), photometric="rgb", planarconfig="separate")
    tif("rgb-colour.tif", np.stack([u8, u8 // 2, u8], -1), photometric="rgb")
    tif(
        "imagej-t2z3c2.tif",
        (np.arange(12, dtype=np.uint16).reshape(2, 3, 2, 1, 1) * 1000 + ramp[None, None, None, :20, :30] % 997).astype(np.uint16),
        imagej=True,
        resolution=(1 / 0.325, 1 / 0.325),
        metadata={"axes": "TZCYX", "unit": "um", "spacing": 2.0,
                  "Labels": [f"t{t} z{z} {c}" for t in range(2) for z in range(3) for c in ("BF", "DAPI")]},
    )
    one = np.stack([ramp[:20, :30] + k for k in range(6)]).astype(">u2")
    head = tifffile.TiffWriter(HERE / "imagej-one-ifd.tif", byteorder=">")
    text = "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nhyperstack=true\nunit=\\u00B5m\n"
    head.write(one[0], photometric="minisblack", metadata=None, description=text,
               resolution=(2.0, 2.0), resolutionunit="none")
    head.close()
    with open(HERE / "imagej-one-ifd.tif", "ab") as file:
        file.write(one[1:].tobytes())
    planes = (np.arange(4).reshape(2, 2, 1, 1) * 500 + ramp[None, None, :20, :30]).astype(np.uint16)
    for axes in ("CZYX", "ZCYX"):
        tif(f"ome-{axes.lower()}.ome.tif", planes, ome=True, compression="zlib",
            metadata={"axes": axes, "Channel": {"Name": ["BF", "Kern & Zelle"]}, "PhysicalSizeX": 0.5,
                      "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm"})
    Image.fromarray(u8).save(HERE / "u8.png")
    Image.fromarray(ramp).save(HERE / "u16.png")
    Image.fromarray(u8 > 100).save(HERE / "bit.png")
    Image.fromarray(np.repeat(u8[..., None], 3, -1)).save(HERE / "rgb-grey.png")
    Image.fromarray(np.dstack([u8, u8, u8, np.full_like(u8, 255)])).save(HERE / "rgba-grey.png")
    Image.fromarray(np.stack([u8, u8 // 2, u8], -1)).save(HERE / "rgb-colour.png")


def stored():
    """Files whose values other readers turn round, refuse or misread; tifffile gives those stored."""
    for name, data in (("u8", u8), ("u16", ramp), ("i16", (ramp.astype(np.int32) - 20000).astype(np.int16)), ("f32", f32)):
        tif(f"miniswhite-{name}.tif", data, photometric="miniswhite")
    tif("miniswhite-tiles-big-endian.tif", ramp, photometric="miniswhite", tile=(16, 16), compression="zlib",
        predictor=True, byteorder=">")
    tifffile.imwrite(HERE / "miniswhite-bool.tif", u8 > 100)
    colours = np.stack([np.arange(256)[::-1] * 257, np.arange(256) * 13 % 65536, np.arange(256) * 257]).astype(np.uint16)
    tif("palette-u8.tif", u8, photometric="palette", colormap=colours)
    tif("packed-12-bits.tif", ramp % 4096, bitspersample=12)
    tif("packed-10-bits-big-endian.tif", ramp % 1024, bitspersample=10, byteorder=">")
    for name, data in (("u32", ramp.astype(np.uint32) * 100), ("i16", ramp.astype(np.int16)), ("f64", f32.astype(np.float64))):
        tif(f"rgb-grey-planar-tiles-{name}.tif", np.repeat(data[None], 3, 0), photometric="rgb",
            planarconfig="separate", tile=(16, 16), compression="zlib")
    tif("u16-lzw-pred-planes.tif", np.repeat(ramp[..., None], 3, -1), photometric="rgb", compression="lzw", predictor=True)


def digest(plane):
    """Shape, type and SHA-256 of the little-endian pixels, as this program stores them."""
    plane = np.asarray(plane)
    if plane.ndim == 3:  # colours that agree
        plane = plane[0] if plane.shape[0] == 3 else plane[..., 0]
    if plane.dtype == bool:
        plane = plane.astype(np.uint8)
    if plane.dtype not in (np.uint8, np.uint16):
        plane = plane.astype(np.float32)
    little = np.ascontiguousarray(plane).astype(plane.dtype.newbyteorder("<"))
    return {"shape": list(plane.shape), "type": plane.dtype.name, "sum": float(plane.sum(dtype=np.float64)),
            "sha256": hashlib.sha256(little.tobytes()).hexdigest()}


def planes(path):
    if path.suffix == ".png":
        image = Image.open(path)
        data = np.array(image)
        return [data.astype(np.uint8) * 255 if data.dtype == bool else data]
    with tifffile.TiffFile(path) as file:
        if path.name.startswith(("imagej-one-ifd", "gray8-3x2-stack")):
            data = file.asarray()
            return list(data.reshape(-1, *data.shape[-2:]))
        return [page.asarray() for page in file.pages]


def main():
    samples()
    stored()
    golden = {"samples": {}, "real": {}}
    for path in sorted([*HERE.iterdir(), *(HERE / "real").iterdir()]):
        if path.suffix in (".tif", ".png") and "colour" not in path.name:
            golden["samples"][path.relative_to(HERE).as_posix()] = [digest(plane) for plane in planes(path)]
    real = []
    for pattern in ("celldetective/*.tif", "aisegcell/*/*.png", "sephace/*.tif", "isl_neurons/*.tif",
                    "xacgan/*.tif", "bf_mito_hoechst/*.png", "bbbc038-u2os/*/*.png", "plates/imagej/*.tif",
                    "plates/imagexpress-exported/**/*.TIF", "plates/imagexpress-database/**/*.tif",
                    "plates/made-here/*.tif", "plates/ome-tiff/*.tif"):
        real += sorted(DATA.glob(pattern))
    for path in real:
        pages = planes(path)
        # One digest over the pages keeps the file small.
        whole = hashlib.sha256("".join(digest(page)["sha256"] for page in pages).encode()).hexdigest()
        golden["real"][path.relative_to(DATA).as_posix()] = [len(pages), *digest(pages[0])["shape"], whole[:16]]
    lines = ['{"samples": {']
    lines.append(",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in golden["samples"].items()))
    lines.append('}, "real": {')
    lines.append(",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in golden["real"].items()))
    lines.append("}}")
    (HERE / "golden.json").write_text("\n".join(lines) + "\n")


main()
