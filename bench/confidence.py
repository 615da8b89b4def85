"""How far confidences of nuclei hold on simulated plates that neither trained nor validated.

    python bench/confidence.py STAINFREE OUT [SEED ..]

Simulates a plate of 36 wells, trains a narrow network on a third of them, from nothing, fits the
confidence on a third (`train` does) and evaluates on the rest; a training a seed. Prints a line a
seed, and one for all: calibration error, AUROC, errors left where the least sure fifth is looked
at, and how many intervals of counts hold.
"""

import json
import subprocess
import sys
from pathlib import Path

program, out, seeds = sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or ["1", "2", "3"]
SIZE = ["--wells", "36", "--sites", "1", "--side", "320", "--planes", "1"]
SMALL = ["--encoder", "vgg16", "--weights", "none", "--width", "0.125"]
SHORT = ["--crop", "128", "--batch", "4", "--steps", "150"]


def run(*words):
    return subprocess.run([program, "--quiet", *map(str, words)], check=True, text=True,
                          capture_output=True).stdout


out.mkdir(parents=True, exist_ok=True)
plate, study = out / "plate", out / "study"
if not plate.exists():
    run("simulate", plate, *SIZE, "--seed", "28")
if not study.exists():
    run("new", plate / "plate", "--out", study)
    config = study / "stainfree.toml"
    text = config.read_text().splitlines()
    thirds = "fractions = [0.34, 0.33, 0.33]"
    config.write_text("\n".join(thirds if t.startswith("fractions") else t for t in text) + "\n")
    run("prepare", study)
print("seed  F1     wrong/all  ECE    (chance) AUROC  left at 20 %  intervals  true  expected")
for seed in seeds:
    name = f"seed{seed}"
    if not (study / "models" / name / "model.toml").exists():
        run("train", study, "--name", name, "--seed", seed, *SMALL, *SHORT)
    scores = json.loads(run("evaluate", study, "--model", name, "--json", "-"))
    sure = scores.get("confidence")
    if sure is None:
        print(f"{seed}: no confidence (too few nuclei that are right or wrong)")
        continue
    left = [row["errors_left"] for row in sure["looked_at"] if row["share"] == 0.2][0]
    held = [f["interval"][0] <= f["truth"] <= f["interval"][1] for f in sure["fields"]
            if "interval" in f]
    ece, auroc = sure["ece"], sure["auroc"]
    print(f"{seed:>4}  {scores['objects']['f1_50']['pooled']:.3f}  "
          f"{sure['wrong']}/{sure['objects']}  {ece['pooled']:.3f} {ece['ci95']} "
          f"({sure['ece_by_chance']:.3f})  {auroc['pooled']:.3f} {auroc['ci95']}  "
          f"{left:.2f}  {sum(held)}/{len(held)} of {sure['fields'][0].get('level')}  "
          f"{sum(f['truth'] for f in sure['fields'])}  "
          f"{sum(f['expected'] for f in sure['fields']):.1f}")
