"""`a2 doctor --localize`: whose attention says best where a named thing is, measured on pairs that know it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

import a2cli
from a2cli.backbones.flux import TRAITS_FILE
from a2cli.config.localize import LocalizeOptions
from a2cli.data.records import Pair
from a2cli.data.source import SourceConfig, open_source
from a2cli.data.synth import SynthConfig
from a2cli.engine.block_scores import (
    BlockScore,
    Heads,
    Sample,
    choose_heads,
    choose_range,
    list_heads,
    score_heads,
    score_tokens,
)
from a2cli.engine.localize import Seeker, count_heads
from a2cli.engine.pipeline import EditPipeline
from a2cli.engine.sight import get_look_size
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name, write_bytes
from a2cli.images.geometry import resize
from a2cli.localize.heads import show_choice
from a2cli.localize.maps import HeadMaps

Progress = Callable[[str, int, int], None]
log = logging.getLogger(__name__)
SYNTH = "synth"
MOST_RECORDS = 8  # records read for each pair that is wanted: a set may hold few with a sentence
SYNTH_SIZE = 256  # px of synthesised photos


@dataclass(frozen=True)
class CalibrateConfig:
    """Blocks of which model are scored on which pairs.

    `data` is a folder of instruction pairs or "synth", `pairs` how many of them count, of its `split`: choosing blocks
    is training, and what was chosen is measured on other pairs. `by_head` scores their heads as well, and chooses among
    those of the best range. `write` puts what was chosen into the model folder's traits. ConfigError for an impossible
    count.
    """

    data: str
    backbone: str = "nano"
    model: str | None = None
    pairs: int = 64
    split: str = "train"
    seed: int = 0
    device: str = "auto"
    by_head: bool = False
    write: bool = False

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ConfigError(f"-n is {self.pairs}, must be 1 or more")


@dataclass(frozen=True)
class Calibration:
    """Every block's score in execution order, the best choice's, and the file it was written to.

    `heads`: every head's, on the grid of tokens; none where they were not told apart.
    """

    blocks: tuple[BlockScore, ...]
    best: BlockScore
    heads: tuple[BlockScore, ...] = ()
    written: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        blocks, heads = ([score.to_dict() for score in scores] for scores in (self.blocks, self.heads))
        return {"blocks": blocks, "heads": heads, "best": self.best.to_dict(), "written": self.written}


def run_calibrate(config: CalibrateConfig, progress: Progress | None = None) -> Calibration:
    """Score every block, find the best contiguous range, or heads of it, and write it where that is asked for.

    Raises `A2Error` where the model or the data cannot be used; DataError when no pair has a sentence that names what
    its source mask marks.
    """
    folder = find_traits_folder(config) if config.write else None
    pipeline = EditPipeline.load(config.backbone, model=config.model, adapter="none", device=config.device)
    names = tuple(count_heads(pipeline.backbone))
    samples = []
    for pair in list_pairs(config):
        try:
            samples.append(_see(pipeline, pair, names, by_head=config.by_head))
        except DataError as error:  # the named words lie behind what the backbone reads of a prompt
            log.warning("%s: left out: %s", show_name(pair.id), error)
        if progress:
            progress("looking", len(samples), config.pairs)
    if not samples:
        raise DataError(
            f"{show_name(config.data)}: no pair has a photo before its edit, a sentence and the named thing's mask",
            hint="instruction pairs: `a2 dataset synth --instructions 1`, or --localize synth",
        )
    blocks = tuple(
        score_heads(samples, list_heads(samples[0], [block]), (name,)) for block, name in enumerate(names)
    )
    chosen = list_heads(samples[0], choose_range(samples))
    heads: tuple[BlockScore, ...] = ()
    if config.by_head:
        every = list_heads(samples[0], range(len(names)))
        heads = tuple(score_tokens(samples, [head], (f"{names[head[0]]}:{head[1]}",)) for head in every)
        chosen = choose_heads(samples, sorted({block for block, _ in chosen}))
    best = score_heads(samples, chosen, _name(chosen, names, samples[0].maps.shape[1]))
    written = None if folder is None else str(write_blocks(folder, pipeline, best.blocks))
    return Calibration(blocks, best, heads, written)


def list_pairs(config: CalibrateConfig) -> Iterator[Pair]:
    """The instruction pairs of a run that say what their source mask marks, as many as there are, at most `pairs`."""
    synth = config.data == SYNTH
    settings = SourceConfig(
        path=None if synth else config.data,
        split=config.split,
        synth=SynthConfig(size=SYNTH_SIZE, instructions=1.0),
    )
    source = open_source(settings, seed=config.seed)
    records = MOST_RECORDS * config.pairs
    found = 0
    for index in range(records if source.count is None else min(records, source.count)):
        pair = source.get_pair(index)
        if pair.src_rgb is None or pair.src_mask is None or not pair.prompt or not pair.src_mask.any():
            continue
        yield pair
        found += 1
        if found == config.pairs:
            return


def find_traits_folder(config: CalibrateConfig) -> Path:
    """The model folder whose traits would be written.

    ConfigError for a model that is not a folder here, and for the one that this package holds, unless it is named.
    """
    from a2cli.backbones.registry import load_backbone_class

    named = config.model or getattr(load_backbone_class(config.backbone), "default_model", None)
    if named is None or not Path(named).expanduser().is_dir():
        raise ConfigError(
            f"--write: {show_name(str(named or config.backbone))} is no model folder on this machine",
            hint="download it and give --model FOLDER",
        )
    folder = Path(named).expanduser()
    if config.model is None and folder.resolve().is_relative_to(Path(a2cli.__file__).resolve().parent):
        raise ConfigError(
            f"--write: {config.backbone}'s own model is part of the installed package",
            hint=f"give --model FOLDER, such as a copy of {show_name(str(folder))}",
        )
    return folder


def write_blocks(folder: Path, pipeline: EditPipeline, blocks: tuple[str, ...]) -> Path:
    """Put `localize_blocks` into a model folder's traits and leave the others; the file is the old or the new one."""
    path = folder / TRAITS_FILE
    # A file that is there was read before, when the backbone was loaded.
    content = (
        json.loads(path.read_text(encoding="utf-8")) if path.is_file() else asdict(pipeline.backbone.traits)
    )
    text = json.dumps({**content, "localize_blocks": list(blocks)}, indent=2) + "\n"
    write_bytes(text.encode(), path)
    return path


