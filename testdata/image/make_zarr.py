"""Writes zarr.json, small stores of every kind of array with what zarr-python reads from them.

    python -m venv venv && venv/bin/pip install 'zarr>=3.1,<3.2' numcodecs
    venv/bin/python testdata/image/make_zarr.py

Each store is an image of OME-Zarr (0.4 in zarr 2, 0.5 in zarr 3) with one level. `files` has its
files by path, metadata as they are and chunks in hexadecimal digits, `sha256` that of all pixels in C order as little-endian
numbers, `type` the type in which they are counted there.
"""

import hashlib
import json
import pathlib
import tempfile

import numcodecs
import numpy as np
import zarr
from zarr.codecs import (
    BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec,
)

OUT = pathlib.Path(__file__).with_name("zarr.json")
KINDS = "b1 u1 i1 u2 i2 u4 i4 u8 i8 f2 f4 f8".split()


def pixels(kind, shape):
    """Numbers that compress, differ along every axis and use the sign where there is one."""
    index = np.indices(shape)
    value = sum(n * index[axis] for axis, n in enumerate([1, 5, 17, 3, 7][-len(shape):])) % 121
    if kind[0] in "if":
        value = value - 60
    if kind[0] == "b":
        value = value % 3 == 0
    return (value / 4 if kind[0] == "f" else value).astype(kind)


def metadata(ndim):
    axes = [{"name": n, "type": t} for n, t in
            [("t", "time"), ("c", "channel"), ("z", "space"), ("y", "space"), ("x", "space")]]
    scale = {"type": "scale", "scale": [1.0] * ndim}
    return {"axes": axes[-ndim:], "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}


def v2(folder, data, chunks, dtype=None, compressor=None, order="C", separator="/", fill=0):
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    group.attrs["multiscales"] = [{"version": "0.4", **metadata(data.ndim)}]
    array = group.create_array(
        "0", shape=data.shape, chunks=chunks, dtype=dtype or data.dtype, order=order,
        compressors=compressor, fill_value=fill,
        chunk_key_encoding={"name": "v2", "separator": separator})
    array[...] = data
    return array


def v3(folder, data, chunks, serializer=BytesCodec(), codecs=(), filters=(), key=None, fill=0,
       shards=None):
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [metadata(data.ndim)]}
    array = group.create_array(
        "0", shape=data.shape, chunks=chunks, dtype=data.dtype, serializer=serializer,
        compressors=list(codecs), filters=list(filters), fill_value=fill,
        chunk_key_encoding=key or {"name": "default", "separator": "/"})
    array[...] = data
    return array


def sharded(shard, chunk, location="end", codecs=(), index=None, endian="little"):
    return dict(chunks=shard, serializer=ShardingCodec(
        chunk_shape=chunk, codecs=[BytesCodec(), *codecs], index_location=location,
        index_codecs=index or [BytesCodec(endian=endian), Crc32cCodec()]))


