"""`a2 doctor --localize`: which blocks' attention says best where a named thing is, measured on pairs that know it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from a2cli.backbones.flux import TRAITS_FILE
from a2cli.config.localize import LocalizeOptions
from a2cli.data.records import Pair
from a2cli.data.source import SourceConfig, open_source
from a2cli.data.synth import SynthConfig
from a2cli.engine.localize import Seeker, get_look_size, read_map
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name, write_bytes
from a2cli.images.geometry import resize
from a2cli.localize.filters import smooth
from a2cli.localize.threshold import find_region
from a2cli.masks.morph import get_iou
from a2cli.metrics.region import get_auc

if TYPE_CHECKING:
    import torch

Progress = Callable[[str, int, int], None]
log = logging.getLogger(__name__)
SYNTH = "synth"
MOST_RECORDS = 8  # records read for each pair that is wanted: a set may hold few with a sentence
SYNTH_SIZE = 256  # px of synthesised photos


@dataclass(frozen=True)
class CalibrateConfig:
    """Blocks of which model are scored on which pairs.

    `data` is a folder of instruction pairs or "synth", `pairs` how many of them count, of its `split`: choosing blocks
    is training, and what was chosen is measured on other pairs. `write` puts the best range into the model folder's
    traits. ConfigError for an impossible count.
    """

    data: str
    backbone: str = "nano"
    model: str | None = None
    pairs: int = 64
    split: str = "train"
    seed: int = 0
    device: str = "auto"
    write: bool = False

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ConfigError(f"-n is {self.pairs}, must be 1 or more")


@dataclass(frozen=True)
class BlockScore:
    """How well a block, or several averaged, finds the named thing: means over pairs, `iou_se` its standard error.

    `iou` after smoothing and Otsu's cut, `auc` of the bare attention against the tokens that the thing fills by more
    than half, both in [0, 1]; NaN where no pair has such tokens and others.
    """

    blocks: tuple[str, ...]
    iou: float
    iou_se: float
    auc: float
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self) | {"blocks": list(self.blocks), "auc": None if math.isnan(self.auc) else self.auc}

    def list_cells(self) -> tuple[str, str, str, str]:
        """Blocks, IoU, its standard error and AUC, as a table shows them."""
        named = self.blocks[0] if len(self.blocks) == 1 else f"{self.blocks[0]} to {self.blocks[-1]}"
        return named, f"{self.iou:.3f}", f"{self.iou_se:.3f}", f"{self.auc:.3f}"


@dataclass(frozen=True)
class Calibration:
    """Every block's score in execution order, the best contiguous range's, and the file it was written to."""

    blocks: tuple[BlockScore, ...]
    best: BlockScore
    written: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        blocks = [score.to_dict() for score in self.blocks]
        return {"blocks": blocks, "best": self.best.to_dict(), "written": self.written}


@dataclass(frozen=True)
class _Sample:
    """One pair seen: attention of each block (blocks, rows, columns), the truth (h, w) bool and by tokens."""

    maps: np.ndarray
    truth: np.ndarray
    tokens: np.ndarray


def run_calibrate(config: CalibrateConfig, progress: Progress | None = None) -> Calibration:
    """Score every block, find the best contiguous range, and write it where that is asked for.

    Raises `A2Error` where the model or the data cannot be used; DataError when no pair has a sentence that names what
    its source mask marks.
    """
    folder = find_traits_folder(config) if config.write else None
    pipeline = EditPipeline.load(config.backbone, model=config.model, adapter="none", device=config.device)
    names = tuple(block.name for block in pipeline.backbone.get_blocks())
    samples = []
    for pair in list_pairs(config):
        try:
            samples.append(_see(pipeline, pair, names))
        except DataError as error:  # the named words lie behind what the backbone reads of a prompt
            log.warning("%s: left out: %s", show_name(pair.id), error)
        if progress:
            progress("looking", len(samples), config.pairs)
    if not samples:
        raise DataError(
            f"{show_name(config.data)}: no pair has a photo before its edit, a sentence and the named thing's mask",
            hint="instruction pairs: `a2 dataset synth --instructions 1`, or --localize synth",
        )
    scores = tuple(score_blocks(samples, names, [i]) for i in range(len(names)))
    best = score_blocks(samples, names, choose_range([(s.maps, s.tokens) for s in samples]))
    if folder is None:
        return Calibration(scores, best)
    return Calibration(scores, best, str(write_blocks(folder, pipeline, best.blocks)))


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


def score_blocks(samples: list[_Sample], names: tuple[str, ...], chosen: list[int]) -> BlockScore:
    """Score the mean of the chosen blocks' attention, at the size the photos were looked at."""
    ious, aucs = [], []
    for sample in samples:
        attention = sample.maps[chosen].mean(0)
        look = read_map(attention, LocalizeOptions(), (sample.truth.shape[0], sample.truth.shape[1]))
        ious.append(get_iou(look.region, sample.truth))
        aucs.append(get_auc(attention, sample.tokens > 0.5))
    spread = float(np.std(ious, ddof=1)) / len(ious) ** 0.5 if len(ious) > 1 else 0.0
    known = [auc for auc in aucs if not np.isnan(auc)]
    return BlockScore(
        tuple(names[i] for i in chosen),
        iou=float(np.mean(ious)),
        iou_se=spread,
        auc=float(np.mean(known)) if known else float("nan"),
        pairs=len(samples),
    )


