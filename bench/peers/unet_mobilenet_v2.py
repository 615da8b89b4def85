"""The U-Net of stainfree on MobileNetV2 in PyTorch: torchvision's features, the decoder of unet_vgg16.py.

Skips are the outputs of features 13, 6, 3 and 1 (1/16 to 1/2), the bottom is features 18 with 1280 channels; there
is no centre block, since the encoder does not end in a pool. Batch norm of the encoder as in torchvision (eps 1e-5),
of the decoder as in Keras.
"""

import torch
import torch.nn.functional as F
from torch import nn
from unet_vgg16 import DECODER, conv_bn_relu

# Expansion, channels out, blocks, stride of the first block.
GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def conv_bn(cin, cout, kernel=1, stride=1, groups=1, relu=True):
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(cout, momentum=0.01), *([nn.ReLU6(inplace=True)] if relu else [])]


class Inverted(nn.Module):
    def __init__(self, cin, cout, stride, expansion):
        super().__init__()
        hidden = cin * expansion
        layers = conv_bn(cin, hidden) if expansion > 1 else []
        layers += conv_bn(hidden, hidden, 3, stride, hidden) + conv_bn(hidden, cout, relu=False)
        self.conv = nn.Sequential(*layers)
        self.add = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.conv(x) if self.add else self.conv(x)


class UnetMobilenetV2(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.features, cin = nn.ModuleList([nn.Sequential(*conv_bn(3, 32, 3, 2))]), 32
        for expansion, channels, blocks, stride in GROUPS:
            for i in range(blocks):
                self.features.append(Inverted(cin, channels, stride if i == 0 else 1, expansion))
                cin = channels
        self.features.append(nn.Sequential(*conv_bn(cin, 1280)))
        self.decoder, cin = nn.ModuleList(), 1280
        for cout, skip in zip(DECODER, (96, 32, 24, 16, 0)):
            self.decoder.append(nn.Sequential(conv_bn_relu(cin + skip, cout), conv_bn_relu(cout, cout)))
            cin = cout
        self.head = nn.Conv2d(cin, classes, 3, padding=1)

    def forward(self, x, logits=False):
        skips = {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in (1, 3, 6, 13):
                skips[i] = x
        for block, skip in zip(self.decoder, (13, 6, 3, 1, None)):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x if skip is None else torch.cat([x, skips[skip]], 1))
        x = self.head(x)
        return x if logits else torch.softmax(x, 1)
