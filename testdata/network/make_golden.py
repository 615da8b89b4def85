#!/usr/bin/env python3
"""Golden numbers of PyTorch for the network crate: the outside judge of every executor.

  make_golden.py [OUT]                   writes the files below next to this script (or into OUT)

Needs torch and safetensors; with segmentation_models_pytorch present it also checks that the names and
shapes used here are those of its Unet('vgg16'). All sums in float64, stored as float32 (loss values as
float64). Torch's convolutions differ in the last bits between processors: the files are remade equal to
about 1e-7, not byte for byte.

net_w0125_c3_64x64.safetensors, net_w0125_c4_64x96.safetensors
  The U-Net/VGG16 with every channel count times 0.125 (64 -> 8; at least 4; input 3 and the classes stay),
  batch 2, sizes height x width. Not stored, because anyone can remake them with `value()` below (32-bit
  exact): the parameters (see `initial`) and the input, input = 2 * (2 u - 1) with the name "inputK", K being
    input_seed             i32 [1]            the first whose three steps keep clear of the edges of ReLU and
                                              pooling, see `keeps_clear`; measured against rounding, so that
                                              another processor may find another one first
    target                 u8  [n, h, w]      classes, 255 = ignored
    train_logits           f32 [n, c, h, w]   batch statistics (first forward pass)
    eval_logits            f32 [n, c, h, w]   running statistics as initialised
    loss                   f64 [1]            cross-entropy + dice of train_logits (ignored pixels left out)
    grad_sample.NAME       f32 [k]            every stride-th element of the gradient of parameter NAME,
                                              stride = ceil(len / 64)
    grad_probe.NAME        f64 [2]            L2 norm, and dot product with (2 u - 1), u of "probe.NAME"
    after_sample.NAME      f32 [k]            the same elements of the parameter (or batch-norm statistic) after
                                              three steps of Adam (Keras: lr 1e-3, 0.9, 0.999, epsilon 1e-7 added
                                              to sqrt(v), both corrections in the step size) on the same batch
    after_probe.NAME       f64 [2]
    step_losses            f64 [3]            the loss of each of the three steps
  Batch norm: epsilon 1e-3, momentum 0.01 (weight of the new value), running variance unbiased.

loss.safetensors
  For C = 2, 3, 4: cC.logits f32 [2, C, 7, 5], cC.target u8 [2, 7, 5] (255 = ignored), and for each
  KIND of paper, dice, weighted_dice, focal, cross_entropy: cC.KIND.value f64 [1], cC.KIND.d_logits f32.
  weighted_dice has the class weights (0, 1, 0.5, 0.25)[:C].

vgg16_first4.safetensors
  Written only where vgg16_blocks1-2.safetensors (blocks 1 and 2 of Keras' ImageNet VGG16) is found in
  ../../../shared/weights: activations after ReLU of the first four convolutions on a 16 x 16 input,
  x[c, y, x] = ((7c + 3y + 5x) mod 17 - 8) * 12 in BGR, already centred: relu0, relu1 [64, 16, 16], relu2, relu3 [128, 8, 8].

fnv1a64 and splitmix64 below are the public-domain functions of Fowler/Noll/Vo and Vigna.
"""

import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

MASK = (1 << 64) - 1
VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
DECODER = (256, 128, 64, 32, 16)


def uniform(name, n, seed=1):
    """n numbers in [0, 1), multiples of 2^-24: splitmix64 at counter fnv1a64(name) + seed + index."""
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64((h + seed) & MASK) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def value(name, shape, scale, offset=0.0, seed=1):
    """f32: offset + scale * (2 u - 1), each operation rounded to 32 bits."""
    u = uniform(name, int(np.prod(shape)), seed)
    return (np.float32(offset) + np.float32(scale) * (np.float32(2) * u - np.float32(1))).reshape(shape)


def initial(name, shape):
    """The starting value of a parameter: He-uniform kernels, small biases, batch norms away from identity."""
    if name.endswith("running_var") or (name.endswith(".1.weight")):
        return value(name, shape, 0.2, 1.0)
    if len(shape) == 4:
        return value(name, shape, (6.0 / (shape[1] * shape[2] * shape[3])) ** 0.5)
    return value(name, shape, 0.1)


