"""When `adapt` (batch norms measured anew, without truth) helps and when it harms: simulated shifts.

    pip install numpy pillow scikit-learn
    python bench/adapt.py target/release/stainfree OUT

Plates, shifts and network are those of bench/strange.py, whose OUT may be given (what is there is
used). Of each shift the first plate (two wells of two fields) is what the model is adapted on, with
all of the weight and with half of it, and the next two are predicted by the old model and by both
new ones: F1 of nuclei at IoU 0.5 and the error of their number, against the exact truth. So are
plates like the training, which says what an adaptation costs where none is needed.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from strange import SHIFTS, UM, object_f1, plate, run, study, usual

SCORED = (1, 2)
SHARES = (1.0, 0.5)


def count_error(scores):
    objects = scores["objects"]
    return objects["prediction"] / max(objects["truth"], 1) - 1


def options(changes, what):
    more = ["--pixel-um", what.get("claim", changes.get("pixel-um", UM))]
    return more + (["--brightfield", what["channel"]] if "channel" in what else [])


def scores_of(program, model, made, name, more):
    """F1 and error of the count of a plate by a model."""
    told = made / f"{name}.json"
    if not told.exists():
        out = made / f"result-{name}"
        shutil.rmtree(out, ignore_errors=True)
        run(program, "predict", model, made / "plate", "--out", out, "--quiet", *more)
        run(program, "evaluate", "--truth", made / "truth/nuclei", "--prediction", out / "nuclei",
            "--objects", "--json", told, "--quiet")
    scores = json.loads(told.read_text())
    return object_f1(scores), count_error(scores)


def main():
    program, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    model = study(program, out)
    rng = np.random.default_rng(7)
    days = [usual(rng) for _ in range(3)]
    sets = [("like the training", [(out / f"like/{k}", 5000 + k, {}, {}) for k in range(3)]),
            ("another day", [(out / f"day/{k}", 7000 + k, *days[k]) for k in range(3)])]
    for i, (name, (changes, what)) in enumerate(SHIFTS.items()):
        sets.append((name, [(out / f"shift/{i}/{k}", 1000 + 20 * i + k, changes, what)
                            for k in range(3)]))
    print("| plates | strangeness | F1: old | adapted | half adapted | count: old | adapted | half |")
    print("|---|---|---|---|---|---|---|---|")
    gains = []
    for name, plates in sets:
        looked = [plate(program, model, *given) for given in plates]
        rows = {}
        for share in (None, *SHARES):
            folder = model
            key = "old" if share is None else f"share{share}"
            if share is not None:
                made, _, changes, what = plates[0]
                folder = made / f"model-{key}"
                if not (folder / "model.toml").exists():
                    run(program, "adapt", model, made / "plate", "--out", folder, "--share", share,
                        "--quiet", *options(changes, what))
            found = [scores_of(program, folder, plates[k][0], key, options(*plates[k][2:]))
                     for k in SCORED]
            rows[key] = np.nan_to_num(np.array(found, float)).mean(0)
        strangeness = np.median([looked[k]["strangeness"] for k in SCORED])
        gains.append((strangeness, rows["share1.0"][0] - rows["old"][0]))
        f1 = " | ".join(f"{rows[key][0]:.2f}" for key in rows)
        count = " | ".join(f"{100 * rows[key][1]:+.0f} %" for key in rows)
        print(f"| {name} | {strangeness:.2f} | {f1} | {count} |", flush=True)
    gains = np.array(gains)
    print(f"\nhelped by more than 0.02 of F1: {(gains[:, 1] > 0.02).sum()} of {len(gains)}; harmed by "
          f"more than 0.02: {(gains[:, 1] < -0.02).sum()}")


if __name__ == "__main__":
    main()
