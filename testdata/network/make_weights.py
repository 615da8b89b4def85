#!/usr/bin/env python3
"""Tiny files in the layouts in which VGG16 weights are published, to test the readers.

  make_weights.py [OUT]

All hold the 13 convolutions of VGG16 with 2 channels everywhere (3 at the input), values
`value("vgg.features.N.weight", [2, in, 3, 3], 1)` and `value("vgg.features.N.bias", [2], 1)` of make_golden.py.

  vgg_tiny.pth           torch.save, zip archive (torch 1.6 and later), with a classifier as torchvision's has
  vgg_tiny_legacy.pth    torch.save before 1.6, as torchvision's published files are
  vgg_tiny_parameters.pth  the same as nn.Parameter objects, one of them transposed in memory
  vgg_tiny.h5            Keras "notop": group blockB_convC, data sets blockB_convC_W_1:0 and _b_1:0, kernels HWIO
  vgg_tiny_keras2.h5     Keras 2: blockB_convC/blockB_convC/kernel:0 and bias:0, one data set stored compactly
"""

import collections
import pathlib
import sys

import h5py
import numpy as np
import torch

from make_golden import value

LAYERS = ((0, "block1_conv1"), (2, "block1_conv2"), (5, "block2_conv1"), (7, "block2_conv2"),
          (10, "block3_conv1"), (12, "block3_conv2"), (14, "block3_conv3"), (17, "block4_conv1"),
          (19, "block4_conv2"), (21, "block4_conv3"), (24, "block5_conv1"), (26, "block5_conv2"),
          (28, "block5_conv3"))


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    state, keras = collections.OrderedDict(), {}
    for n, name in LAYERS:
        w = value(f"vgg.features.{n}.weight", (2, 3 if n == 0 else 2, 3, 3), 1.0)
        b = value(f"vgg.features.{n}.bias", (2,), 1.0)
        state[f"features.{n}.weight"], state[f"features.{n}.bias"] = torch.from_numpy(w), torch.from_numpy(b)
        keras[name] = (np.ascontiguousarray(w.transpose(2, 3, 1, 0)), b)
    state["classifier.0.weight"] = torch.zeros(3, 2)
    torch.save(state, out / "vgg_tiny.pth")
    torch.save(state, out / "vgg_tiny_legacy.pth", _use_new_zipfile_serialization=False)
    parameters = collections.OrderedDict((k, torch.nn.Parameter(v)) for k, v in state.items())
    k = "features.2.weight"
    turned = state[k].permute(1, 0, 3, 2).contiguous().permute(1, 0, 3, 2)
    assert not turned.is_contiguous() and torch.equal(turned, state[k])
    parameters[k] = torch.nn.Parameter(turned)
    torch.save(parameters, out / "vgg_tiny_parameters.pth")
    with h5py.File(out / "vgg_tiny.h5", "w", libver="earliest") as f:
        f.attrs["layer_names"] = [name.encode() for name in keras]
        for name, (w, b) in keras.items():
            g = f.create_group(name)
            g.attrs["weight_names"] = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
            g[f"{name}_W_1:0"], g[f"{name}_b_1:0"] = w, b
        f.create_group("block1_pool").attrs["weight_names"] = []
    with h5py.File(out / "vgg_tiny_keras2.h5", "w", libver="earliest") as f:
        for name, (w, b) in keras.items():
            f[f"{name}/{name}/kernel:0"] = w
            if name == "block1_conv1":
                space = h5py.h5s.create_simple(b.shape)
                plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                plist.set_layout(h5py.h5d.COMPACT)
                group = f[f"{name}/{name}"].id
                dataset = h5py.h5d.create(group, b"bias:0", h5py.h5t.IEEE_F32LE, space, plist)
                dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, b)
            else:
                f[f"{name}/{name}/bias:0"] = b


if __name__ == "__main__":
    main()