def stores():
    small = (5, 7)
    for kind in KINDS:
        data = pixels(kind, small)
        yield f"v2-{kind}", lambda f, d=data: v2(f, d, (4, 4), fill=None)
        if data.dtype.itemsize > 1:
            big = data.dtype.newbyteorder(">")
            yield f"v2-{kind}-big", lambda f, d=data, b=big: v2(f, d.astype(b), (4, 4), dtype=b)
        yield f"v3-{kind}", lambda f, d=data: v3(f, d, (4, 4))
    wide = pixels("u2", (40, 44))
    for name in ["blosclz", "lz4", "lz4hc", "zlib", "zstd"]:
        for shuffle in [0, 1, 2]:
            blosc = numcodecs.Blosc(name, 5, shuffle)
            yield (f"v2-blosc-{name}-{shuffle}",
                   lambda f, b=blosc: v2(f, wide, (40, 40), compressor=b))
    blosc = numcodecs.Blosc("lz4", 5, 1, blocksize=512)
    yield "v2-blosc-blocks", lambda f: v2(f, pixels("f4", (40, 44)), (30, 23), compressor=blosc)
    bits = numcodecs.Blosc("zstd", 5, 2)
    yield "v2-blosc-bits-odd", lambda f: v2(f, pixels("u2", (37, 41)), (37, 41), compressor=bits)
    noise = np.random.default_rng(1).integers(0, 256, (16, 16), dtype="u1")
    yield "v2-blosc-stored", lambda f: v2(f, noise, (16, 16), compressor=numcodecs.Blosc("lz4"))
    for name, codec in {
        "gzip": numcodecs.GZip(5), "zlib": numcodecs.Zlib(5), "zstd": numcodecs.Zstd(3),
        "lz4": numcodecs.LZ4(),
    }.items():
        yield f"v2-{name}", lambda f, c=codec: v2(f, wide, (16, 20), compressor=c)
    for order in "CF":
        yield (f"v2-order-{order}",
               lambda f, o=order: v2(f, pixels("u2", (2, 3, 7, 9)), (1, 2, 4, 5), order=o,
                                     separator="."))
    yield "v2-fill", lambda f: v2(f, np.full((9, 11), 7, "u2"), (4, 4), fill=7)
    yield "v3-gzip", lambda f: v3(f, wide, (16, 20), codecs=[GzipCodec(level=5)])
    yield "v3-zstd-sum", lambda f: v3(f, wide, (16, 20), codecs=[ZstdCodec(level=3, checksum=True)])
    yield "v3-crc32c", lambda f: v3(f, wide, (40, 40), codecs=[ZstdCodec(), Crc32cCodec()])
    yield "v3-big", lambda f: v3(f, wide[:9, :11], (8, 8), serializer=BytesCodec(endian="big"))
    yield "v3-blosc", lambda f: v3(
        f, wide, (40, 40), codecs=[BloscCodec(cname="zstd", shuffle="bitshuffle", typesize=2)])
    yield "v3-transpose", lambda f: v3(
        f, pixels("u2", (2, 3, 7, 9)), (1, 2, 4, 5), filters=[TransposeCodec(order=(3, 1, 0, 2))])
    yield "v3-dots", lambda f: v3(
        f, wide[:9, :11], (8, 8), key={"name": "default", "separator": "."})
    yield "v3-keys-of-v2", lambda f: v3(
        f, wide[:9, :11], (8, 8), key={"name": "v2", "separator": "."})
    yield "v3-5d", lambda f: v3(f, pixels("u1", (2, 3, 2, 5, 6)), (1, 2, 2, 4, 4))
    yield "v3-fill-nan", lambda f: v3(f, np.full((9, 11), np.nan, "f4"), (4, 4), fill=np.nan)
    zstd = [ZstdCodec(level=3)]
    deep = pixels("u2", (2, 3, 15, 18))
    yield "v3-shards", lambda f: v3(f, deep, **sharded((1, 2, 8, 16), (1, 1, 4, 8), codecs=zstd))
    yield "v3-shards-start", lambda f: v3(
        f, deep, **sharded((1, 2, 8, 16), (1, 1, 4, 8), "start", zstd, endian="big"))
    yield "v3-shards-plain", lambda f: v3(
        f, wide, **sharded((32, 32), (8, 16), codecs=zstd, index=[BytesCodec()]))
    empty = wide.copy()
    empty[8:24, 8:32] = 0
    yield "v3-shards-holes", lambda f: v3(f, empty, **sharded((32, 32), (8, 8), codecs=zstd))


def kept_as(path):
    if path.name in ["zarr.json", ".zarray", ".zgroup", ".zattrs"]:
        return json.loads(path.read_text())
    return path.read_bytes().hex()


def main():
    kept = {}
    for name, write in stores():
        with tempfile.TemporaryDirectory() as folder:
            array = write(folder)
            read = zarr.open_group(folder, mode="r")["0"][...]
            assert read.shape == array.shape
            plain = read.astype(read.dtype.newbyteorder("<"))
            root = pathlib.Path(folder)
            files = sorted(path for path in root.rglob("*") if path.is_file())
            kept[name] = {
                "shape": list(read.shape),
                "type": plain.dtype.str[1:],
                "sha256": hashlib.sha256(plain.tobytes()).hexdigest(),
                "files": {str(path.relative_to(root)): kept_as(path) for path in files},
            }
    OUT.write_text("{\n" + ",\n".join(
        f"{json.dumps(name)}: {json.dumps(store, separators=(',', ':'))}" for name, store in kept.items()) + "\n}\n")
    print(len(kept), "stores,", OUT.stat().st_size, "bytes")


main()
