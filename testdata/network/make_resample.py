#!/usr/bin/env python3
"""Golden numbers of crates/network/src/resample.rs: PyTorch's `interpolate`. Writes resample.safetensors here.

Needs torch and safetensors (torch 2.15.0 made the file).
"""

import pathlib

import torch
from safetensors.torch import save_file
from torch.nn.functional import interpolate

torch.manual_seed(1)
HEIGHT, WIDTH = 19, 26
image = torch.rand(HEIGHT, WIDTH) * 1000
mask = torch.randint(0, 4, (HEIGHT, WIDTH), dtype=torch.uint8)
tensors = {"image": image, "mask": mask}
# Smaller, larger, one axis each, one pixel, and a factor of 0.34 / 0.62.
for height, width in [(10, 14), (35, 47), (8, 40), (1, 1), (19, 26)]:
    size = (height, width)
    tensors[f"image_{height}x{width}"] = interpolate(
        image[None, None], size, mode="bilinear", align_corners=False, antialias=True)[0, 0].contiguous()
    tensors[f"mask_{height}x{width}"] = interpolate(
        mask[None, None].float(), size, mode="nearest-exact")[0, 0].to(torch.uint8).contiguous()
save_file(tensors, pathlib.Path(__file__).parent / "resample.safetensors")
