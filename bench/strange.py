"""Whether `predict` notices plates that are unlike the training: simulated shifts, each by degrees.

    pip install numpy pillow scikit-learn
    python bench/strange.py target/release/stainfree OUT

A stained plate is simulated and a small network trained on it (minutes). Then plates like it (other
cells, other seeds) and plates with one shift each are simulated and predicted, and what `predict`
says of every plate (`strange` in its JSON) is compared with what is known of it: share of alarms,
AUROC of the plates' strangeness against that of the plates like the training, the F1 of nuclei, and
how the two go together. OUT is kept, and a second run goes on where the first stood.
"""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

SIDE, WELLS, SITES = 320, 2, 2
TRAINING = {"wells": 12, "sites": 2, "seed": 1}
LIKE, EACH = 20, 5
UM = 0.325

# The microscope and cells of the training's plate.
USUAL = {"confluence": 0.5, "focus-um": 1.5, "objective-na": 0.75, "condenser-na": 0.3, "pixel-um": UM}


def usual(rng):
    """A plate like the training: another day of the same person and microscope."""
    return {
        "confluence": round(0.5 + rng.uniform(-0.05, 0.05), 3),
        "focus-um": round(1.5 + rng.uniform(-0.1, 0.1), 3),
    }, {"light": rng.uniform(0.96, 1.04)}


# Name of a shift: what is simulated otherwise, and what is done to the pixels afterwards.
SHIFTS = {
    "focus +1 um": ({"focus-um": 2.5}, {}),
    "focus +3 um": ({"focus-um": 4.5}, {}),
    "focus on the other side": ({"focus-um": -1.5}, {}),
    "objective 0.75 to 0.5": ({"objective-na": 0.5}, {}),
    "condenser 0.3 to 0.15": ({"condenser-na": 0.15}, {}),
    "condenser 0.3 to 0.5": ({"condenser-na": 0.5}, {}),
    "light halved": ({}, {"light": 0.5}),
    "light a fifth less": ({}, {"light": 0.8}),
    "light uneven": ({}, {"uneven": 0.5}),
    "10x for 20x, pixel size known": ({"pixel-um": 0.65}, {}),
    "magnified 1.4 times, not known": ({"pixel-um": UM / 1.4}, {"claim": UM}),
    "noise doubled": ({}, {"noise": 2}),
    "noise four times": ({}, {"noise": 4}),
    "confluence 0.5 to 0.2": ({"confluence": 0.2}, {}),
    "confluence 0.5 to 0.8": ({"confluence": 0.8}, {}),
    "other cells: half as large": ({"pixel-um": 2 * UM}, {"claim": UM}),
    "other cells: long and thin": ({}, {"stretch": 1.8}),
    "wrong channel: mitochondria": ({}, {"channel": "MitoTracker"}),
    "stain for brightfield: nuclei": ({}, {"channel": "Hoechst"}),
    "empty wells": ({"confluence": 0.02}, {}),
    "nothing but noise": ({}, {"nothing": True}),
}


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stderr}"
    return done.stdout


def simulate(program, out, seed, changes, **size):
    if (out / "plate").exists():
        return
    words = [program, "simulate", out, "--seed", seed, "--side", SIDE, "--planes", 1, "--quiet"]
    for key, value in (USUAL | changes | size).items():
        words += [f"--{key}", value]
    run(*words)


def changed(plate, what, rng):
    """Changes the brightfield's pixels in place."""
    for path in sorted(plate.rglob("*_w1.TIF")):
        image = np.asarray(Image.open(path)).astype(float)
        light = np.median(image)
        if "light" in what:
            # Fewer photons: the shot noise falls by the root, and what is missing is added.
            factor = what["light"]
            image = image * factor
            if factor < 1:
                grain = np.std(np.diff(image)) / np.sqrt(2)
                image += rng.normal(size=image.shape) * grain * np.sqrt(max(1 / factor - 1, 0)) * 0.5
        if "noise" in what:
            grain = noise_of(image) * np.sqrt(what["noise"] ** 2 - 1)
            image += rng.normal(size=image.shape) * grain
        if "uneven" in what:
            y, x = np.mgrid[-1:1:image.shape[0] * 1j, -1:1:image.shape[1] * 1j]
            image *= 1 - what["uneven"] * (x + 0.5 * y + 1.5) / 3
        if "stretch" in what:
            width = image.shape[1]
            wide = Image.fromarray(image.astype(np.float32)).resize(
                (int(width * what["stretch"]), image.shape[0]), Image.BICUBIC)
            image = np.asarray(wide)[:, :width].astype(float)
        if "nothing" in what:
            image = light + rng.normal(size=image.shape) * noise_of(image)
        Image.fromarray(np.clip(np.round(image), 0, 65535).astype(np.uint16)).save(path)


