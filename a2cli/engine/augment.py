"""`a2 augment-mask` without its console: read masks, change them, write them, report on them."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from a2cli import __version__
from a2cli.config.augment import AugmentConfig, Perturbation
from a2cli.engine.augment_jobs import Job, MaskInput, get_name, get_out_folder, plan_jobs
from a2cli.engine.augment_sheet import Preview
from a2cli.errors import A2Error, DataError
from a2cli.files import make_folder, show_name, write_bytes
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.images.write import encode_png
from a2cli.masks.augment import RoughConfig, box_of, build_rough, get_object_size
from a2cli.masks.morph import get_iou, require_bounding_box
from a2cli.masks.perturb import perturb
from a2cli.masks.read import read_mask
from a2cli.types import Stage

Progress = Callable[[str, int, int], None]
FAILURES = "failures.jsonl"


@dataclass(frozen=True)
class AugmentResult:
    """One written mask: what it was made from, how, and how far it is from that.

    strengths are in pixels (`scale` in 1 / pixels), areas in pixels, `box` is x0, y0, x1, y1, half open.
    """

    input: str
    output: str
    stage: str
    variant: int
    seed: int
    strengths: dict[str, float]
    iou: float
    area_in: int
    area_out: int
    box: tuple[int, int, int, int]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class AugmentFailure:
    """A mask that could not be read (`stage` None), or a change of it that could not be made or written."""

    input: str
    stage: str | None
    error: A2Error

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return {"input": self.input, "stage": self.stage, "error": str(self.error)}


Outcome = AugmentResult | AugmentFailure


def run_augment(config: AugmentConfig, progress: Progress | None = None) -> Generator[Outcome, None, None]:
    """Change every mask as a command line says; yields what was written and what failed, in order.

    With -o a folder, failures are listed there in failures.jsonl. Raises `A2Error` before anything is written
    for what cannot be meant, and for the failure of a single mask of which nothing came.
    """
    plan = plan_jobs(config, lambda: sys.stdin.buffer.read())
    preview = Preview(config.image) if config.preview else None
    for path in (config.preview, config.report):
        if path:
            make_folder(Path(path).parent)
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    try:
        for done, jobs in enumerate(plan):
            made = _run_mask(config, jobs, preview)
            for outcome in made if len(plan) > 1 else _require_one(made):
                (failures if isinstance(outcome, AugmentFailure) else rows).append(outcome.to_dict())
                yield outcome
            if progress:
                progress("masks", done + 1, len(plan))
    finally:  # also after an interrupt, what failed until then is told
        _write_failures(get_out_folder(config, plan), failures)
    if preview and config.preview:
        preview.save(config.preview)
    if config.report:
        _write_report(config, rows, failures)


def load_mask(source: MaskInput) -> np.ndarray:
    """Read a fine mask, bool (H, W), True from half on. Raises DataError naming it, also where it is empty."""
    name = "stdin" if source.data is not None else source.path
    size = open_photo(source.path if source.data is None else source.data, name=name).size
    # A Path: as text, a file called box:1,2,3,4 would be taken for a box.
    mask = read_mask(Path(source.path) if source.data is None else source.data, size) >= 0.5
    if not mask.any():
        raise DataError(f"{show_name(name)}: the mask is empty", hint="white is what is masked")
    return mask


def draw_rng(seed: int, mask_id: str, variant: int) -> np.random.Generator:
    """The generator of one variant: by the seed, the mask's id and the variant's number alone."""
    digest = hashlib.sha256(os.fsencode(mask_id)).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:16], "big"), variant])


def get_rough_config(config: AugmentConfig, size: float) -> RoughConfig:
    """The strengths of a command line for an object of `size` pixels.

    A radius or an amplitude that was stated is taken as it is, so the bounds of the overlap are lifted.
    """
    ranges = {
        field: span.get_shares(size, frequency=field == "scale")
        for field, span in (
            ("dilate", config.radius),
            ("alpha", config.alpha),
            ("scale", config.scale),
            ("delta", config.delta),
        )
        if span
    }
    if config.radius or config.alpha:
        ranges["iou"] = (0.0, 1.0)
    return RoughConfig(**ranges)


def change_mask(
    mask: np.ndarray, change: Stage | Perturbation, rng: np.random.Generator, config: AugmentConfig
) -> tuple[np.ndarray, dict[str, float]]:
    """One change of a fine mask, bool (H, W), not empty: the changed mask and the strengths used, in pixels."""
    if isinstance(change, Perturbation):
        return perturb(mask, change, rng)
    if change == "fine":
        return mask, {}
    rough = build_rough(mask, rng, get_rough_config(config, get_object_size(mask)))
    used = rough.strengths
    strengths = {"radius": used.dilate, "alpha": used.alpha, "scale": used.scale, "delta": used.delta}
    return box_of(rough.mask) if change == "box" else rough.mask, strengths


def _run_mask(config: AugmentConfig, jobs: list[Job], preview: Preview | None) -> Iterator[Outcome]:
    source = jobs[0].source
    try:
        fine = load_mask(source)
    except A2Error as error:
        yield AugmentFailure(source.path, None, error)
        return
    shown: dict[str, np.ndarray] = {}
    for job in jobs:
        try:
            changed, strengths = _change_named(fine, job, config)
            _write_mask(changed, job.target)
        except A2Error as error:
            yield AugmentFailure(source.path, get_name(job.change), error)
            continue
        if job.variant == 0:
            shown[get_name(job.change)] = changed
        yield _describe(config, job, fine, changed, strengths)
    if preview and preview.has_room():
        if config.stage:
            rough, _ = change_mask(fine, "rough", draw_rng(config.seed, source.id, 0), config)
            shown = {"rough": rough, "box": box_of(rough)}
        preview.add(source, fine, shown)


def _require_one(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The outcomes of the only mask; raises the first failure where nothing else came of it."""
    held: list[AugmentFailure] = []
    some = False
    for outcome in outcomes:
        if isinstance(outcome, AugmentFailure) and not some:
            held.append(outcome)
            continue
        if not some:
            yield from held
        some = True
        yield outcome
    if held and not some:
        raise held[0].error


