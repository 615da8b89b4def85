"""How long tiles take: asks a running `stainfree view` for random tiles, one after the other.

    stainfree view IMAGES --no-open          # prints an address
    python3 bench/viewer/tiles.py ADDRESS [FIELD] [COUNT]

First the contrast. Then for every level: the median and the 95th percentile of the first time a tile is asked for, and of
the second, which the cache answers. Standard library only.
"""

import json
import random
import sys
import time
import urllib.request


def main() -> None:
    address, field, count = sys.argv[1], int((sys.argv[2:] or ["0"])[0]), int((sys.argv[3:] or ["60"])[0])
    host, token = address.split("/#")

    def ask(path: str) -> bytes:
        request = urllib.request.Request(f"{host}/api/{path}", headers={"X-Stainfree-Token": token})
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    listed = json.loads(ask("list"))
    shown, tile = listed["fields"][field], listed["tile"]
    height, width = shown["size"]
    chance = random.Random(29)
    paths = [("image", f"image/{field}/0/0")]
    paths += [(f"labels {layer['name']}", f"labels/{field}/{i}")
              for i, layer in enumerate(listed["layers"]) if shown["layers"][i]][:1]
    print(f"{shown['name']}: {height} x {width}")
    begun = time.perf_counter()
    ask(f"range/{field}/0/0")
    print(f"contrast: {1e3 * (time.perf_counter() - begun):.0f} ms")
    for what, path in paths:
        level = 0
        while True:
            side = tile << level
            rows, columns = -(-height // side), -(-width // side)
            places = [(y, x) for y in range(rows) for x in range(columns)]
            chance.shuffle(places)
            for which in ("first", "again"):
                times = []
                for y, x in places[:count]:
                    begun = time.perf_counter()
                    ask(f"{path}/{level}/{y}/{x}")
                    times.append(1e3 * (time.perf_counter() - begun))
                times.sort()
                p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
                print(f"{what}, level {level}, {which}: p50 {p50:.1f} ms, p95 {p95:.1f} ms ({len(times)} tiles)")
            if rows == columns == 1:
                break
            level += 1


main()
