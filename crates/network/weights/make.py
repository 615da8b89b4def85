#!/usr/bin/env python3
"""Makes the files beside it (numpy and safetensors are needed):

make.py imagenet FILE   mobilenet_v2_f16.safetensors: the tensors of FILE under the same names, in half precision
make.py plates MODEL    virtual_plates.safetensors and .toml: the model of `stainfree pretrain MODEL`. Convolutions are
                        8 bit with a factor per output channel (tensor NAME + ".scale"), the rest is half precision.
"""
import pathlib
import re
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

here = pathlib.Path(__file__).parent


def half(value):
    value = value.astype(np.float16)
    assert np.isfinite(value).all()
    return value


def imagenet(path):
    save_file({name: half(v) for name, v in load_file(path).items()}, here / "mobilenet_v2_f16.safetensors")


def plates(folder):
    folder, out = pathlib.Path(folder), {}
    for name, value in load_file(folder / "weights.safetensors").items():
        if value.ndim == 4 and value.size >= 4096:
            scale = np.abs(value).reshape(len(value), -1).max(axis=1) / 127
            scale = np.where(scale > 0, scale, 1).astype(np.float32)
            out[name] = np.rint(value / scale[:, None, None, None]).astype(np.int8)
            out[name + ".scale"] = scale
        else:
            out[name] = half(value)
    save_file(out, here / "virtual_plates.safetensors")
    # The digests are those of the exact weights and of files that are not kept.
    text = re.sub(r"(?<=\[hashes\]\n)(.+\n)*", "", (folder / "model.toml").read_text())
    (here / "virtual_plates.toml").write_text(text)


{"imagenet": imagenet, "plates": plates}[sys.argv[1]](sys.argv[2])
