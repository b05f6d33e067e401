"""The feature stacks of LPIPS, AlexNet, VGG-16 and SqueezeNet 1.1, under the names of tensors torchvision gave them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LEAST = 32  # pixels, the shortest side all three networks can take (AlexNet needs 31)
SPARE = ("classifier.",)  # of a file for classification


@dataclass(frozen=True)
class BackboneInfo:
    """One stack: `file` its weights' name, `channels` of its `taps` (indices of layers).

    `pixel_bytes`: memory that comparing two pictures takes on the CPU, by pixel of one, as measured.
    """

    title: str
    file: str
    taps: tuple[int, ...]
    channels: tuple[int, ...]
    pixel_bytes: int


BACKBONES: dict[str, BackboneInfo] = {
    "lpips_alex": BackboneInfo(
        "AlexNet", "alexnet", (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), pixel_bytes=110
    ),
    "lpips_vgg": BackboneInfo(
        "VGG-16", "vgg16", (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), pixel_bytes=1050
    ),
    "lpips_squeeze": BackboneInfo(
        "SqueezeNet 1.1",
        "squeezenet1_1",
        (1, 4, 7, 9, 10, 11, 12),
        (64, 128, 256, 384, 384, 512, 512),
        pixel_bytes=320,
    ),
}
"""By the metric's name, which is also that of the file with the weights of layers."""


class Backbone(nn.Module):
    """A stack of layers whose activations after some of them are what counts."""

    def __init__(self, features: nn.Sequential, taps: tuple[int, ...]) -> None:
        super().__init__()
        self.features = features
        self.taps = taps

    def iterate_taps(self, x: Tensor) -> Iterator[Tensor]:
        """Activations (N, C, h, w) one by one, from pictures (N, 3, H, W): an earlier one need not be kept."""
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                yield x


class Fire(nn.Module):
    """SqueezeNet's block: squeezed by 1x1, then as many channels of 1x1 beside as many of 3x3."""

    def __init__(self, inputs: int, squeezed: int, outputs: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, outputs // 2, 1)
        self.expand3x3 = nn.Conv2d(squeezed, outputs // 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu_()
        return torch.cat((self.expand1x1(x), self.expand3x3(x)), 1).relu_()


def build_backbone(name: str) -> Backbone:
    """The stack of a metric's name (`lpips_alex`) up to its last tap, weights as PyTorch starts them.

    Sources: Krizhevsky, One weird trick, 2014; Simonyan and Zisserman, 2015, D; Iandola et al., SqueezeNet, 2016.
    """
    build = {"lpips_alex": _build_alexnet, "lpips_vgg": _build_vgg16, "lpips_squeeze": _build_squeezenet}[
        name
    ]
    taps = BACKBONES[name].taps
    return Backbone(nn.Sequential(*build()[: taps[-1] + 1]), taps)


def _build_alexnet() -> list[nn.Module]:
    convolutions = [
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.Conv2d(256, 256, 3, padding=1),
    ]
    layers: list[nn.Module] = []
    for i, convolution in enumerate(convolutions):
        layers += [convolution, nn.ReLU(inplace=True)]
        if i < 2:
            layers.append(nn.MaxPool2d(3, stride=2))
    return layers


def _build_vgg16() -> list[nn.Module]:
    layers: list[nn.Module] = []
    inputs = 3
    for outputs, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2, stride=2))
    return layers


def _build_squeezenet() -> list[nn.Module]:
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, stride=2, ceil_mode=True)

    return [
        *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(inplace=True), pool()),
        *(Fire(64, 16, 128), Fire(128, 16, 128), pool()),
        *(Fire(128, 32, 256), Fire(256, 32, 256), pool()),
        *(Fire(256, 48, 384), Fire(384, 48, 384), Fire(384, 64, 512), Fire(512, 64, 512)),
    ]
