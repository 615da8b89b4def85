#!/usr/bin/env python3
"""Golden numbers of PyTorch for the encoders other than VGG16; everything in common is in make_golden.py.

  make_golden_encoders.py [OUT]          writes the files below next to this script (or into OUT)

Needs torch and safetensors; with torchvision present it also checks that the names and shapes used here are those
of its features.

mobilenet_v2_w0125_c3_64x64.safetensors
  The U-Net on MobileNetV2 with every channel count times 0.125 (at least 4; input 3 and the classes stay),
  batch 2. Tensors as in net_w0125_c3_64x64.safetensors, without the Adam steps (`after_*`, `step_losses`); the
  input keeps clear of the edges of ReLU and ReLU6 in the one forward pass there is. Besides,
    grad_rounding.NAME     f64 [2]            largest difference of an element, and norm of the difference, between
                                              PyTorch's gradients in float32 and in float64: some biases shift what
                                              the next batch norm takes away again, and their gradients all but
                                              vanish. The largest over `ROUNDINGS`: a tensor of one value may come
                                              out right by chance

mobilenet_v2_imagenet.safetensors
  Written only where mobilenet_v2_features.safetensors is found in ../../../shared/weights: the encoder with its
  ImageNet weights and running statistics. `input` u8 [3, 64, 64] is a crop of a real brightfield field, read as
  RGB from 0 to 255 and normalised as the weights expect; `features.N` f32 are the outputs of blocks 1, 3, 6, 13
  and 18.
"""

import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from make_golden import DECODER, Block, batch, losses, sample, value

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared"
# Expansion, channels out, blocks, stride of the first block.
GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def conv_bn(cin, cout, kernel=1, stride=1, groups=1):
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(cout, eps=1e-5, momentum=0.01)]


class Inverted(nn.Module):
    def __init__(self, cin, cout, stride, expansion):
        super().__init__()
        hidden = cin * expansion
        layers = [nn.Sequential(*conv_bn(cin, hidden), nn.ReLU6())] if expansion > 1 else []
        layers += [nn.Sequential(*conv_bn(hidden, hidden, 3, stride, hidden), nn.ReLU6()), *conv_bn(hidden, cout)]
        self.conv = nn.Sequential(*layers)
        self.add = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.conv(x) if self.add else self.conv(x)


def features(scale):
    layers, cin = [nn.Sequential(*conv_bn(3, scale(32), 3, 2), nn.ReLU6())], scale(32)
    for expansion, channels, blocks, stride in GROUPS:
        for i in range(blocks):
            layers.append(Inverted(cin, scale(channels), stride if i == 0 else 1, expansion))
            cin = scale(channels)
    layers.append(nn.Sequential(*conv_bn(cin, scale(1280)), nn.ReLU6()))
    return nn.Sequential(*layers)


class MobileNetV2(nn.Module):
    """torchvision's features; gives the outputs of 13, 6, 3 and 1, and the last."""

    def __init__(self, scale):
        super().__init__()
        self.features = features(scale)
        self.channels = [scale(c) for c in (96, 32, 24, 16)], scale(1280)

    def forward(self, x):
        outputs = []
        for layer in self.features:
            x = layer(x)
            outputs.append(x)
        return [outputs[i] for i in (13, 6, 3, 1)], x


class Unet(nn.Module):
    """The decoder of make_golden.Unet, without a centre, on any encoder."""

    def __init__(self, encoder, classes, scale):
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Module()
        self.decoder.blocks = nn.ModuleList()
        skips, cin = encoder.channels
        for c, skip in zip(DECODER, [*skips, 0]):
            self.decoder.blocks.append(Block(cin + skip, scale(c)))
            cin = scale(c)
        self.segmentation_head = nn.Sequential(nn.Conv2d(cin, classes, 3, padding=1))

    def forward(self, x):
        skips, x = self.encoder(x)
        for i, block in enumerate(self.decoder.blocks):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skips[i]], 1) if i < 4 else x)
        return self.segmentation_head(x)


def initial(name, shape):
    """As in make_golden, but batch norms are told by the shape of their weight."""
    if name.endswith("running_var") or (name.endswith(".weight") and len(shape) == 1):
        return value(name, shape, 0.2, 1.0)
    if len(shape) == 4:
        return value(name, shape, (6.0 / (shape[1] * shape[2] * shape[3])) ** 0.5)
    return value(name, shape, 0.1)


def start(make, classes, width, dtype):
    scale = lambda c: max(4, round(c * width))
    model = Unet(make(scale), classes, scale)
    state = {k: torch.from_numpy(initial(k, tuple(v.shape))) for k, v in model.state_dict().items()
             if not k.endswith("num_batches_tracked")}
    model.load_state_dict(state, strict=False)
    return model.to(dtype)


# Least distance to an edge in units of rounding, as in make_golden. Fifty layers of batch norm round more than
# VGG16's convolutions: about one input in two hundred reaches this.
MARGIN = 1.5


