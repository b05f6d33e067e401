"""a2 as a row of the table: what `a2 edit` makes of the same photo, mask and reference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from a2cli import __version__
from a2cli.config.load import to_dict
from a2cli.config.localize import LocalizeOptions
from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.config import MethodConfig
from a2cli.evaluation.methods.base import Edit, get_mask, get_subject, name_adapters
from a2cli.evaluation.records.cases import Case, Task
from a2cli.evaluation.records.protocols import SWEEP, parse_protocol
from a2cli.files import get_source_name

if TYPE_CHECKING:
    from a2cli.images.cutout import Cutout


class A2Method:
    """A backbone with its adapters. The prompt is the case's, its category where it has none, as in training.

    Where it finds the region itself and the sentence names no place, or is too long for the model to read it, it leaves
    the photo as it is, and says that it edited nothing: a miss that is measured, not one that is left out.
    """

    def __init__(self, config: MethodConfig, *, device: str = "auto") -> None:
        self.name, self.config, self.localize = config.name, config, config.localization
        self.pipeline = load_pipeline(config.backbone, config.model, config.adapters, device)
        traits = self.pipeline.backbone.traits
        self.identity: dict[str, Any] = {
            "kind": "a2",
            "baseline": False,
            "a2": __version__,
            **describe_pipeline(self.pipeline, config.backbone, config.model, config.adapters),
            "steps": traits.steps if config.steps is None else config.steps,
            "guidance": traits.guidance if config.guidance is None else config.guidance,
            "paste_back": "mask",
        }
        self.identity |= self._describe_region()
        if config.region is not None and not self._has_region_path():
            raise ConfigError(
                f"methods.{config.name}: region is for a region adapter that edits, and none is loaded",
                hint="adapter: FOLDER of one, or leave region out",
            )

    def edit(self, task: Task) -> np.ndarray | Edit:
        """Edit; pixels outside the mask, or outside the region that was found, are the source's own."""
        subject, case = get_subject(task.case), task.case
        options = EditOptions(
            case.prompt or case.category, self.config.steps, self.config.guidance, task.seed
        )
        if self.localize is None:
            mask = get_mask(task)
            region = get_region(self.config, case, mask)
            pictures = self.pipeline.generate(
                task.source, mask.astype(np.float32), subject, options, region=region
            )
            return np.where(mask[..., None], np.rint(pictures[0]).astype(np.uint8), task.source)
        options = replace(options, localize=get_options(self.localize, self.config.keyword, case))
        edit = self._hold if self.localize.way == "mask" else self._find
        return edit(task, subject, options)

    def _hold(self, task: Task, subject: Cutout, options: EditOptions) -> Edit:
        """Edit what is needed of the mask."""
        mask = get_mask(task).astype(np.float32)
        done = self.pipeline.run(task.source, mask, subject, options)
        return blend(task.source, done.pictures[0], mask if done.region is None else mask * done.region)

    def _find(self, task: Task, subject: Cutout, options: EditOptions) -> Edit:
        """Find what the prompt names, and edit that."""
        from a2cli.engine.localize import localize

        nothing = Edit(task.source, np.zeros(task.source.shape[:2], bool))
        assert options.localize is not None
        if not is_read(self.pipeline, options.prompt, options.localize):
            return nothing
        found = localize(self.pipeline, task.source, options.prompt, options=options.localize)
        if found.diffuse or not found.mask.any():
            return nothing
        mask = found.mask.astype(np.float32)
        picture = self.pipeline.generate(task.source, mask, subject, options, region=mask)[0]
        return blend(task.source, picture, mask)

    def _has_region_path(self) -> bool:
        """Whether a region adapter is loaded that does more than predict."""
        return self.pipeline.region is not None and self.pipeline.region.config.adapter

    def _describe_region(self) -> dict[str, Any]:
        """What of its region goes on record; nothing for a method that has none."""
        config = self.config
        told = {name: getattr(config, name) for name in ("keyword", "region", "region_change")}
        known: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
        if self.localize is not None:
            known["localize"] = to_dict(self.localize)
        return {**known, "region_hash": self.pipeline.region_hash[:16]} if known else {}


def load_pipeline(backbone: str, model: str | None, adapters: tuple[str, ...], device: str) -> EditPipeline:
    """A pipeline with the adapters named, or those shipped where none is. Raises as `EditPipeline.load` does."""
    return EditPipeline.load(backbone, model=model, adapter=adapters or None, device=device)


def describe_pipeline(
    pipeline: EditPipeline, backbone: str, model: str | None, adapters: tuple[str, ...]
) -> dict[str, Any]:
    """What a model is, as an identity tells it."""
    loaded = pipeline.backbone
    return {
        "backbone": backbone,
        "model": get_source_name(model or "default"),
        "base_hash": loaded.base_hash[:16],
        "adapter": name_adapters(adapters),
        "adapter_hash": pipeline.adapter_hash[:16],
        "resolution": loaded.traits.resolution,
        "dtype": str(next(loaded.transformer.parameters()).dtype).removeprefix("torch."),
    }


def get_options(options: LocalizeOptions, keyword: str | None, case: Case) -> LocalizeOptions:
    """How to look at a case: with `keyword` "known" it is told the words that name the thing, where they are known."""
    return replace(options, keyword=case.keyword) if keyword == "known" and case.keyword else options


def is_read(pipeline: EditPipeline, prompt: str, options: LocalizeOptions) -> bool:
    """Whether the model reads a word that names the thing: not of a prompt that is cut before it.

    A predictor makes do with what it reads. Raises as `localize` does for a keyword that is not in the prompt.
    """
    from a2cli.engine.localize import choose_way
    from a2cli.engine.words import find_words, get_rows, get_text_reader

    if choose_way(pipeline, options.way) == "predictor":
        return True
    try:
        get_rows(get_text_reader(pipeline.backbone), prompt, find_words(prompt, options.keyword))
    except DataError:
        return False
    return True


def get_region(config: MethodConfig, case: Case, mask: np.ndarray) -> np.ndarray | None:
    """What a region adapter is told of where to edit, (H, W) float32 in [0, 1]; None leaves it off.

    Raises `DataError` naming the case where a change leaves nothing of its exact mask.
    """
    if config.region is None:
        return None
    if config.region == "mask":
        return mask.astype(np.float32)
    change = parse_protocol(config.region_change or "fine", SWEEP)
    return change.apply(case.mask, case.id).astype(np.float32)


def blend(source: np.ndarray, picture: np.ndarray, weight: np.ndarray) -> Edit:
    """Lay a picture (H, W, 3) in [0, 255] over the photo by (H, W) in [0, 1]; its region is where it outweighs it."""
    share = weight[..., None]
    mixed = np.rint(source * (1 - share) + picture * share).astype(np.uint8)
    return Edit(np.where(share > 0, mixed, source), weight >= 0.5)
