"""The two ways of bringing a picture to Inception's 299 x 299 that published figures stand on."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 299  # pixels


def resize_clean(rgb: np.ndarray) -> np.ndarray:
    """clean-fid's way: each channel bicubic with antialiasing, in float, clipped, never rounded.

    (H, W, 3) uint8 -> (3, 299, 299) float32, (x - 128) / 128 as the original graph has it, so -1 to 0.9922.
    Source: Parmar et al., On aliased resizing and surprising subtleties in GAN evaluation, 2022.
    """
    channels = [
        Image.fromarray(np.ascontiguousarray(rgb[..., c], dtype=np.float32)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        for c in range(3)
    ]
    stacked = np.stack([np.asarray(channel) for channel in channels])
    return (stacked.clip(0, 255) - np.float32(128)) / np.float32(128)


def resize_legacy(rgb: np.ndarray) -> np.ndarray:
    """pytorch-fid's way: bilinear between the four nearest pixels, however much is skipped.

    (H, W, 3) uint8 -> (3, 299, 299) float32, 2 x / 255 - 1, so -1 to 1. Fine texture aliases: figures made so are
    comparable with each other only.
    """
    import torch

    planes = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].to(torch.float32) / 255
    resized = torch.nn.functional.interpolate(planes, (SIDE, SIDE), mode="bilinear", align_corners=False)
    values: np.ndarray = (2 * resized[0] - 1).numpy()
    return values
