"""What confidences, intervals and strangeness are worth on real plates that neither trained nor fitted.

    python bench/real_trust.py target/release/stainfree DATA OUT [SEEDS]

DATA is celldetective (../shared/data/celldetective). Its experiments but the four of the test, which
are left out of everything, are parted into three folds (`[split] fold`). In each, a third of the
experiments is scored, and of the rest three fifths train (19 or 20 fields) and two fifths (4 or 5
experiments) choose the rule and fit confidences, temperatures and intervals. Trainings of 400 steps
of 4 crops of 224 px from `virtual-plates`, one for each fold and seed (default 1 2 3). Then

- `evaluate` on the fold's test: F1, calibration error, AUROC, errors left, intervals that hold;
- `predict` on every test experiment as a plate of its own: its strangeness, against the F1 lost to
  the validation fields;
- `adapt` on the experiment's own images, and F1 after it.

A second run goes on where the first stood; folds and seeds that are not trained yet are trained.
With `--no-train` only what is trained is told.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TEST = "Jan23_IL2,feb,march21,november22"
STEPS = ["--steps", "400", "--crop", "224"]
FOLDS = (1, 2, 3)


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stderr}"
    return done.stdout


def make_study(program, data, out, fold):
    study = out / f"study{fold}"
    if not study.exists():
        run(program, "new", study, "--images", data, "--labels", data, "--brightfield", "brightfield",
            "--group", "key:experiment", "--test-groups", TEST, "--quiet")
        config = study / "stainfree.toml"
        text = config.read_text()
        for key, value in {"fractions": "[0.54, 0.36, 0.1]", "fold": f"[{fold}, 3]",
                           "labels_px": "[5, -2]"}.items():
            text = re.sub(rf"^(# *)?{key} = .*$", f"{key} = {value}", text, flags=re.M)
        config.write_text(text)
    if not (study / "fields.csv").exists():
        run(program, "prepare", study, "--quiet")
    return study


def pooled(scores, name="f1_50"):
    value = scores["objects"][name]["pooled"]
    return float("nan") if value is None else value


def experiments(study):
    fields = defaultdict(list)
    for row in csv.DictReader(open(study / "fields.csv")):
        if row["split"] == "test":
            fields[row["group"]].append(row["name"])
    return fields


def linked(files, folder, suffixes, into):
    into.mkdir(parents=True, exist_ok=True)
    for name in files:
        for suffix in suffixes:
            place = into / f"{name}{suffix}"
            if not place.exists():
                place.symlink_to((folder / f"{name}{suffix}").resolve())


def experiment_scores(program, data, study, model, group, names, place):
    """Strangeness and F1 of an experiment by a model, and F1 after `adapt` on its own images."""
    told = place / "told.json"
    if told.exists():
        return json.loads(told.read_text())
    shutil.rmtree(place, ignore_errors=True)
    linked(names, data, [".tif", ".json"], place / "images")
    linked(names, study / "truth/nuclei", [".tif"], place / "truth")

    def f1(model, key):
        out = place / key
        run(program, "predict", model, place / "images", "--out", out, "--quiet", "--json",
            place / f"{key}.json")
        run(program, "evaluate", "--truth", place / "truth", "--prediction", out / "nuclei",
            "--objects", "--json", place / f"{key}-scores.json", "--quiet")
        scores = json.loads((place / f"{key}-scores.json").read_text())
        objects = scores["objects"]
        return [pooled(scores), objects["prediction"] / max(objects["truth"], 1) - 1]

    old = f1(model, "old")
    plates = json.loads((place / "old.json").read_text())["strange"]["plates"]
    found = {"group": group, "fields": len(names), "old": old,
             "strangeness": plates[0]["strangeness"] if plates else None}
    for share in (1.0, 0.5):
        adapted = place / f"model{share}"
        run(program, "adapt", model, place / "images", "--out", adapted, "--share", share, "--quiet")
        found[f"adapted{share}"] = f1(adapted, f"adapted{share}")
    told.write_text(json.dumps(found))
    return found


def ranks(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    found = [0.0] * len(values)
    for rank, i in enumerate(order):
        found[i] = float(rank)
    return found


def correlation(a, b):
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    ab = sum((x - ma) * (y - mb) for x, y in zip(a, b))
    aa, bb = sum((x - ma) ** 2 for x in a), sum((y - mb) ** 2 for y in b)
    return ab / (aa * bb) ** 0.5 if aa and bb else float("nan")


def mean(values):
    values = [v for v in values if v is not None and v == v]
    return sum(values) / len(values) if values else float("nan")


def main():
    train = "--no-train" not in sys.argv
    given = [word for word in sys.argv[1:] if word != "--no-train"]
    program, data, out = Path(given[0]).resolve(), Path(given[1]).resolve(), Path(given[2])
    seeds = given[3:] or ["1", "2", "3"]
    out.mkdir(parents=True, exist_ok=True)
    studies = {fold: make_study(program, data, out, fold) for fold in FOLDS}
    print("seed fold  F1    wrong/all  ECE (chance)  AUROC  left at 20 %  counts held  expected/true  "
          "areas held (all, mean)  pixel ECE: network, written")
    summaries, rows = [], []
    for seed in seeds:
        for fold, study in studies.items():
            name = f"seed{seed}"
            model = study / "models" / name
            if not (model / "model.toml").exists():
                if not train:
                    continue
                run(program, "train", study, "--name", name, "--seed", seed, *STEPS, "--quiet")
            if not (model / "familiar.toml").exists():
                continue
            # Trainings of an earlier build know fewer things.
            tuned = out / f"tuned-{fold}-{name}"
            if not tuned.exists():
                run(program, "tune", study, "--model", name, "--quiet")
                tuned.touch()
            if not (model / "scores.json").exists():
                run(program, "evaluate", study, "--model", name, "--quiet")
            scores = json.loads((model / "scores.json").read_text())
            sure = scores["confidence"]
            held = [f["interval"][0] <= f["truth"] <= f["interval"][1] for f in sure["fields"]
                    if "interval" in f]
            areas = {}
            for area in sure.get("areas", []):
                if "interval" in area:
                    inside = area["interval"][0] <= area["truth"] <= area["interval"][1]
                    areas.setdefault(area["of"], []).append(inside)
            left = [row["errors_left"] for row in sure["looked_at"] if row["share"] == 0.2][0]
            level = next((f["level"] for f in sure["fields"] if "level" in f), None)
            expected = sum(f["expected"] for f in sure["fields"])
            truth = sum(f["truth"] for f in sure["fields"])
            ece = [scores[key]["ece"]["pooled"] if key in scores else None
                   for key in ("calibration", "calibrated")]
            summaries.append({
                "f1": pooled(scores), "ece": sure["ece"]["pooled"], "chance": sure["ece_by_chance"],
                "auroc": sure["auroc"]["pooled"], "left": left, "held": held, "areas": areas,
                "off": expected / truth - 1, "pixels": ece, "wrong": sure["wrong"],
                "objects": sure["objects"],
            })
            shown = {key: f"{sum(value)}/{len(value)}" for key, value in areas.items()}
            print(f"{seed:>4} {fold:>4}  {pooled(scores):.3f} {sure['wrong']}/{sure['objects']}  "
                  f"{sure['ece']['pooled']:.3f} ({sure['ece_by_chance']:.3f})  "
                  f"{sure['auroc']['pooled']:.3f}  {left:.2f}  {sum(held)}/{len(held)} of {level}  "
                  f"{expected:.0f}/{truth}  {shown}  {ece}", flush=True)
            validation = model / "scores-validation.json"
            if not validation.exists():
                run(program, "evaluate", study, "--model", name, "--on", "validation", "--quiet")
            before = pooled(json.loads(validation.read_text()))
            for group, names in experiments(study).items():
                place = out / "experiments" / name / group
                found = experiment_scores(program, data, study, model, group, names, place)
                rows.append({**found, "seed": seed, "lost": before - found["old"][0]})
    if not summaries:
        return
    of = lambda key: mean([s[key] for s in summaries])
    held = [h for s in summaries for h in s["held"]]
    print(f"\n{len(summaries)} trainings: F1 {of('f1'):.3f}; ECE {of('ece'):.3f} (by chance "
          f"{of('chance'):.3f}); AUROC {of('auroc'):.3f}; errors left at 20 % {of('left'):.2f}; counts "
          f"held {sum(held)}/{len(held)}; expected counts off by {mean([abs(s['off']) for s in summaries]):.1%}"
          f" of the true ones; pixel ECE {mean([s['pixels'][0] for s in summaries]):.4f} to "
          f"{mean([s['pixels'][1] for s in summaries]):.4f}")
    for key in sorted({key for s in summaries for key in s["areas"]}):
        inside = [h for s in summaries for h in s["areas"].get(key, [])]
        print(f"area of {key}: {sum(inside)}/{len(inside)} intervals hold")
    groups = defaultdict(list)
    for row in rows:
        groups[row["group"]].append(row)
    print("\n| experiment | fields | strangeness | F1 | lost | adapted | half adapted | count: old | adapted |")
    print("|---|---|---|---|---|---|---|---|---|")
    for group, own in sorted(groups.items(), key=lambda item: mean([r["strangeness"] for r in item[1]])):
        m = lambda value: mean([value(r) for r in own])
        print(f"| {group} | {own[0]['fields']} | {m(lambda r: r['strangeness']):.2f} | "
              f"{m(lambda r: r['old'][0]):.2f} | {m(lambda r: r['lost']):+.2f} | "
              f"{m(lambda r: r['adapted1.0'][0]):.2f} | {m(lambda r: r['adapted0.5'][0]):.2f} | "
              f"{100 * m(lambda r: r['old'][1]):+.0f} % | {100 * m(lambda r: r['adapted1.0'][1]):+.0f} % |")
    told = [r for r in rows if r["strangeness"] is not None]
    strange = [r["strangeness"] for r in told]
    rank = correlation(ranks(strange), ranks([r["lost"] for r in told]))
    alarm = [r for r in told if r["strangeness"] > 1]
    print(f"\n{len(told)} experiments by models that had not met them: {len(alarm)} alarms; F1 lost "
          f"{mean([r['lost'] for r in alarm]):+.3f} with an alarm and "
          f"{mean([r['lost'] for r in told if r['strangeness'] <= 1]):+.3f} without; rank correlation of "
          f"strangeness and lost F1 {rank:.2f}")
    for share in ("adapted1.0", "adapted0.5"):
        gain = [r[share][0] - r["old"][0] for r in rows]
        print(f"{share}: F1 {mean(gain):+.3f} in the mean, better in {sum(g > 0 for g in gain)} of {len(gain)}")


if __name__ == "__main__":
    main()
