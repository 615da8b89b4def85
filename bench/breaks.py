"""What breaks confidences, expected counts and their intervals: one example of each, through `predict`.

    python bench/confidence.py target/release/stainfree OUT 1
    python bench/breaks.py target/release/stainfree OUT/study

Plates of six wells with two fields each are simulated as the plate of bench/confidence.py is, of
other cells: as that one, out of focus, with cells half as large, and denser. The model of seed 1
predicts them; printed are true, predicted and expected nuclei, how many intervals of fields hold,
the share of predicted nuclei that are right as the confidences promise and in truth, and how
strange `report` calls the plate. What is made is kept beside the study.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

program, study = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
model, out = study / "models/seed1", study.parent / "breaks"
UM = 0.325
# Name, what is simulated otherwise, pixel size that is claimed.
PLATES = [
    ("like the training", {}, None),
    ("out of focus by 3 um more", {"focus-um": 4.5}, None),
    ("cells half as large, pixel size claimed wrongly", {"pixel-um": 2 * UM}, UM),
    ("denser: confluence 0.65 to 0.8", {"confluence": 0.8}, None),
]


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stderr}"
    return done.stdout


def true_counts(made):
    found = {}
    for row in csv.DictReader(open(made / "truth/cells.csv")):
        name = row.get("field") or row.get("name")
        found[name] = found.get(name, 0) + 1
    return found


print("| plate | true nuclei | predicted | expected | intervals that hold | right, as promised | right, "
      "in truth | F1 | strangeness |")
print("|---|---|---|---|---|---|---|---|---|")
for number, (name, changes, claim) in enumerate(PLATES):
    made = out / str(number)
    if not (made / "plate").exists():
        words = [program, "simulate", made, "--wells", 6, "--sites", 2, "--side", 320, "--planes", 1,
                 "--seed", 900 + number, "--unstained", "--quiet"]
        for key, value in changes.items():
            words += [f"--{key}", value]
        run(*words)
    claimed = ["--pixel-um", claim] if claim else []
    run(program, "predict", model, made / "plate", "--out", made / "result", "--quiet", *claimed)
    run(program, "evaluate", "--truth", made / "truth/nuclei", "--prediction", made / "result/nuclei",
        "--objects", "--json", made / "scores.json", "--quiet")
    run(program, "report", made / "result", "--json", made / "report.json", "--quiet")
    scores = json.loads((made / "scores.json").read_text())["objects"]
    verdict = json.loads((made / "report.json").read_text())["verdict"]
    strangeness = next(f["value"] for f in verdict["findings"] if f["rule"] == "familiar")
    rows = list(csv.DictReader(open(made / "result/predictions.csv")))
    true = true_counts(made)
    held = [float(r["nuclei_low"]) <= true[r["name"]] <= float(r["nuclei_high"]) for r in rows
            if r["nuclei_low"]]
    sure = [float(nucleus["confidence"]) for row in rows for nucleus in
            csv.DictReader(open(made / f"result/confidence/{row['name']}.csv"))]
    precision = next(r["precision"] for r in scores["by_threshold"] if r["iou"] == 0.5)
    expected = sum(float(row["expected_nuclei"]) for row in rows)
    print(f"| {name} | {scores['truth']} | {scores['prediction']} | {expected:.0f} | "
          f"{sum(held)} of {len(held)} | {100 * sum(sure) / max(len(sure), 1):.0f} % | "
          f"{100 * (precision or 0):.0f} % | {scores['f1_50']['pooled']:.2f} | {strangeness:.1f} |",
          flush=True)
