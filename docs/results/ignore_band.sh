#!/usr/bin/env bash
# Remakes the ignored band's rows of docs/recipe.md: ignore_band.sh DATA OUT
# DATA is celldetective's folder; OUT is made. `stainfree` must be on the PATH, and `python`. Truth comes from the Hoechst
# channel with and without ignored pixels; every model is scored against the label images, moved as the stain is.
set -euo pipefail
data=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
common=(--images "$data" --brightfield brightfield --group key:experiment
        --test-groups Jan23_IL2,feb,march21,november22)

for name in none default; do
  stainfree new "$out/$name" "${common[@]}" --nucleus hoechst
done
# The settings of the nuclear stain come before the cytoplasm's.
sed -i '0,/^ignore_width_px/s/^ignore_width_px = .*/ignore_width_px = 0.0/' "$out/none/stainfree.toml"
for name in none default; do
  stainfree prepare "$out/$name"
  sed "s/^study = .*/study = \"$name\"/" "$here/ignore_band.toml" > "$out/ignore-$name.toml"
  stainfree experiment "$out/ignore-$name.toml"
done

# The three folds with the labels as truth, and on them every model.
for fold in 1 2 3; do
  labels=$out/labels-$fold
  stainfree new "$labels" "${common[@]}" --labels "$data"
  sed -i -e "s/^# fold = .*/fold = [$fold, 3]/" -e 's/^labels_px = .*/labels_px = [5, -1]/' "$labels/stainfree.toml"
  stainfree prepare "$labels"
  for name in none default; do
    for model in "$out/ignore-$name"/studies/*-"$fold"-of-3/models/*; do
      id=$name-${model##*/}
      mkdir -p "$labels/models"
      cp -r "$model" "$labels/models/$id"
      stainfree evaluate "$labels" --model "$id"
    done
  done
done
python "$here/ignore_band.py" "$out"
