"""Images and plates to measure the viewer on.

    python3 bench/viewer/large.py image FOLDER [SIDE]     # one tiled OME-TIFF, 40,000 pixels a side
    python3 bench/viewer/large.py plate FOLDER [WELLS] [SITES]
    python3 bench/viewer/large.py objects FOLDER [COUNT]  # a field with so many labelled objects, 50,000

The image has tiles of 512 x 512, 16 bits, each compressed (deflate) and stored by itself, so that
none is read for another; no smaller levels. The plate has fields of 64 x 64 under ImageXpress names,
384 wells of 9 sites unless others are said. The labelled field lies in FOLDER/images and FOLDER/labels, for
`stainfree new study --images FOLDER/images --labels FOLDER/labels`. Standard library only.
"""

import random
import struct
import sys
import zlib
from pathlib import Path

TILE = 512
OME = ('<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
       '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="{w}" '
       'SizeY="{h}" SizeC="1" SizeZ="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">'
       '<Channel ID="Channel:0:0" Name="brightfield"/><TiffData IFD="0"/></Pixels></Image></OME>')


def texture(seed: int, side: int = TILE) -> bytes:
    """Grey values with spots and noise, little-endian."""
    chance = random.Random(seed)
    spots = [(chance.uniform(0, side), chance.uniform(0, side), chance.uniform(6, 14)) for _ in range(40)]
    rows = []
    for y in range(side):
        row = [2000 + chance.getrandbits(7) for _ in range(side)]
        for sy, sx, radius in spots:
            half = radius * radius - (y - sy) ** 2
            if half > 0:
                reach = half ** 0.5
                for x in range(max(0, int(sx - reach)), min(side, int(sx + reach) + 1)):
                    row[x] += 900
        rows.append(struct.pack(f"<{side}H", *row))
    return b"".join(rows)


def tag(number: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHQQ", number, kind, count, value)


def image(folder: Path, side: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tiles = [zlib.compress(texture(seed), 1) for seed in range(24)]
    across = -(-side // TILE)
    description = OME.format(w=side, h=side).encode() + b"\0"
    with open(folder / "large.ome.tif", "wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        offsets, sizes = [], []
        for i in range(across * across):
            data = tiles[(i * 7 + i // across) % len(tiles)]
            offsets.append(file.tell())
            sizes.append(len(data))
            file.write(data)
        places = []
        for blob in (description, struct.pack(f"<{len(offsets)}Q", *offsets), struct.pack(f"<{len(sizes)}Q", *sizes)):
            file.write(b"\0" * (-file.tell() % 8))
            places.append(file.tell())
            file.write(blob)
        file.write(b"\0" * (-file.tell() % 8))
        directory = file.tell()
        tags = [tag(256, 4, 1, side), tag(257, 4, 1, side), tag(258, 3, 1, 16), tag(259, 3, 1, 8),
                tag(262, 3, 1, 1), tag(270, 2, len(description), places[0]), tag(277, 3, 1, 1),
                tag(322, 4, 1, TILE), tag(323, 4, 1, TILE), tag(324, 16, len(offsets), places[1]),
                tag(325, 16, len(sizes), places[2])]
        file.write(struct.pack("<Q", len(tags)) + b"".join(tags) + struct.pack("<Q", 0))
        file.seek(8)
        file.write(struct.pack("<Q", directory))
    print(folder / "large.ome.tif")


def plain(path: Path, data: bytes, side: int, bits: int) -> None:
    """A square TIFF of one uncompressed strip."""
    tags = [(256, 4, side), (257, 4, side), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8),
            (277, 3, 1), (278, 4, side), (279, 4, len(data))]
    entries = b"".join(struct.pack("<HHII", n, kind, 1, value) for n, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory)


def objects(folder: Path, count: int) -> None:
    across = int(count ** 0.5 + 0.999)
    pitch, size = 18, 14
    side = across * pitch
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    grey = texture(1)
    rows = [grey[2 * TILE * y:2 * TILE * (y + 1)] * (side // TILE + 1) for y in range(TILE)]
    image = b"".join(rows[y % TILE][:2 * side] for y in range(side))
    plain(folder / "images" / "field.tif", image, side, 16)
    labels = []
    for row in range(across):
        numbers = [row * across + column + 1 for column in range(across)]
        kept = [number if number <= count else 0 for number in numbers]
        line = b"".join(struct.pack("<I", n) * size + bytes(4 * (pitch - size)) for n in kept)
        labels += [line] * size + [bytes(4 * side)] * (pitch - size)
    plain(folder / "labels" / "field.tif", b"".join(labels), side, 32)
    print(f"{count} objects in {side} x {side} pixels in {folder}")


def plate(folder: Path, wells: int, sites: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    side = 64
    pictures = []
    for seed in range(8):
        plain(folder / "picture", texture(seed, side), side, 16)
        pictures.append((folder / "picture").read_bytes())
    (folder / "picture").unlink()
    for well in range(wells):
        name = f"{chr(65 + well // 24)}{1 + well % 24:02}"
        for site in range(1, sites + 1):
            for channel in (1, 2):
                path = folder / f"plate_{name}_s{site}_w{channel}.tif"
                path.write_bytes(pictures[(well * 7 + site * 3 + channel) % 8])
    across, down = 24, 16
    rows = [", ".join("TRUE" if row * across + column < wells else "FALSE" for column in range(across))
            for row in range(down)]
    square = next(n for n in range(1, 100) if n * n >= sites)
    chosen = [", ".join("TRUE" if y * square + x < sites else "FALSE" for x in range(square)) for y in range(square)]
    lines = ['"HTSInfoFile", Version 1.0', '"Description", "plate"', '"PlateType", 4', '"TimePoints", 1', '"ZSeries", FALSE',
             f'"XWells", {across}', f'"YWells", {down}']
    lines += [f'"WellsSelection{i + 1}", {row}' for i, row in enumerate(rows)]
    lines += ['"Sites", TRUE', f'"XSites", {square}', f'"YSites", {square}']
    lines += [f'"SiteSelection{i + 1}", {row}' for i, row in enumerate(chosen)]
    lines += ['"Waves", TRUE', '"NWavelengths", 2', '"WaveName1", "Brightfield"', '"WaveName2", "Hoechst"',
              '"WaveCollect1", 1', '"WaveCollect2", 1', '"EndFile"']
    (folder / "plate.HTD").write_text("\r\n".join(lines) + "\r\n")
    print(f"{wells * sites} fields in {folder}")


def main() -> None:
    what, folder, *more = sys.argv[1:]
    numbers = [int(word) for word in more]
    if what == "image":
        image(Path(folder), (numbers + [40_000])[0])
    elif what == "objects":
        objects(Path(folder), (numbers + [50_000])[0])
    else:
        plate(Path(folder), *(numbers + [384, 9][len(numbers):]))


main()
