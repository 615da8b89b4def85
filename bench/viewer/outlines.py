"""How well outlines grown from one click agree with the nuclei of a study's truth.

    stainfree view STUDY --no-open           # prints an address
    python3 bench/viewer/outlines.py ADDRESS [CHANNEL] [EVERY]

Clicks into the middle of every nucleus that lies off the rim, in every EVERY-th field (4), as the page does, and compares
what grows there with the nucleus: median intersection over union, and the shares above 0.5 and 0.7. Standard library only.
"""

import json
import math
import sys
import urllib.error
import urllib.request


def main() -> None:
    address, *more = sys.argv[1:]
    channel, every = (int(word) for word in (more + ["1", "4"][len(more):]))
    host, token = address.split("/#")

    def ask(path: str):
        request = urllib.request.Request(f"{host}/api/{path}", headers={"X-Stainfree-Token": token})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def pixels(runs) -> set:
        return {(y, x) for y, first, after in runs for x in range(first, after)}

    fields = ask("list")["fields"]
    agreed, none = [], 0
    for number in range(0, len(fields), every):
        height, width = fields[number]["size"]
        objects = ask(f"objects/{number}/0/-")["objects"]
        areas = sorted(thing["area"] for thing in objects)
        reach = round(min(max(2 * math.sqrt(areas[len(areas) // 2] / math.pi), 8), 250))
        for thing in objects:
            top, left, bottom, right = thing["box"]
            if top == 0 or left == 0 or bottom == height or right == width or thing["area"] < areas[len(areas) // 2] / 4:
                continue
            y, x = round(thing["y"]), round(thing["x"])
            truth = pixels(ask(f"shape/{number}/0/{y}/{x}")["runs"])
            try:
                grown = pixels(ask(f"outline/{number}/{channel}/0/{y}/{x}/{reach}")["runs"])
            except urllib.error.HTTPError:
                none += 1
                continue
            agreed.append(len(truth & grown) / len(truth | grown) if truth else 0.0)
    agreed.sort()
    above = lambda limit: sum(value > limit for value in agreed) / (len(agreed) + none)
    print(f"{len(agreed) + none} nuclei, {none} without an outline: IoU {agreed[len(agreed) // 2]:.3f} (median), "
          f"above 0.5 {above(0.5):.2f}, above 0.7 {above(0.7):.2f}")


main()