def conv_bn_relu(cin, cout):
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout, eps=1e-3, momentum=0.01), nn.ReLU()
    )


class Block(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv1 = conv_bn_relu(cin, cout)
        self.conv2 = conv_bn_relu(cout, cout)

    def forward(self, x):
        return self.conv2(self.conv1(x))


class Unet(nn.Module):
    """The paper's network with the parameter names of segmentation_models_pytorch."""

    def __init__(self, classes, width):
        super().__init__()
        scale = lambda c: max(4, round(c * width))
        layers, cin = [], 3
        for block in VGG:
            for c in block:
                layers += [nn.Conv2d(cin, scale(c), 3, padding=1), nn.ReLU()]
                cin = scale(c)
            layers.append(nn.MaxPool2d(2))
        self.encoder = nn.Module()
        self.encoder.features = nn.Sequential(*layers)
        self.decoder = nn.Module()
        self.decoder.center = nn.Sequential(conv_bn_relu(cin, scale(512)), conv_bn_relu(scale(512), scale(512)))
        self.decoder.blocks = nn.ModuleList()
        cin = scale(512)
        for c, skip in zip(DECODER, (512, 512, 256, 128, 0)):
            self.decoder.blocks.append(Block(cin + (scale(skip) if skip else 0), scale(c)))
            cin = scale(c)
        self.segmentation_head = nn.Sequential(nn.Conv2d(cin, classes, 3, padding=1))

    def forward(self, x):
        skips = []
        for layer in self.encoder.features:
            if isinstance(layer, nn.MaxPool2d):
                skips.append(x)
            x = layer(x)
        x = self.decoder.center(x)
        for i, block in enumerate(self.decoder.blocks):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            if i < 4:
                x = torch.cat([x, skips[4 - i]], 1)
            x = block(x)
        return self.segmentation_head(x)


# ------------------------------------------------------------------------------------------ losses


def soft_counts(logits, target):
    c = logits.shape[1]
    valid = target != 255
    y = F.one_hot(torch.where(valid, target, 0).long(), c).permute(0, 3, 1, 2).to(logits) * valid.unsqueeze(1)
    p = torch.softmax(logits, 1) * valid.unsqueeze(1)
    return y, p, int(valid.sum())


def f_beta_loss(logits, target, betas, weights, s=1e-5):
    y, p, _ = soft_counts(logits, target)
    b2 = torch.tensor(betas).to(logits) ** 2
    tp = (y * p).sum((0, 2, 3))
    fp, fn = p.sum((0, 2, 3)) - tp, y.sum((0, 2, 3)) - tp
    f = ((1 + b2) * tp + s) / ((1 + b2) * tp + b2 * fn + fp + s)
    return 1 - (torch.tensor(weights).to(logits) * f).mean()


def focal_loss(logits, target, alpha=0.25, gamma=2.0, eps=1e-7):
    y, _, n = soft_counts(logits, target)
    p = torch.softmax(logits, 1).clamp(eps, 1 - eps)
    return -(y * alpha * (1 - p) ** gamma * p.log()).sum() / (n * logits.shape[1])


def losses(c):
    betas = [0.0, 1.0, 0.5, 0.5][:c]
    ones = [1.0] * c
    return {
        "paper": lambda z, t: f_beta_loss(z, t, betas, ones) + focal_loss(z, t),
        "dice": lambda z, t: f_beta_loss(z, t, ones, ones),
        "weighted_dice": lambda z, t: f_beta_loss(z, t, ones, [0.0, 1.0, 0.5, 0.25][:c]),
        "focal": focal_loss,
        "cross_entropy": lambda z, t: F.cross_entropy(z, t.long(), ignore_index=255),
    }


def make_losses(out):
    fixture = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3], [0.2, 0.3, 0.5]], dtype=torch.float64)
    z = fixture.T.log().reshape(1, 3, 2, 2)
    t = torch.tensor([0, 1, 1, 2]).reshape(1, 2, 2)
    expected = {"paper": 0.448964, "dice": 0.414217, "weighted_dice": 0.700450, "focal": 0.0113370}
    for kind, v in expected.items():
        assert abs(float(losses(3)[kind](z, t)) - v) < 1e-6, kind
    tensors = {}
    for c in (2, 3, 4):
        z = torch.from_numpy(value(f"logits{c}", (2, c, 7, 5), 3.0))
        t = torch.from_numpy((uniform(f"target{c}", 70) * c).astype(np.uint8).reshape(2, 7, 5))
        t[torch.from_numpy(uniform(f"ignore{c}", 70).reshape(2, 7, 5) < 0.1)] = 255
        tensors |= {f"c{c}.logits": z, f"c{c}.target": t}
        for kind, loss in losses(c).items():
            leaf = z.double().requires_grad_()
            v = loss(leaf, t)
            v.backward()
            tensors[f"c{c}.{kind}.value"] = v.detach().reshape(1)
            tensors[f"c{c}.{kind}.d_logits"] = leaf.grad.float()
    save_file(tensors, out / "loss.safetensors")


