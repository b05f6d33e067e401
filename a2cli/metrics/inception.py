"""The Inception v3 of FID: the network of 2015 that the published figures use, not that of model zoos.

Its average pools do not count the padding, and its last block pools by the maximum. Names of tensors are those of
pytorch-fid's published state. (N, 3, 299, 299) float32 -> (N, 2048).

Sources: Szegedy et al., Rethinking the Inception architecture, 2016, for the blocks; Heusel et al., 2017, for the use.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2cli.metrics.weights import fill_network

WIDTH = 2048  # features of a picture
SPARE = ("fc.",)  # the classifier over 1008 classes


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], *, stride: int = 1, pad: bool = True
    ) -> None:
        super().__init__()
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (size[0] // 2, size[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def pool_average(x: Tensor) -> Tensor:
    """3 x 3 mean of the pixels there are: at the border of 6 or 4."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def pool_max(x: Tensor) -> Tensor:
    """3 x 3 maximum."""
    return F.max_pool2d(x, 3, stride=1, padding=1)


class Mixed35(nn.Module):
    """Block of the 35 x 35 grid: 1x1, 5x5, two 3x3, pooled."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(inputs, 64, 1)
        self.branch5x5_1 = ConvNorm(inputs, 48, 1)
        self.branch5x5_2 = ConvNorm(48, 64, 5)
        self.branch3x3dbl_1 = ConvNorm(inputs, 64, 1)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3)
        self.branch_pool = ConvNorm(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch1x1(x), five, three, self.branch_pool(pool_average(x))), 1)


class Reduce35(nn.Module):
    """From 35 x 35 to 17 x 17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = ConvNorm(inputs, 384, 3, stride=2, pad=False)
        self.branch3x3dbl_1 = ConvNorm(inputs, 64, 1)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3, stride=2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch3x3(x), three, F.max_pool2d(x, 3, stride=2)), 1)


class Mixed17(nn.Module):
    """Block of the 17 x 17 grid: 1x1, 7x7 and two 7x7 as rows and columns, pooled."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        row, column = (1, 7), (7, 1)
        self.branch1x1 = ConvNorm(inputs, 192, 1)
        self.branch7x7_1 = ConvNorm(inputs, inner, 1)
        self.branch7x7_2 = ConvNorm(inner, inner, row)
        self.branch7x7_3 = ConvNorm(inner, 192, column)
        self.branch7x7dbl_1 = ConvNorm(inputs, inner, 1)
        self.branch7x7dbl_2 = ConvNorm(inner, inner, column)
        self.branch7x7dbl_3 = ConvNorm(inner, inner, row)
        self.branch7x7dbl_4 = ConvNorm(inner, inner, column)
        self.branch7x7dbl_5 = ConvNorm(inner, 192, row)
        self.branch_pool = ConvNorm(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat((self.branch1x1(x), seven, double, self.branch_pool(pool_average(x))), 1)


class Reduce17(nn.Module):
    """From 17 x 17 to 8 x 8."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNorm(inputs, 192, 1)
        self.branch3x3_2 = ConvNorm(192, 320, 3, stride=2, pad=False)
        self.branch7x7x3_1 = ConvNorm(inputs, 192, 1)
        self.branch7x7x3_2 = ConvNorm(192, 192, (1, 7))
        self.branch7x7x3_3 = ConvNorm(192, 192, (7, 1))
        self.branch7x7x3_4 = ConvNorm(192, 192, 3, stride=2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat((three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, stride=2)), 1)


class Mixed8(nn.Module):
    """Block of the 8 x 8 grid: 1x1, 3x3 and two 3x3 split into rows and columns, pooled by the mean or the maximum."""

    def __init__(self, inputs: int, *, by_max: bool) -> None:
        super().__init__()
        self.pool = pool_max if by_max else pool_average
        self.branch1x1 = ConvNorm(inputs, 320, 1)
        self.branch3x3_1 = ConvNorm(inputs, 384, 1)
        self.branch3x3_2a = ConvNorm(384, 384, (1, 3))
        self.branch3x3_2b = ConvNorm(384, 384, (3, 1))
        self.branch3x3dbl_1 = ConvNorm(inputs, 448, 1)
        self.branch3x3dbl_2 = ConvNorm(448, 384, 3)
        self.branch3x3dbl_3a = ConvNorm(384, 384, (1, 3))
        self.branch3x3dbl_3b = ConvNorm(384, 384, (3, 1))
        self.branch_pool = ConvNorm(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = (
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(self.pool(x)),
        )
        return torch.cat(parts, 1)


def build_inception() -> nn.Sequential:
    """The network up to its pooled features; 21,785,568 parameters, with the classifier it leaves out 23,850,960."""
    layers: dict[str, nn.Module] = {
        "Conv2d_1a_3x3": ConvNorm(3, 32, 3, stride=2, pad=False),  # (N, 32, 149, 149)
        "Conv2d_2a_3x3": ConvNorm(32, 32, 3, pad=False),
        "Conv2d_2b_3x3": ConvNorm(32, 64, 3),  # (N, 64, 147, 147)
        "pool1": nn.MaxPool2d(3, stride=2),
        "Conv2d_3b_1x1": ConvNorm(64, 80, 1),  # (N, 80, 73, 73)
        "Conv2d_4a_3x3": ConvNorm(80, 192, 3, pad=False),
        "pool2": nn.MaxPool2d(3, stride=2),  # (N, 192, 35, 35)
        "Mixed_5b": Mixed35(192, 32),
        "Mixed_5c": Mixed35(256, 64),
        "Mixed_5d": Mixed35(288, 64),
        "Mixed_6a": Reduce35(288),  # (N, 768, 17, 17)
        "Mixed_6b": Mixed17(768, 128),
        "Mixed_6c": Mixed17(768, 160),
        "Mixed_6d": Mixed17(768, 160),
        "Mixed_6e": Mixed17(768, 192),
        "Mixed_7a": Reduce17(768),  # (N, 1280, 8, 8)
        "Mixed_7b": Mixed8(1280, by_max=False),
        "Mixed_7c": Mixed8(2048, by_max=True),
        "pool3": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
    }
    return nn.Sequential(OrderedDict(layers))


def load_inception(path: Path, device: str) -> tuple[nn.Sequential, str]:
    """The network with its weights, in evaluation mode on `device`, and their hash.

    Raises `CheckpointError` as `weights.load_tensors` does; so it does for Inception v3 of a model zoo, which has an
    auxiliary classifier.
    """
    with torch.device("meta"):
        network = build_inception()
    digest = fill_network(network, path, spare=SPARE)
    return network.to(device), digest
