#!/usr/bin/env bash
# Remakes the celldetective numbers of README.md: celldetective.sh DATA OUT
# DATA is the folder with the set's TIFF and JSON files; OUT is made. `stainfree` must be on the PATH.
set -euo pipefail
data=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
common=(--images "$data" --brightfield brightfield --group key:experiment
        --test-groups Jan23_IL2,feb,march21,november22)
mkdir -p "$out"

# Label images as truth; the default recipe and the paper's, from a fresh start, at equal steps.
stainfree new "$out/labels" "${common[@]}" --labels "$data"
stainfree prepare "$out/labels"
for recipe in default paper; do
  stainfree train "$out/labels" --name $recipe --recipe "$here/celldetective-$recipe.toml" --weights none
  stainfree evaluate "$out/labels" --model $recipe --json "$out/$recipe.json"
done
stainfree report "$out/labels" --model default

# Truth from the Hoechst channel, and how far it is from the label images.
stainfree new "$out/hoechst" "${common[@]}" --nucleus hoechst
stainfree prepare "$out/hoechst"
stainfree evaluate --truth "$data" --prediction "$out/hoechst/truth/nuclei" --objects
