#!/usr/bin/env python3
"""Golden numbers of PyTorch for the EfficientNet-B4 encoder, and files in the layouts of its published weights.

  make_efficientnet.py [OUT]          writes the files below next to this script (or into OUT)

Needs torch, safetensors, h5py and torchvision; the model is that of bench/peers/unet_efficientnet_b4.py, whose names
and shapes are held to torchvision's here.

efficientnet_b4_w0125_c3_64x96.safetensors
  As mobilenet_v2_w0125_c3_64x64.safetensors of make_golden_encoders.py, 64 x 96 pixels, without stochastic depth.

efficientnet_b4_torchvision.txt
  Name and shape of every tensor of torchvision's efficientnet_b4, classifier included, one a line.

efficientnet_b4_keras.txt
  What Keras calls each tensor of these features, and torchvision's name.

efficientnet_b4_tiny.pth, efficientnet_b4_tiny.h5
  An encoder with every channel count times 0.0625 (at least 4), float32, as torch.save writes torchvision's
  state_dict, with a classifier; and as Keras writes that of efficientnet 1.0.0 ("notop"), stages 1 and 2 and both
  ends only: layers stem_conv, stem_bn,
  blockNx_expand_conv, .._expand_bn, .._dwconv, .._bn, .._se_reduce, .._se_expand, .._project_conv, .._project_bn,
  top_conv, top_bn; data sets LAYER/LAYER/kernel:0 (height, width, in, out), depthwise_kernel:0 (height, width,
  in, 1), bias:0, gamma:0, beta:0, moving_mean:0, moving_variance:0. The values are value("b4.NAME", shape, 0.2, 1)
  of make_golden.py, with torchvision's NAME and shape, in both.
"""

import pathlib
import sys

import h5py
import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench/peers"))

from make_golden import value
from make_golden_encoders import make_net
from unet_efficientnet_b4 import STAGES, EfficientNetB4, features

TINY = lambda c: max(4, round(c * 0.0625))


def shapes(module, skip=()):
    return {k: tuple(v.shape) for k, v in module.state_dict().items() if not k.endswith(tuple(skip))}


def make_names(out):
    import torchvision

    theirs = shapes(torchvision.models.efficientnet_b4(weights=None))
    ours = shapes(features(lambda c: c))
    assert {k.removeprefix("features."): v for k, v in theirs.items() if k.startswith("features.")} == ours
    lines = [f"{name} {' '.join(map(str, shape))}".rstrip() for name, shape in theirs.items()]
    (out / "efficientnet_b4_torchvision.txt").write_text("\n".join(lines) + "\n")
    lines = []
    for name in ours:
        if not name.endswith("num_batches_tracked"):
            layer, data_set = keras_name(name)
            lines.append(f"{layer}/{layer}/{data_set}:0 features.{name}")
    (out / "efficientnet_b4_keras.txt").write_text("\n".join(lines) + "\n")


def keras_name(name):
    """Keras' layer and data set of a tensor of torchvision's features, e.g. 2.0.block.1.0.weight."""
    parts = name.split(".")
    stage, leaf = int(parts[0]), parts[-1]
    if stage in (0, 8):
        layer = ("stem" if stage == 0 else "top") + ("_conv" if parts[1] == "0" else "_bn")
    else:
        block, expands = int(parts[1]), STAGES[stage - 1][3] > 1
        part = int(parts[3]) + (0 if expands else 1)
        if part == 2:
            kind = {"fc1": "se_reduce", "fc2": "se_expand"}[parts[4]]
        else:
            conv, norm = {0: ("expand_conv", "expand_bn"), 1: ("dwconv", "bn"), 3: ("project_conv", "project_bn")}[part]
            kind = conv if parts[4] == "0" else norm
        layer = f"block{stage}{'abcdefgh'[block]}_{kind}"
    if layer.endswith("bn"):
        return layer, {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}[leaf]
    if layer.endswith("dwconv"):
        return layer, "depthwise_kernel"
    return layer, {"weight": "kernel", "bias": "bias"}[leaf]


def make_tiny(out):
    wanted = shapes(features(TINY), ["num_batches_tracked"])
    arrays = {name: value(f"b4.{name}", shape, 0.2, 1.0) for name, shape in wanted.items()}
    state = {}
    for name in features(TINY).state_dict():
        state[f"features.{name}"] = torch.from_numpy(arrays[name]) if name in arrays else torch.tensor(0)
    state["classifier.1.weight"], state["classifier.1.bias"] = torch.zeros(2, TINY(1792)), torch.zeros(2)
    torch.save(state, out / "efficientnet_b4_tiny.pth")
    with h5py.File(out / "efficientnet_b4_tiny.h5", "w", libver="earliest") as f:
        for name, array in arrays.items():
            if not name.startswith(("0.", "1.", "2.", "8.")):
                continue
            layer, data_set = keras_name(name)
            if data_set == "depthwise_kernel":
                array = array.transpose(2, 3, 0, 1)
            elif array.ndim == 4:
                array = array.transpose(2, 3, 1, 0)
            f[f"{layer}/{layer}/{data_set}:0"] = np.ascontiguousarray(array)


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE)
    torch.set_num_threads(1)
    make_names(out)
    make_tiny(out)
    make_net(out, "efficientnet_b4_w0125_c3_64x96.safetensors", EfficientNetB4, 3, 0.125, 64, 96)


if __name__ == "__main__":
    main()