def choose_range(samples: list[tuple[np.ndarray, np.ndarray]]) -> list[int]:
    """The contiguous blocks whose mean attention finds the things best: numbers, by mean IoU on the token grid.

    `samples` hold the attention of each block (blocks, rows, columns) and the thing's share of each token (rows,
    columns). Of equal ranges the first and shortest.
    """
    count = len(samples[0][0])
    options = LocalizeOptions()
    best, found = -1.0, [0]
    for start in range(count):
        totals = [np.zeros(maps.shape[1:]) for maps, _ in samples]
        for stop in range(start, count):
            ious = []
            for total, (maps, tokens) in zip(totals, samples, strict=True):
                total += maps[stop]
                region = find_region(smooth(total, options.filter, options.strength)).tokens
                ious.append(_get_soft_iou(region, tokens))
            if float(np.mean(ious)) > best:
                best, found = float(np.mean(ious)), list(range(start, stop + 1))
    return found


def find_traits_folder(config: CalibrateConfig) -> Path:
    """The model folder whose traits would be written; ConfigError for a model that is not a folder here."""
    from a2cli.backbones.registry import load_backbone_class

    named = config.model or getattr(load_backbone_class(config.backbone), "default_model", None)
    if named is None or not Path(named).expanduser().is_dir():
        raise ConfigError(
            f"--write: {show_name(str(named or config.backbone))} is no model folder on this machine",
            hint="download it and give --model FOLDER",
        )
    return Path(named).expanduser()


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


def _see(pipeline: EditPipeline, pair: Pair, names: tuple[str, ...]) -> _Sample:
    """Attention of every block to the thing a pair's sentence names."""
    import torch

    assert pair.src_rgb is not None and pair.src_mask is not None
    traits = pipeline.backbone.traits
    size = get_look_size((pair.src_rgb.shape[0], pair.src_rgb.shape[1]), traits.resolution, traits.token_px)
    keyword = pair.keyword if pair.keyword and pair.keyword in pair.prompt else None
    with torch.no_grad():
        seeker = Seeker(pipeline, pair.prompt, LocalizeOptions(way="attention", keyword=keyword))
        seeker.blocks = names
        recorder = seeker.record(resize(pair.src_rgb, size))
        maps = [
            _to_grid(recorder.get_map("text", "context", [name]), size, traits.token_px) for name in names
        ]
    cover = resize(pair.src_mask.astype(np.float32), size)
    rows, columns = (side // traits.token_px for side in size)
    tokens = cover.reshape(rows, traits.token_px, columns, traits.token_px).mean((1, 3))
    return _Sample(np.stack(maps), cover > 0.5, tokens)


def _to_grid(row: torch.Tensor, size: tuple[int, int], token_px: int) -> np.ndarray:
    grid: np.ndarray = row[0].float().cpu().numpy().reshape(size[0] // token_px, size[1] // token_px)
    return grid


def _get_soft_iou(region: np.ndarray, cover: np.ndarray) -> float:
    """IoU of chosen tokens (bool) with a thing's share of each, in token areas."""
    both = float(cover[region].sum())
    either = float(region.sum() + cover.sum()) - both
    return both / either if either > 0 else 1.0
