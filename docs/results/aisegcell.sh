#!/usr/bin/env bash
# Remakes the aisegcell numbers of README.md: aisegcell.sh DATA OUT
# DATA is the folder with bf/, nuc_gt/ and cell_mask/; OUT is made. `stainfree` must be on the PATH.
# Each of the four fields with a cell mask is the test set once; the other three train, none validates.
set -euo pipefail
data=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
for test in 181024TK20 200313SK20 210930MA20 220524DS30; do
  study=$out/$test
  stainfree new "$study" --images "$data" --brightfield bf --masks "$data/nuc_gt" \
    --cell-masks "$data/cell_mask" --group '^([0-9A-Z]+)_' --test-groups $test --split 0.9,0,0.1
  stainfree prepare "$study"
  stainfree train "$study" --name default --encoder vgg16 --width 0.25 --steps 400 --weights none
  stainfree train "$study" --name paper --recipe "$here/aisegcell-paper.toml" --weights none
  for name in default paper; do
    stainfree evaluate "$study" --model $name --json "$out/$test-$name.json"
  done
done
