#!/usr/bin/env python3
"""Golden numbers of segmentation_models.pytorch's own networks, for the import of their weights.

  make_smp.py [OUT]          writes smp.json next to this script (or into OUT)

Needs torch, segmentation-models-pytorch and timm; no weights are fetched. For each encoder a `Unet` of three classes
(one with a single class and one-channel images, as for a sigmoid) gets weights that anyone can remake (`initial` of
make_golden.py: a tensor's values follow from its name and shape), and reads an image that is made in the same way,
`value("smp NAME", [channels, 64, 96], 1)`. Kept are

  versions     of torch, segmentation_models_pytorch and timm
  networks     a list: `encoder`, `channels` of the image, `classes`, `tensors` (name and shape of everything in the
               `state_dict` but the counts of batches), `logits` (every 7th of [classes, 64, 96], computed in f64) and
               `largest`, their largest magnitude
"""

import json
import pathlib
import sys

import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch

from make_golden import value

NETWORKS = (
    ("vgg16", 3, 3),
    ("vgg16_bn", 3, 3),
    ("mobilenet_v2", 3, 3),
    ("mobilenet_v2", 1, 1),
    ("efficientnet-b4", 3, 3),
    ("timm-efficientnet-b4", 3, 3),
)
HEIGHT, WIDTH, EVERY = 64, 96, 7


def initial(name, shape):
    """As make_golden.py's, whatever the layers are called: batch norm alone has weights of one dimension."""
    if name.endswith("running_var") or (name.endswith(".weight") and len(shape) == 1):
        return value(name, shape, 0.2, 1.0)
    if len(shape) > 1:
        return value(name, shape, (6.0 / np.prod(shape[1:])) ** 0.5)
    return value(name, shape, 0.1)


def network(encoder, channels, classes):
    model = smp.Unet(encoder, encoder_weights=None, in_channels=channels, classes=classes).eval()
    state, tensors = {}, []
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = tensor
            continue
        shape = list(tensor.shape)
        tensors.append([name, shape])
        state[name] = torch.from_numpy(initial(name, shape))
    model.load_state_dict(state)
    image = value(f"smp {encoder} {channels}", [1, channels, HEIGHT, WIDTH], 1)
    with torch.no_grad():
        logits = model.double()(torch.from_numpy(image).double()).numpy().ravel()
    print(encoder, len(tensors), "tensors, logits to", np.abs(logits).max())
    return {
        "encoder": encoder,
        "channels": channels,
        "classes": classes,
        "tensors": tensors,
        "logits": [float(f"{x:.9g}") for x in logits[::EVERY]],
        "largest": float(np.abs(logits).max()),
    }


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    versions = {"torch": torch.__version__, "segmentation_models_pytorch": smp.__version__, "timm": timm.__version__}
    found = {"versions": versions, "networks": [network(*which) for which in NETWORKS]}
    (out / "smp.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")


main()