def _change_named(fine: np.ndarray, job: Job, config: AugmentConfig) -> tuple[np.ndarray, dict[str, float]]:
    """`change_mask` for a job; an error then begins with the mask's name."""
    try:
        return change_mask(fine, job.change, draw_rng(config.seed, job.source.id, job.variant), config)
    except DataError as error:
        raise DataError(f"{show_name(job.source.path)}: {error.message}", hint=error.hint) from error


def _write_mask(mask: np.ndarray, target: Path | None) -> None:
    grey = mask.view(np.uint8) * np.uint8(255)
    rgb = np.broadcast_to(grey[..., None], (*grey.shape, 3))
    data = encode_png(Photo(rgb, None, grey, "L", "PNG", str(target), "L"), grey)
    if target is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    make_folder(target.parent)
    write_bytes(data, target)


def _describe(
    config: AugmentConfig, job: Job, fine: np.ndarray, changed: np.ndarray, strengths: dict[str, float]
) -> AugmentResult:
    return AugmentResult(
        input=job.source.path,
        output=str(job.target or "-"),
        stage=get_name(job.change),
        variant=job.variant,
        seed=config.seed,
        strengths={name: float(f"{value:.7g}") for name, value in strengths.items()},
        iou=round(get_iou(fine, changed), 6),
        area_in=int(np.count_nonzero(fine)),
        area_out=int(np.count_nonzero(changed)),
        box=require_bounding_box(changed),
    )


def _write_failures(folder: Path | None, failures: list[dict[str, Any]]) -> None:
    """List the failures in the output folder; a list that an earlier run left goes."""
    if folder is None:
        return
    if failures:
        make_folder(folder)
        write_bytes("".join(json.dumps(row) + "\n" for row in failures).encode(), folder / FAILURES)
    else:
        with suppress(OSError):
            (folder / FAILURES).unlink()


def _write_report(config: AugmentConfig, rows: list[dict[str, Any]], failures: list[dict[str, Any]]) -> None:
    overlaps = [row["iou"] for row in rows]
    summary = {f.__name__: f(overlaps) for f in (statistics.fmean, min, max)} if overlaps else {}
    report = {
        "a2": __version__,
        "seed": config.seed,
        "n": len(rows),
        "iou": {name.removeprefix("f"): round(value, 6) for name, value in summary.items()},
        "rows": rows,
        "failures": failures,
    }
    write_bytes((json.dumps(report, indent=1) + "\n").encode(), config.report or "")
