#!/usr/bin/env bash
# Remakes the celldetective numbers of README.md: celldetective.sh DATA OUT
# DATA is the folder with the set's TIFF and JSON files; OUT is made. `stainfree` must be on the PATH.
set -euo pipefail
data=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
common=(--images "$data" --brightfield brightfield --group key:experiment
        --test-groups Jan23_IL2,feb,march21,november22)
mkdir -p "$out"

# Label images as truth, from a fresh start, at equal steps: the default recipe, in f32 and in bf16, the paper's, and
# the variant of the paper's that PyTorch ran.
stainfree new "$out/labels" "${common[@]}" --labels "$data"
stainfree prepare "$out/labels"
train() { stainfree train "$out/labels" --name "$1" --weights none "${@:2}"; }
train default --recipe default --encoder vgg16 --steps 400
train default-bf16 --recipe default --encoder vgg16 --steps 400 --precision bf16
train paper --recipe "$here/celldetective-paper.toml"
train torch --recipe "$here/celldetective-torch.toml"

# The small encoder, from nothing and from its ImageNet weights, where WEIGHTS names their file.
small=(--recipe default --encoder mobilenet-v2 --steps 300)
train mobilenet "${small[@]}"
if [ -n "${WEIGHTS:-}" ]; then
  stainfree train "$out/labels" --name mobilenet-imagenet --weights "$WEIGHTS" "${small[@]}"
fi

# EfficientNet-B4 at half width on small crops: only to see it learn.
train efficientnet-b4 --recipe default --encoder efficientnet-b4 --width 0.5 --crop 160 --steps 300

# Truth from the Hoechst channel, how far it is from the label images, and a model trained on it.
stainfree new "$out/hoechst" "${common[@]}" --nucleus hoechst
stainfree prepare "$out/hoechst"
stainfree evaluate --truth "$data" --prediction "$out/hoechst/truth/nuclei" --objects
stainfree train "$out/hoechst" --name default --recipe default --encoder vgg16 --steps 400 --precision bf16 --weights none
stainfree evaluate "$out/hoechst" --model default --json "$out/hoechst-on-hoechst.json"
cp -r "$out/hoechst/models/default" "$out/labels/models/hoechst"

for name in default default-bf16 paper torch mobilenet efficientnet-b4 ${WEIGHTS:+mobilenet-imagenet} hoechst; do
  stainfree evaluate "$out/labels" --model $name --json "$out/$name.json"
done
stainfree report "$out/labels" --model default
