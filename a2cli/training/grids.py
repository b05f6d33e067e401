"""Fixed pairs edited, or looked at, again and again while a run goes on: what is learned, to see and as a number."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.context.passes import TwoPass
from a2cli.data.records import Pair
from a2cli.data.source import open_source
from a2cli.engine.localize import Found, localize
from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.engine.sheet import Cell, SheetRow, draw_heat, draw_outline, save_sheet
from a2cli.errors import ConfigError, DataError
from a2cli.files import make_folder
from a2cli.images.cutout import Cutout
from a2cli.masks.curriculum import STAGES, apply_stage
from a2cli.masks.morph import get_iou
from a2cli.metrics.pixel import masked_mae
from a2cli.training.config import TrainConfig
from a2cli.training.looks import has_look

FOLDER = "samples"


class SampleGrids:
    """The pairs of a run, opened once; each edit, and each look for what a sentence names, takes `a2 edit`'s way."""

    def __init__(self, backbone: Any, config: TrainConfig, two_pass: TwoPass, region: Any = None) -> None:
        self.backbone, self.config, self.two_pass, self.region = backbone, config, two_pass, region
        predicts = config.region is not None and config.region.predictor is not None
        self.way: Found | None = "predictor" if predicts else "attention" if config.grounding else None

    @cached_property
    def pairs(self) -> list[Pair]:
        """The pairs; those of the training split, with a warning, where there is no other."""
        data, sample = self.config.data, self.config.sample
        wanted = replace(
            data,
            path=sample.path or data.path,
            split=sample.split,
            pairs=sample.pairs,
            streaming=False,
            hold_out=(),
        )
        try:
            source = open_source(wanted, seed=self.config.seed)
        except (ConfigError, DataError) as error:
            if sample.path is not None:
                raise
            logging.getLogger("a2cli").warning(f"sample grids show training pairs: {error}")
            source = open_source(replace(wanted, split=data.split), seed=self.config.seed)
        return [source.get_pair(i) for i in range(sample.pairs)]

    def make(self, folder: Path | None, step: int) -> dict[str, float]:
        """Edit every pair under its fine, rough and box mask; `folder / samples / step-N.png` shows them.

        folder None: only edit. Where regions are learned they are looked for first. Returns `val_mae`, the mean
        absolute error against the target inside the masks, values in [-1, 1], and `val_iou` of the regions.
        """
        rows, errors, overlaps = [], list[float](), list[float]()
        with self._open() as pipeline:
            for number, pair in enumerate(self.pairs):
                cells = self._look(pipeline, pair, overlaps)
                if self.config.loss.flow and pair.task != "remove":
                    cells += self._edit(pipeline, pair, number, errors)
                rows.append(SheetRow(pair.category if pair.src_rgb is None else pair.prompt, cells))
        if folder is not None and any(row.cells for row in rows):
            make_folder(folder / FOLDER)
            save_sheet(folder / FOLDER / f"step-{step}.png", rows, cell=160, title=f"step {step}")
        figures = {"val_mae": errors, "val_iou": overlaps}
        return {name: float(np.mean(values)) for name, values in figures.items() if values}

    @contextmanager
    def _open(self) -> Iterator[EditPipeline]:
        """The run's model as `a2 edit` has it; afterwards it is as it was."""
        guidance, experts = self.two_pass.guidance, self.two_pass.experts
        self.two_pass.guidance = self.backbone.traits.guidance
        try:
            yield EditPipeline(
                self.backbone,
                experts=experts,
                buckets=self.config.data.buckets,
                region=self.region,
                two_pass=self.two_pass,
            )
        finally:
            self.two_pass.guidance = guidance
            if experts is not None:
                experts.clear_routing()  # and the copies of active experts, made for sampling alone

    def _look(self, pipeline: EditPipeline, pair: Pair, overlaps: list[float]) -> list[Cell]:
        """The photo with the named thing's outline, and where it was found; nothing where that is not learned."""
        if self.way is None or not has_look(pair):
            return []
        assert pair.src_rgb is not None and pair.src_mask is not None
        try:
            found = localize(pipeline, pair.src_rgb, pair.prompt, way=self.way)
        except (ConfigError, DataError):  # a sentence of which too little is read
            return []
        overlaps.append(get_iou(found.region, pair.src_mask))
        return [
            Cell("named", draw_outline(pair.src_rgb, pair.src_mask)),
            Cell("found", draw_heat(pair.src_rgb, found.soft), f"IoU {overlaps[-1]:.2f}"),
        ]

    def _edit(self, pipeline: EditPipeline, pair: Pair, number: int, errors: list[float]) -> list[Cell]:
        photo = pair.tar_rgb if pair.src_rgb is None else pair.src_rgb
        cells = [Cell("reference", pair.ref_rgb), Cell("target", pair.tar_rgb)]
        prompt = pair.category if pair.src_rgb is None else pair.prompt
        options = EditOptions(prompt=prompt, steps=self.config.sample.steps, seed=number)
        for stage in STAGES:
            rng = np.random.default_rng([29, number])
            mask = apply_stage(pair.tar_mask, stage, rng, self.config.rough)
            picture = pipeline.generate(
                _take_out(photo, mask),
                mask.astype(np.float32),
                Cutout(pair.ref_rgb, pair.ref_mask.astype(np.float32)),
                options,
                region=None if self.region is None else pair.tar_mask.astype(np.float32),
            )[0]
            result = np.where(mask[..., None], np.round(picture), photo).astype(np.uint8)
            errors.append(masked_mae(result, pair.tar_rgb, mask))
            cells += [
                Cell(f"{stage} mask", draw_outline(photo, mask)),
                Cell(stage, result, f"{errors[-1]:.3f}"),
            ]
        return cells


def _take_out(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    hidden = photo.copy()
    hidden[mask] = 127
    return hidden
