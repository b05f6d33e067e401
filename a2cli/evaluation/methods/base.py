"""What an evaluation asks of a method, and what all of them do with a case's reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from a2cli.errors import DataError
from a2cli.evaluation.records.cases import Case, Task
from a2cli.files import get_source_name
from a2cli.images.cutout import Cutout, cut_out
from a2cli.images.write import build_photo


@dataclass(frozen=True)
class Edit:
    """An edit (H, W, 3) uint8 whose region (H, W) bool the method chose; it may be empty."""

    rgb: np.ndarray
    region: np.ndarray


class Method(Protocol):
    """One row of the table.

    `identity` holds JSON values: all that decides what an edit looks like besides its task, and "baseline".
    """

    name: str
    identity: dict[str, Any]

    def edit(self, task: Task) -> np.ndarray | Edit:
        """Edit the task's source under its mask: (H, W, 3) uint8 of the source's size, or that and where it changed.

        A function of the task alone. Raises `DataError` for a task it cannot take, `BackboneError` when a model yields
        NaN.
        """
        ...


def name_adapters(folders: Sequence[str]) -> str:
    """Adapters as an identity tells them: the last parts of their paths."""
    return " + ".join(map(get_source_name, folders)) or "default"


def get_mask(task: Task) -> np.ndarray:
    """The task's mask, (H, W) bool, not empty. Raises `DataError` where none is given."""
    if task.mask is None:
        raise DataError(f"{task.case.id}: no mask", hint="this method needs one: another --protocol")
    return task.mask


def get_subject(case: Case) -> Cutout:
    """The reference's subject, by its mask, else cut out as `a2 edit` does it.

    Raises `DataError` where there is no reference, or no subject in it.
    """
    if case.ref_rgb is None:
        raise DataError(f"{case.id}: no reference", hint="this method needs one; fill and telea do without")
    return cut_out(build_photo(case.ref_rgb, name=f"{case.id}: reference"), case.ref_mask)
