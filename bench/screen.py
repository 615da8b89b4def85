"""Counts of a simulated screen from a few stained wells, through `predict`, `plan` and `estimate`.

    pip install numpy
    python bench/screen.py target/release/stainfree stainfree-demo/study/models/model /tmp/screen

Twenty plates of three doses, four wells each, are simulated and predicted by the model of
`stainfree demo`. Then 200 times: `plan` draws 24 wells, these get the counts that were simulated,
and `estimate` says totals and differences, which are compared with those of all wells.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

# What the dose does: the share of the plate that cells cover.
DOSES = {"0": 0.35, "1": 0.25, "10": 0.12}
PLATES, WELLS, STAINED, DRAWS = 20, 4, 24, 200


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def counts(cells):
    """Cells of each field."""
    found = {}
    for row in csv.DictReader(open(cells)):
        name = row.get("field") or row.get("name") or row["well"]
        found[name] = found.get(name, 0) + 1
    return found


def simulate(program, model, out):
    """`wells.csv` with what the network says, and the truth by plate and well."""
    rows, truth, dose_of = [("plate", "well", "objects", "dose")], {}, {}
    for plate in range(1, PLATES + 1):
        for d, (dose, cover) in enumerate(DOSES.items()):
            made, said = out / f"sim/p{plate}_{d}", out / f"said/p{plate}_{d}"
            if not made.exists():
                run(program, "simulate", made, "--wells", WELLS, "--sites", 1, "--side", 256,
                    "--confluence", cover, "--seed", 1000 + 10 * plate + d, "--unstained", "--quiet")
            run(program, "predict", model, made / "plate", "--out", said, "--quiet")
            there = counts(made / "truth/cells.csv")
            predicted = list(csv.DictReader(open(said / "predictions.csv")))
            for k, row in enumerate(sorted(predicted, key=lambda row: row["name"])):
                well = (f"p{plate}", f"{'ABC'[d]}{k + 1:02d}")
                rows.append((*well, row["nuclei"], dose))
                truth[well], dose_of[well] = there.get(row["name"], 0), dose
    table(out / "wells.csv", rows)
    for dose in DOSES:
        own = [row for row in rows[1:] if row[3] == dose]
        real, said = [truth[row[:2]] for row in own], [int(row[2]) for row in own]
        print(f"dose {dose}: {np.mean(real):.2f} cells a well, predicted {np.mean(said):.2f}, "
              f"correlation {np.corrcoef(real, said)[0, 1]:.2f}")
    return truth, dose_of


def draw(program, out, truth, seed):
    """One draw of wells, stained: what `estimate` says."""
    plan, stained = out / "plan.csv", out / "stained.csv"
    plan.unlink(missing_ok=True)
    run(program, "plan", out / "wells.csv", "--wells", STAINED, "--by", "dose", "--column",
        "objects", "--seed", seed, "--out", plan, "--quiet")
    head, *rows = csv.reader(open(plan))
    table(stained, [head + ["objects"]] + [row + [truth[tuple(row[:2])]] for row in rows])
    said = run(program, "estimate", "--predicted", out / "wells.csv", "--stained", stained, "--by",
               "dose", "--json", "-", "--quiet")
    return json.loads(said)


def main():
    program, model, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    truth, dose_of = simulate(program, model, out)
    total = {dose: sum(truth[w] for w in truth if dose_of[w] == dose) for dose in DOSES}
    wells = PLATES * WELLS
    held, width = {}, {}
    inside = lambda interval, value: interval[0] <= value <= interval[1]
    for seed in range(1, DRAWS + 1):
        said = draw(program, out, truth, seed)
        for row in said["groups"]:
            key = f"total of dose {row['by']}"
            held.setdefault(key, []).append(inside(row["total"]["ci95"], total[row["by"]]))
            wide = np.diff(row["ci95"])[0] / np.diff(row["classical"]["ci95"])[0]
            width.setdefault(key, []).append(wide)
        for row in said["differences"]:
            apart = (total[row["by"]] - total[row["against"]]) / wells
            key = f"dose {row['by']} against {row['against']}"
            held.setdefault(key, []).append(inside(row["ci95"], apart))
    for key, draws in held.items():
        wide = f", width {np.median(width[key]):.2f}" if key in width else ""
        print(f"{key}: {100 * np.mean(draws):.1f} % of {len(draws)} draws hold{wide}")


main()
