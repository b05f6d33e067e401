"""What one training or evaluation pair holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a2cli.errors import DataError


class BadRecord(DataError):
    """One record that cannot be used; the others may."""


@dataclass(frozen=True)
class Pair:
    """One subject seen twice: in a reference picture and in a target photo.

    `ref_rgb` and `tar_rgb` are (H, W, 3) uint8 sRGB, the masks (H, W) bool, 1 = subject. `scene_rgb` is the
    target photo as it was before the subject was put in, where that is known (synthesised pairs), else None; `light`
    (4,) is the target's, three gains and an exponent, likewise. `provenance` tells source, licence, permission and
    tools, as text or JSON.
    """

    id: str
    category: str
    subcategory: str
    prompt: str
    ref_rgb: np.ndarray
    ref_mask: np.ndarray
    tar_rgb: np.ndarray
    tar_mask: np.ndarray
    scene_rgb: np.ndarray | None = None
    light: np.ndarray | None = None
    provenance: str = ""
