"""Fixed triplets edited again and again while a run goes on: what is learned, for the eye and as a number."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.data.records import Pair
from a2cli.data.source import open_source
from a2cli.engine.pipeline import EditPipeline
from a2cli.engine.sheet import Cell, SheetRow, draw_outline, save_sheet
from a2cli.errors import ConfigError, DataError
from a2cli.files import make_folder
from a2cli.masks.curriculum import STAGES, apply_stage
from a2cli.metrics.pixel import masked_mae
from a2cli.training.config import TrainConfig

FOLDER = "samples"


class SampleGrids:
    """The triplets of a run, opened once; each edit takes the way `a2 edit` takes."""

    def __init__(self, backbone: Any, experts: Any, config: TrainConfig) -> None:
        self.backbone, self.experts, self.config = backbone, experts, config

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
        """Edit every triplet under its fine, rough and box mask; `folder / samples / step-N.png` shows them.

        folder None: only edit. Returns `val_mae`, the mean absolute error against the target inside the masks,
        values in [-1, 1].
        """
        pipeline = EditPipeline(self.backbone, experts=self.experts, buckets=self.config.data.buckets)
        rows, errors = [], []
        try:
            for number, pair in enumerate(self.pairs):
                cells = [Cell("reference", pair.ref_rgb), Cell("target", pair.tar_rgb)]
                for stage in STAGES:
                    mask = apply_stage(
                        pair.tar_mask, stage, np.random.default_rng([29, number]), self.config.rough
                    )
                    result = pipeline.edit(
                        _take_out(pair.tar_rgb, mask),
                        mask,
                        pair.ref_rgb,
                        pair.ref_mask,
                        prompt=pair.category,
                        steps=self.config.sample.steps,
                        seed=number,
                    )
                    errors.append(masked_mae(result, pair.tar_rgb, mask))
                    cells += [
                        Cell(f"{stage} mask", draw_outline(pair.tar_rgb, mask)),
                        Cell(stage, result, f"{errors[-1]:.3f}"),
                    ]
                rows.append(SheetRow(pair.category, cells))
        finally:
            pipeline.two_pass.remove()
            if self.experts is not None:
                self.experts.clear_routing()  # and the copies of active experts, made for sampling alone
        if folder is not None:
            make_folder(folder / FOLDER)
            save_sheet(folder / FOLDER / f"step-{step}.png", rows, cell=160, title=f"step {step}")
        return {"val_mae": float(np.mean(errors))}


def _take_out(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    hidden = photo.copy()
    hidden[mask] = 127
    return hidden
