#!/usr/bin/env bash
# Remakes the table of planes in README.md: planes.sh DATA OUT
# DATA holds the folders sephace and xacgan; OUT is made. `stainfree` must be on the PATH, and `python` have numpy and
# tifffile. Each set is one field, cut into tiles that are cross-validated.
set -euo pipefail
data=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
for set in sephace xacgan; do
  python "$here/planes_tiles.py" "$data/$set" "$out/$set"
done
stainfree new "$out/sephace/study" --images "$out/sephace/images" --brightfield bf --nucleus nuclei --planes 4 \
  --pixel-um 0.4008 --group field --split 1,0,0
stainfree new "$out/xacgan/study" --images "$out/xacgan/images" --brightfield bf --masks "$out/xacgan/masks" --planes 7 \
  --group field --split 1,0,0
cp "$here/planes.toml" "$out/xacgan/planes.toml"
# Planes of sephace: -25, -10, -0.65, 0, +10, +25 um from focus.
sed -e 's/^folds = 4/folds = 3/' -e 's/^planes = .*/planes = [[4], [1], [6], [2, 4, 5], [1, 3, 6]]/' \
  "$here/planes.toml" > "$out/sephace/planes.toml"
for set in sephace xacgan; do
  stainfree experiment "$out/$set/planes.toml"
done