# ----------------------------------------------------------------------------------------- network


def sample(name, kind, t, tensors):
    flat = t.detach().double().reshape(-1)
    stride = -(-len(flat) // 64)
    probe = torch.from_numpy(value(f"probe.{name}", (len(flat),), 1.0)).double()
    tensors[f"{kind}_sample.{name}"] = flat[::stride].float().clone()
    tensors[f"{kind}_probe.{name}"] = torch.stack([flat.norm(), flat @ probe])


def batch(classes, height, width, seed, images=2):
    """The input and the class of every pixel."""
    x = torch.from_numpy(value(f"input{seed}", (images, 3, height, width), 2.0))
    # blobs: the class of a pixel follows a coarse 8 x 8 grid; a band of ignored pixels lies across the first image
    grid = (uniform("target", images * (height // 8) * (width // 8)) * classes).astype(np.uint8)
    target = np.kron(grid.reshape(images, height // 8, width // 8), np.ones((8, 8), np.uint8))
    target[0, 20:25] = 255
    return x, torch.from_numpy(target)


def start(classes, dtype, scale=0.125):
    """The network with its starting parameters."""
    model = Unet(classes, scale)
    state = {k: torch.from_numpy(initial(k, tuple(v.shape))) for k, v in model.state_dict().items()
             if not k.endswith("num_batches_tracked")}
    model.load_state_dict(state, strict=False)
    return model.to(dtype)


def adam_steps(model, classes, x, target):
    """Takes three steps, each when the next item is asked for; an item is the step's logits and loss."""
    kinds = losses(classes)
    named = dict(model.named_parameters())
    moments = {k: (torch.zeros_like(p), torch.zeros_like(p)) for k, p in named.items()}
    for t in (1, 2, 3):
        model.zero_grad()
        logits = model(x)
        loss = kinds["cross_entropy"](logits, target) + kinds["dice"](logits, target)
        loss.backward()
        with torch.no_grad():
            rate = 1e-3 * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
            for k, p in named.items():
                m, v = moments[k]
                m.mul_(0.9).add_(p.grad, alpha=0.1)
                v.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                p -= rate * m / (v.sqrt() + 1e-7)
        yield logits.detach(), loss.detach()


def watch(model):
    """A list to which every forward pass adds the ReLUs and poolings with their inputs."""
    seen = []
    for module in model.modules():
        if isinstance(module, (nn.ReLU, nn.MaxPool2d)):
            module.register_forward_pre_hook(lambda m, x: seen.append((m, x[0].detach().double())))
    return seen


def distance_to_edge(module, x):
    """How much the input of a ReLU or a pooling may change before a choice does, where that is least."""
    if isinstance(module, nn.ReLU):
        return x.abs().min()
    n, c, h, w = x.shape
    windows = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(3, 4).reshape(-1, 4)
    first, second = windows.topk(2).values.T
    # A window of zeros hands its gradient to a ReLU that is off: the choice does not matter.
    return (first - second)[first > 0].min()


# Least distance to an edge, in units of the rounding of that layer's inputs: the root mean square of their
# difference between PyTorch in float32 and in float64. The crate's Winograd convolutions round about twice as
# much (logits after the first pass: 4e-6 to 5e-6 of their size, PyTorch 2e-6), which leaves 2.7 of its standard
# deviations for the nearest of a million and a half numbers. A larger margin costs time: about one seed in a
# hundred reaches 5.
MARGIN = 5.5


def keeps_clear(classes, height, width, seed):
    """The least distance to an edge in all three steps, or None if it is below MARGIN.

    Adam divides a gradient by its own size. If rounding turns one choice of a ReLU or a pooling, the small
    elements of the gradient change by more than their size, the next step leads to another place, and hundreds
    of choices turn there. Where none turns, float32 follows float64 through all steps.
    """
    x, target = batch(classes, height, width, seed)
    runs, seen = [], []
    for dtype in (torch.float64, torch.float32):
        model = start(classes, dtype).train()
        seen.append(watch(model))
        runs.append(adam_steps(model, classes, x.to(dtype), target))
    nearest = float("inf")
    for _ in zip(*runs):
        for (module, exact), (_, rounded) in zip(*seen):
            rounding = (exact - rounded).square().mean().sqrt()
            nearest = min(nearest, float(distance_to_edge(module, exact) / rounding))
        if nearest < MARGIN:
            return None
        for inputs in seen:
            inputs.clear()
    return nearest


def make_net(out, classes, height, width):
    for seed in range(1, 2000):  # about 0.3 s each
        nearest = keeps_clear(classes, height, width, seed)
        if nearest is not None:
            print(f"{height} x {width}: input {seed}, nearest edge at {nearest:.1f} times the rounding")
            save_file(net(classes, height, width, seed), out / f"net_w0125_c{classes}_{height}x{width}.safetensors")
            return
    raise SystemExit("no input keeps its distance")


def net(classes, height, width, seed):
    model = start(classes, torch.float64)
    x, target = batch(classes, height, width, seed)
    x = x.double()
    tensors = {"target": target, "input_seed": torch.tensor([seed], dtype=torch.int32)}
    model.eval()
    with torch.no_grad():
        tensors["eval_logits"] = model(x).float()
    model.train()
    step_losses = []
    for logits, loss in adam_steps(model, classes, x, target):
        if not step_losses:
            tensors["train_logits"] = logits.float()
            tensors["loss"] = loss.reshape(1)
            for k, p in model.named_parameters():
                sample(k, "grad", p.grad, tensors)
        step_losses.append(loss)
    for k, v in model.state_dict().items():
        if not k.endswith("num_batches_tracked"):
            sample(k, "after", v, tensors)
    tensors["step_losses"] = torch.stack(step_losses)
    return {k: v.contiguous() for k, v in tensors.items()}


def check_names():
    try:
        import segmentation_models_pytorch as smp
    except ImportError:
        print("segmentation_models_pytorch is absent: names not compared")
        return
    theirs = smp.Unet("vgg16", encoder_weights=None, classes=3).state_dict()
    ours = Unet(3, 1.0).state_dict()
    strip = lambda s: {k: tuple(v.shape) for k, v in s.items() if not k.endswith("num_batches_tracked")}
    theirs, ours = strip(theirs), strip(ours)
    assert theirs == ours, sorted(set(theirs.items()) ^ set(ours.items()))
    trainable = sum(p.numel() for p in Unet(3, 1.0).parameters())
    assert trainable == 23_748_531, trainable


def make_vgg(out):
    path = pathlib.Path(__file__).resolve().parents[3] / "shared/weights/vgg16_blocks1-2.safetensors"
    if not path.exists():
        print(f"{path.name} is absent: vgg16_first4 not made")
        return
    w = {k: v.double() for k, v in load_file(path).items()}
    c, y, x = np.meshgrid(np.arange(3), np.arange(16), np.arange(16), indexing="ij")
    a = torch.from_numpy((((7 * c + 3 * y + 5 * x) % 17 - 8) * 12).astype(np.float64)).unsqueeze(0)
    tensors = {}
    for i, n in enumerate((0, 2, 5, 7)):
        a = F.relu(F.conv2d(a, w[f"features.{n}.weight"], w[f"features.{n}.bias"], padding=1))
        tensors[f"relu{i}"] = a[0].float().contiguous()
        if n == 2:
            a = F.max_pool2d(a, 2)
    save_file(tensors, out / "vgg16_first4.safetensors")


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_num_threads(1)
    check_names()
    make_losses(out)
    make_net(out, 3, 64, 64)
    make_net(out, 4, 64, 96)
    make_vgg(out)


if __name__ == "__main__":
    main()
