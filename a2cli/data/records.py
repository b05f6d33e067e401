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
    target photo as it was before the subject was put in (of an instruction pair: `src_rgb` without the named thing),
    where that is known (synthesised pairs), else None; `light` (4,) is the target's, three gains and an exponent,
    likewise. `provenance` tells source, licence, permission and tools, as text or JSON.

    An instruction pair has a photo before the edit besides, `src_rgb`: `prompt` says what is to be done to it, `task`
    which kind of edit that is, `keyword` the words of the prompt that name the thing, `src_mask` what can be seen of it
    there. `tar_mask` is then the region in which source and target differ, and the reference shows what comes into it:
    the new thing, or, where one is removed, the target itself.
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
    src_rgb: np.ndarray | None = None
    src_mask: np.ndarray | None = None
    task: str = ""
    keyword: str = ""
