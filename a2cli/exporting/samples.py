"""The edits that a routing is frozen on and a loss is measured on: pairs of a data set, or a reference over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from a2cli.config.export import SYNTH, ExportConfig
from a2cli.config.suggest import get_suggestion
from a2cli.data.records import Pair
from a2cli.data.source import SourceConfig, open_source
from a2cli.data.synth import SynthConfig
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name
from a2cli.images.cutout import Cutout, cut_out
from a2cli.images.read import open_photo
from a2cli.masks.augment import RoughConfig, box_of
from a2cli.masks.curriculum import STAGES, apply_stage
from a2cli.masks.read import read_mask

SYNTH_SIZE = 256  # px of synthesised photos
MOST_RECORDS = 64  # records looked through for each one of the category that is wanted


@dataclass(frozen=True)
class Sample:
    """One edit: photo (H, W, 3) uint8, mask (H, W) in [0, 1], subject, prompt; `target` where the result is known."""

    photo: np.ndarray
    mask: np.ndarray
    subject: Cutout
    prompt: str
    target: np.ndarray | None = None


def check_category(category: str | None) -> None:
    """Raise ConfigError for a category that there is not."""
    if category is not None and category not in CATEGORIES:
        raise ConfigError(f"--for {category!r} is no category", hint=get_suggestion(category, CATEGORIES))


def list_samples(config: ExportConfig, split: str, count: int) -> Iterator[Sample]:
    """The edits of one export, at most `count`.

    Of pairs the masks are in turn exact, rough and a box, as in training. With a reference every photo gets that one,
    under the box of its own subject; with its photo and mask too there is but one edit. Raises DataError where nothing
    can be read or no pair is of the category, ConfigError for a category or split that there is not.
    """
    check_category(config.category)
    if config.ref is None:
        yield from (_get_sample(config, i, pair) for i, pair in enumerate(_list_pairs(config, split, count)))
        return
    subject = read_subject(config.ref, config.ref_mask)
    if config.photo is not None and config.mask is not None:
        photo = open_photo(config.photo)
        mask = read_mask(config.mask, photo.size)
        if not mask.any():
            raise DataError(f"{show_name(config.mask)}: the mask is empty", hint="mark what is to be edited")
        yield Sample(photo.rgb, mask, subject, config.prompt)
        return
    for pair in _list_pairs(config, split, count):
        sample = Sample(_get_photo(pair), box_of(pair.tar_mask).astype(np.float32), subject, config.prompt)
        yield sample


def read_subject(ref: str, ref_mask: str | None) -> Cutout:
    """Read and cut out a reference as `a2 edit` does."""
    photo = open_photo(ref)
    return cut_out(photo, None if ref_mask is None else read_mask(ref_mask, photo.size, hole=False))


def _list_pairs(config: ExportConfig, split: str, count: int) -> Iterator[Pair]:
    """Pairs of the category, or of every one in turn, whose subject can be seen."""
    synth = config.data == SYNTH
    hold_out = tuple(c for c in CATEGORIES if c != config.category) if synth and config.category else ()
    settings = SourceConfig(
        path=None if synth else config.data,
        split=split,
        hold_out=hold_out,
        synth=SynthConfig(size=SYNTH_SIZE),
    )
    source = open_source(settings, seed=config.seed)
    most = MOST_RECORDS * count
    pairs = (source.get_pair(i) for i in range(most if source.count is None else min(most, source.count)))
    fitting = (
        p for p in pairs if p.tar_mask.any() and p.ref_mask.any() and config.category in (None, p.category)
    )
    found = 0
    for pair in islice(fitting, count):
        found += 1
        yield pair
    if not found:
        what = f" of category {config.category}" if config.category else ""
        raise DataError(
            f"{show_name(config.data)}: no pair{what} in split {split}", hint="name another --data"
        )


def _get_sample(config: ExportConfig, index: int, pair: Pair) -> Sample:
    stage = (
        STAGES[index // len(CATEGORIES) % len(STAGES)]
        if config.category is None
        else STAGES[index % len(STAGES)]
    )
    mask = apply_stage(pair.tar_mask, stage, np.random.default_rng([config.seed, index]), RoughConfig())
    subject = Cutout(pair.ref_rgb, pair.ref_mask.astype(np.float32))
    return Sample(_get_photo(pair), mask.astype(np.float32), subject, pair.prompt, pair.tar_rgb)


def _get_photo(pair: Pair) -> np.ndarray:
    return pair.tar_rgb if pair.src_rgb is None else pair.src_rgb
