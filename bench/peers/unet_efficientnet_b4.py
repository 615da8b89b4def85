"""The U-Net of stainfree on EfficientNet-B4 in PyTorch: parameter names of torchvision's features, the decoder of unet_vgg16.py.

As segmentation_models 1.0.1 builds it: skips are the expanded arrays in the first block of stages 6, 4, 3 and 2 (1/16 to
1/2), the bottom is features 8 with 1792 channels, no centre block; batch norm as in Keras (eps 1e-3, momentum 0.01),
convolutions of stride 2 padded below and to the right as TensorFlow does. Stochastic depth is left out.
"""

import torch
import torch.nn.functional as F
from torch import nn
from unet_vgg16 import DECODER, conv_bn_relu

# Kernel, blocks, channels out, expansion, stride of the first block.
STAGES = ((3, 2, 24, 1, 1), (3, 4, 32, 6, 2), (5, 4, 56, 6, 2), (3, 6, 112, 6, 2), (5, 6, 160, 6, 1), (5, 8, 272, 6, 2),
          (3, 2, 448, 6, 1))
SKIPS = (6, 4, 3, 2)


class Same(nn.Conv2d):
    """TensorFlow's padding of stride 2 on even sides: one row and column more behind the image than before it."""

    def forward(self, x):
        before = (self.kernel_size[0] - 2) // 2
        return super().forward(F.pad(x, [before, before + 1] * 2))


def conv_bn(cin, cout, kernel=1, stride=1, groups=1, swish=True):
    conv = (Same(cin, cout, kernel, 2, groups=groups, bias=False) if stride == 2
            else nn.Conv2d(cin, cout, kernel, padding=kernel // 2, groups=groups, bias=False))
    layers = [conv, nn.BatchNorm2d(cout, eps=1e-3, momentum=0.01)]
    return nn.Sequential(*layers, *([nn.SiLU()] if swish else []))


class SqueezeExcite(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(F.silu(self.fc1(x.mean((2, 3), keepdim=True)))))


class Inverted(nn.Module):
    def __init__(self, cin, cout, kernel, stride, expansion):
        super().__init__()
        hidden = cin * expansion
        layers = [conv_bn(cin, hidden)] if expansion > 1 else []
        layers += [conv_bn(hidden, hidden, kernel, stride, hidden), SqueezeExcite(hidden, max(1, cin // 4)),
                   conv_bn(hidden, cout, swish=False)]
        self.block = nn.Sequential(*layers)
        self.add = stride == 1 and cin == cout

    def forward(self, x):
        """The block's output, and the expanded array."""
        expanded = self.block[0](x)
        y = self.block[1:](expanded)
        return (x + y if self.add else y), expanded


def features(scale):
    layers, cin = [conv_bn(3, scale(48), 3, 2)], scale(48)
    for kernel, blocks, channels, expansion, stride in STAGES:
        stage = nn.Sequential()
        for i in range(blocks):
            stage.append(Inverted(cin, scale(channels), kernel, stride if i == 0 else 1, expansion))
            cin = scale(channels)
        layers.append(stage)
    return nn.Sequential(*layers, conv_bn(cin, scale(1792)))


class EfficientNetB4(nn.Module):
    """Gives the four skips, deepest first, and the bottom."""

    def __init__(self, scale):
        super().__init__()
        self.features = features(scale)
        inputs = {6: scale(160), 4: scale(56), 3: scale(32), 2: scale(24)}
        self.channels = [6 * inputs[stage] for stage in SKIPS], scale(1792)

    def forward(self, x):
        skips = {}
        x = self.features[0](x)
        for number in range(1, 8):
            for i, block in enumerate(self.features[number]):
                x, expanded = block(x)
                if i == 0:
                    skips[number] = expanded
        return [skips[stage] for stage in SKIPS], self.features[8](x)


class UnetEfficientNetB4(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.encoder = EfficientNetB4(lambda c: c)
        self.decoder, (skips, cin) = nn.ModuleList(), self.encoder.channels
        for cout, skip in zip(DECODER, [*skips, 0]):
            self.decoder.append(nn.Sequential(conv_bn_relu(cin + skip, cout), conv_bn_relu(cout, cout)))
            cin = cout
        self.head = nn.Conv2d(cin, classes, 3, padding=1)

    def forward(self, x, logits=False):
        skips, x = self.encoder(x)
        for block, skip in zip(self.decoder, [*skips, None]):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x if skip is None else torch.cat([x, skip], 1))
        x = self.head(x)
        return x if logits else torch.softmax(x, 1)