def keeps_clear(make, classes, width, height, columns, seed):
    x, _ = batch(classes, height, columns, seed)
    seen = []
    for dtype in (torch.float64, torch.float32):
        model, inputs = start(make, classes, width, dtype).train(), []
        for module in model.modules():
            if isinstance(module, (nn.ReLU, nn.ReLU6)):
                module.register_forward_pre_hook(
                    lambda m, x, inputs=inputs: inputs.append((m, x[0].detach().double())))
        with torch.no_grad():
            model(x.to(dtype))
        seen.append(inputs)
    nearest = float("inf")
    for (module, exact), (_, rounded) in zip(*seen):
        rounding = (exact - rounded).square().mean().sqrt()
        edge = exact.abs().min()
        if isinstance(module, nn.ReLU6):
            edge = torch.minimum(edge, (exact - 6).abs().min())
        nearest = min(nearest, float(edge / rounding))
    return nearest


def total_loss(classes, logits, target):
    return losses(classes)["cross_entropy"](logits, target) + losses(classes)["dice"](logits, target)


# Ways for PyTorch to sum in float32: two layouts of the same convolutions, and those without oneDNN.
ROUNDINGS = ((torch.float32, torch.contiguous_format, True), (torch.float32, torch.channels_last, True),
             (torch.float32, torch.contiguous_format, False))


def gradients(make, classes, width, data, dtype, layout, mkldnn):
    model = start(make, classes, width, dtype).to(memory_format=layout)
    x, target = data
    with torch.backends.mkldnn.flags(enabled=mkldnn):
        total_loss(classes, model(x.to(dtype, memory_format=layout)), target).backward()
    return {k: p.grad.double() for k, p in model.named_parameters()}


def make_net(out, name, make, classes, width, height, columns):
    for seed in range(1, 4000):
        nearest = keeps_clear(make, classes, width, height, columns, seed)
        if nearest >= MARGIN:
            break
    else:
        raise SystemExit("no input keeps its distance")
    print(f"{name}: input {seed}, nearest edge at {nearest:.1f} times the rounding")
    *rounded, exact = [gradients(make, classes, width, batch(classes, height, columns, seed), dtype, *how)
                       for dtype, *how in (*ROUNDINGS, (torch.float64, torch.contiguous_format, True))]
    x, target = batch(classes, height, columns, seed)
    x = x.double()
    model = start(make, classes, width, torch.float64)
    tensors = {"target": target, "input_seed": torch.tensor([seed], dtype=torch.int32)}
    model.eval()
    with torch.no_grad():
        tensors["eval_logits"] = model(x).float()
    model.train()
    logits = model(x)
    loss = total_loss(classes, logits, target)
    loss.backward()
    tensors |= {"train_logits": logits.detach().float(), "loss": loss.detach().reshape(1)}
    for k, p in model.named_parameters():
        sample(k, "grad", p.grad, tensors)
        lost = [run[k] - exact[k] for run in rounded]
        tensors[f"grad_rounding.{k}"] = torch.stack([max(d.abs().max() for d in lost), max(d.norm() for d in lost)])
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / name)


def make_imagenet(out):
    weights = SHARED / "weights/mobilenet_v2_features.safetensors"
    if not weights.exists():
        print(f"{weights.name} is absent: mobilenet_v2_imagenet not made")
        return
    import tifffile

    field = sorted((SHARED / "data/celldetective").rglob("*.tif"))[0]
    plane = np.squeeze(tifffile.imread(field))
    plane = plane.reshape(-1, *plane.shape[-2:])[0]
    crop = plane[200:264, 200:264].astype(np.float64)
    low, high = np.percentile(crop, [1, 99])
    grey = np.clip((crop - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    # Three different channels, so that their order matters.
    image = torch.from_numpy(np.stack([grey, 255 - grey, grey // 2]))
    model = MobileNetV2(lambda c: c).double().eval()
    state = {k: v.double() for k, v in load_file(weights).items()}
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert all(k.endswith("num_batches_tracked") for k in missing), missing
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).reshape(1, 3, 1, 1)
    with torch.no_grad():
        skips, bottom = model((image.double().unsqueeze(0) / 255 - mean) / std)
    tensors = {"input": image}
    for n, feature in zip((13, 6, 3, 1, 18), [*skips, bottom]):
        tensors[f"features.{n}"] = feature[0].float()
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "mobilenet_v2_imagenet.safetensors")


def check_names():
    try:
        import torchvision
    except ImportError:
        print("torchvision is absent: names not compared")
        return
    shapes = lambda m: {k: tuple(v.shape) for k, v in m.state_dict().items()}
    theirs = shapes(torchvision.models.mobilenet_v2(weights=None).features)
    assert theirs == shapes(features(lambda c: c))


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_num_threads(1)
    check_names()
    make_net(out, "mobilenet_v2_w0125_c3_64x64.safetensors", MobileNetV2, 3, 0.125, 64, 64)
    make_imagenet(out)


if __name__ == "__main__":
    main()
