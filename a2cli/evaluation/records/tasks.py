"""From a case to what a method is given, and from its edit to what is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from a2cli.batch.job import get_item_seed
from a2cli.errors import DataError
from a2cli.evaluation.records.cases import Case, Task
from a2cli.files import show_name
from a2cli.metrics.shots import GREY, Shot

if TYPE_CHECKING:
    from a2cli.evaluation.records.protocols import Protocol


def build_task(case: Case, protocol: Protocol, seed: int) -> Task:
    """A case under a protocol's mask, for a run of `seed`.

    The mask is a function of the case alone, the task's seed one of `seed` and the case's id. Its source is a copy,
    GREY under the mask where the case asks for it. Raises `DataError` naming the case where no mask is left, and where
    none is given but the photo is the target itself: nothing in it asks to be changed.
    """
    mask = protocol.apply(case.mask, case.id)
    source = case.source.copy()
    if case.hole and not protocol.gives_mask:
        raise DataError(
            f"{show_name(case.id)}: no photo from before the edit, which {protocol.name} starts from",
            hint="records with src_image, or another --protocol",
        )
    if case.hole:
        source[mask] = GREY
    given = mask if protocol.gives_mask else None
    return Task(case, protocol.name, given, source, get_item_seed(seed, case.id))


def build_shot(case: Case, mask: np.ndarray, edited: np.ndarray, region: np.ndarray | None = None) -> Shot:
    """What is measured: an edit (H, W, 3) uint8 of a case, made under `mask`; `region` is what a method chose to edit.

    An edit of another size than its photo is refused where `fit_edit` leaves it so. Raises `DataError` naming the case.
    """
    return Shot(
        id=case.id,
        edited=fit_edit(case, edited),
        mask=mask,
        source=case.source,
        hole=case.hole,
        target=case.target,
        ref_rgb=case.ref_rgb,
        ref_mask=case.ref_mask,
        prompt=case.prompt,
        instruction=case.instruction,
        source_prompt=case.source_prompt,
        exact=case.mask,
        region=region,
    )


def fit_edit(case: Case, edited: np.ndarray) -> np.ndarray:
    """An edit (H, W, 3) uint8, brought to its photo's size (bicubic, Pillow's) where the case says so."""
    height, width = case.source.shape[:2]
    if not case.resize_edits or edited.shape[:2] == (height, width):
        return edited
    return np.asarray(Image.fromarray(edited).resize((width, height), Image.Resampling.BICUBIC))
