"""Cases of noise, their edits on disk, and a measure that counts: what scoring is tested on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from a2cli.errors import DataError
from a2cli.evaluation.records.candidates import EditFile, Place
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure
from a2cli.evaluation.records.protocols import Protocol, parse_protocols
from a2cli.images.write import save_image
from a2cli.metrics.measure import Values
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import METRICS, MetricInfo

PROTOCOLS = parse_protocols(["fine", "box"], "2")


def make_case(number: int, size: tuple[int, int] = (24, 32)) -> Case:
    """A photo of noise with a disc for a subject, and a reference."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[: size[0], : size[1]]
    mask = (y - size[0] // 2) ** 2 + (x - size[1] // 2) ** 2 < (5 + number % 3) ** 2
    photo = rng.integers(0, 256, (*size, 3), np.uint8)
    ref_mask = np.zeros((20, 20), bool)
    ref_mask[4:15, 3:17] = True
    return Case(
        id=f"case {number}",
        category=("animals", "plants")[number % 2],
        source=photo,
        mask=mask,
        hole=True,
        target=photo,
        ref_rgb=rng.integers(0, 256, (20, 20, 3), np.uint8),
        ref_mask=ref_mask,
        prompt="a disc",
    )


def make_entry(number: int) -> CaseEntry:
    case = make_case(number)
    return CaseEntry(case.id, f"case-{number}", case.category, "", "a disc", lambda: make_case(number))


def refuse() -> Case:
    raise DataError("case 1: its photo is gone")


def write_edits(
    folder: Path, count: int, protocols: Sequence[Protocol] = PROTOCOLS, method: str = "mine"
) -> dict[Place, EditFile | CaseFailure]:
    """Of each case the photo with noise under the mask."""
    files: dict[Place, EditFile | CaseFailure] = {}
    for number in range(count):
        case = make_case(number)
        rng = np.random.default_rng([number, len(method)])
        for protocol in protocols:
            mask = protocol.apply(case.mask, case.id)
            edited = np.where(mask[..., None], rng.integers(0, 256, case.source.shape, np.uint8), case.source)
            path = folder / method / protocol.name / f"case-{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_image(edited, path)
            files[method, protocol.name, case.id] = EditFile(path, f"{protocol.name}/case-{number}.png", 0.5)
    return files


class Counting:
    """A measure of the mean of a shot's edit that says how often it was asked; `needs_network` like CLIP's."""

    def __init__(
        self,
        *,
        needs_network: bool = False,
        implementation: str = "counting 1",
        spoil: Callable[[Shot], Values] | None = None,
    ) -> None:
        self.infos: Sequence[MetricInfo] = (METRICS["clip_t" if needs_network else "seam"],)
        self.implementation = implementation
        self.spoil = spoil
        self.calls: list[list[str]] = []

    def measure(self, shots: Sequence[Shot]) -> list[Values]:
        self.calls.append([shot.id for shot in shots])
        key = self.infos[0].name
        found = [{key: float(shot.edited.mean())} for shot in shots]
        return [
            value | self.spoil(shot) if self.spoil else value
            for value, shot in zip(found, shots, strict=True)
        ]

    @property
    def seen(self) -> int:
        return sum(map(len, self.calls))
