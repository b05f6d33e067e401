"""Does the border of the region show?"""

from __future__ import annotations

import numpy as np


def gradient_jump(image: np.ndarray, mask: np.ndarray) -> float:
    """How much steeper the picture is across the mask's border than beside it, in grey levels (0 to 255).

    image: (H, W, 3) in [0, 255]; mask: bool (H, W). For every pair of 4-neighbours p in the mask and q
    outside, with p' and q' the next pixels in line: max(0, |p - q| - (|p' - p| + |q - q'|) / 2), the
    modulus being the mean over channels; the mean over all pairs. 0 where no pair has both next pixels.
    """
    image = image.astype(np.float64)
    jumps = np.concatenate([_get_jumps(image, mask), _get_jumps(image.swapaxes(0, 1), mask.T)])
    return float(jumps.mean()) if jumps.size else 0.0


def _get_jumps(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Jumps along rows: a straddling pair is columns i + 1, i + 2 of each run of four."""
    steps = np.abs(np.diff(image, axis=1)).mean(axis=2)  # (H, W - 1)
    crossing = mask[:, 1:-2] != mask[:, 2:-1]  # (H, W - 3)
    across, before, after = steps[:, 1:-1], steps[:, :-2], steps[:, 2:]
    return np.maximum(0.0, across - (before + after) / 2)[crossing]