def _see(pipeline: EditPipeline, pair: Pair, names: tuple[str, ...], *, by_head: bool) -> Sample:
    """Attention of every block to the thing a pair's sentence names, `by_head` of each of its heads."""
    import torch

    assert pair.src_rgb is not None and pair.src_mask is not None
    traits = pipeline.backbone.traits
    size = get_look_size((pair.src_rgb.shape[0], pair.src_rgb.shape[1]), traits.resolution, traits.token_px)
    keyword = pair.keyword if pair.keyword and pair.keyword in pair.prompt else None
    picture = resize(pair.src_rgb, size)
    with torch.no_grad():
        seeker = Seeker(pipeline, pair.prompt, LocalizeOptions(way="attention", keyword=keyword))
        seen = seeker.record(picture, HeadMaps(seeker.rows, seeker.get_layout(picture))).maps
    rows, columns = (side // traits.token_px for side in size)
    heads = torch.stack([seen[name][0] for name in names]).cpu().numpy()
    maps = (heads if by_head else heads.mean(1, keepdims=True)).reshape(len(names), -1, rows, columns)
    cover = resize(pair.src_mask.astype(np.float32), size)
    tokens = cover.reshape(rows, traits.token_px, columns, traits.token_px).mean((1, 3))
    return Sample(maps, cover > 0.5, tokens)


def _name(chosen: Heads, names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Chosen heads as traits name them; a block alone where all of its `count` are chosen."""
    choice = {
        names[block]: tuple(head for _, head in of) for block, of in groupby(chosen, lambda head: head[0])
    }
    return show_choice({name: None if len(of) == count else of for name, of in choice.items()})