def noise_of(image):
    """Deviation of white noise: the quietest fifth of the finest diagonal differences."""
    d = (image[::2, ::2] - image[::2, 1::2] - image[1::2, ::2] + image[1::2, 1::2]) / 2
    h, w = (side // 8 for side in d.shape)
    return np.sqrt(np.quantile((d[:h * 8, :w * 8].reshape(h, 8, w, 8) ** 2).mean((1, 3)), 0.2))


def study(program, out):
    made = out / "training"
    simulate(program, made, TRAINING["seed"], {}, wells=TRAINING["wells"], sites=TRAINING["sites"])
    study = out / "study"
    if not (study / "models/model/familiar.toml").exists():
        if not study.exists():
            run(program, "new", study, "--images", made / "plate", "--split", "0.7,0.3,0")
            run(program, "prepare", study, "--quiet")
        run(program, "train", study, "--width", 0.25, "--crop", 128, "--steps", 300, "--quiet")
    return study / "models/model"


def plate(program, model, out, seed, changes, what):
    """What `predict` says of one plate, and the F1 of its nuclei."""
    rng = np.random.default_rng(seed)
    said = out / "said.json"
    if not said.exists():
        simulate(program, out, seed, changes, wells=WELLS, sites=SITES)
        done = out / "changed"
        if set(what) - {"claim", "channel"} and not done.exists():
            changed(out / "plate", what, rng)
            done.touch()
        more = ["--pixel-um", what.get("claim", changes.get("pixel-um", UM))]
        if "channel" in what:
            more += ["--brightfield", what["channel"]]
        shutil.rmtree(out / "result", ignore_errors=True)
        run(program, "predict", model, out / "plate", "--out", out / "result", "--json", said,
            "--quiet", *more)
    f1 = out / "f1.json"
    if not f1.exists():
        run(program, "evaluate", "--truth", out / "truth/nuclei", "--prediction",
            out / "result/nuclei", "--objects", "--json", f1, "--quiet")
    (told,) = json.loads(said.read_text())["strange"]["plates"]
    marked = list(csv.DictReader(open(out / "result/predictions.csv")))
    return {
        "strangeness": told["strangeness"],
        "strange": told["strange"],
        "fields": [float(row["strangeness"]) for row in marked],
        "words": told["differences"][0]["words"] if told["differences"] else "",
        "f1": object_f1(json.loads(f1.read_text())),
    }


def object_f1(scores):
    """The F1 at IoU 0.5, wherever this version keeps it."""
    found = []

    def walk(value, path):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, path + [key])
        elif path[-1] in ("value", "pooled") and "f1_50" in path and isinstance(value, (int, float)):
            found.append(value)

    walk(scores, [])
    return found[0] if found else float("nan")


def main():
    program, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    model = study(program, out)
    like = [plate(program, model, out / f"like/{k}", 5000 + k, {}, {}) for k in range(LIKE)]
    rng = np.random.default_rng(7)
    days = [usual(rng) for _ in range(LIKE)]
    day = [plate(program, model, out / f"day/{k}", 7000 + k, *days[k]) for k in range(LIKE)]
    of = lambda plates, key: np.array([plate[key] for plate in plates], float)
    known = of(like + day, "strangeness")
    fine = np.nanmean(of(like, "f1"))
    print(f"| plates | alarms | fields marked | strangeness (median) | AUROC | nucleus F1 | said first |")
    print("|---|---|---|---|---|---|---|")

    def row(name, plates):
        own = of(plates, "strangeness")
        fields = np.concatenate([plate["fields"] for plate in plates])
        auroc = roc_auc_score([0] * len(known) + [1] * len(own), np.concatenate([known, own]))
        told = "" if plates in (like, day) else f"{auroc:.3f}"
        print(f"| {name} | {of(plates, 'strange').sum():.0f} of {len(plates)} | "
              f"{100 * (fields > 1).mean():.0f} % | {np.median(own):.2f} | {told} | "
              f"{np.nanmean(of(plates, 'f1')):.2f} | {plates[0]['words']} |", flush=True)

    row("like the training", like)
    row("another day: focus 0.1 um, light 4 %, confluence 0.05", day)
    others, loss = [], []
    for i, (name, (changes, what)) in enumerate(SHIFTS.items()):
        plates = [plate(program, model, out / f"shift/{i}/{k}", 1000 + 20 * i + k, changes, what)
                  for k in range(EACH)]
        row(name, plates)
        others += plates
    everything = like + day + others
    ranks = lambda values: np.argsort(np.argsort(values))
    lost = fine - np.nan_to_num(of(everything, "f1"))
    rank = np.corrcoef(ranks(of(everything, "strangeness")), ranks(lost))[0, 1]
    own = of(others, "strangeness")
    auroc = roc_auc_score([0] * len(known) + [1] * len(own), np.concatenate([known, own]))
    print(f"\nall shifts: AUROC {auroc:.3f}; alarms on {of(others, 'strange').mean():.0%} of them and on "
          f"{of(like + day, 'strange').mean():.1%} of {len(known)} plates like the training; rank "
          f"correlation of strangeness and lost F1 {rank:.2f}")
    worse = (fine - np.nan_to_num(of(others, "f1"))) > 0.1
    missed = worse & (of(others, "strange") == 0)
    print(f"of {worse.sum()} shifted plates that lost 0.1 of F1 or more, {missed.sum()} raised no alarm")


if __name__ == "__main__":
    main()
