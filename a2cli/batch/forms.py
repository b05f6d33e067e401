"""Which form a command line has: one plain edit, or several, and what several cannot do."""

from __future__ import annotations

import os
from pathlib import Path

from a2cli.batch.job import STDOUT
from a2cli.batch.lists import is_pattern
from a2cli.batch.targets import check_targets
from a2cli.config.edit import SOURCE_WAYS, EditConfig, check_source_form
from a2cli.errors import ConfigError


def is_plain(config: EditConfig) -> bool:
    """Whether a command line names one photo, one reference and one mask at most: no folders, patterns or lists."""
    named = (*config.sources, *config.refs, config.mask, config.ref_mask)
    return (
        config.batch.manifest is None
        and len(config.sources) <= 1
        and len(config.refs) == 1
        and not any(name is not None and os.path.isdir(name) for name in named)
        and not any(is_pattern(name) for name in config.sources)
    )


def is_single(config: EditConfig) -> bool:
    """Whether a command line is one plain edit that nothing is recorded of."""
    batch = config.batch
    recorded = batch.preview is not None or batch.skip_existing or batch.resume or batch.shard is not None
    return is_plain(config) and not recorded and batch.engine == "local"


def get_records_folder(config: EditConfig) -> Path:
    """Where results.jsonl and failures.jsonl go: -o if it is a folder, else the only SOURCE if one, else here."""
    out = config.out
    if out not in (None, STDOUT) and (not is_plain(config) or out.endswith("/") or os.path.isdir(out)):
        return Path(out)
    if len(config.sources) == 1 and os.path.isdir(config.sources[0]):
        return Path(config.sources[0])
    return Path()


def check_batch(config: EditConfig) -> None:
    """`ConfigError` for what several edits, or recorded ones, cannot do."""
    batch = config.batch
    check_source_form(config)
    if batch.manifest is not None and (
        len(config.sources) > 1 or not all(_is_one(s) for s in config.sources)
    ):
        raise ConfigError(
            "--manifest names the photos", hint="leave out SOURCE, or give one for all its lines"
        )
    if not is_plain(config):
        check_targets(config)
    pictures = (*config.sources, *config.refs, config.mask, config.ref_mask)
    if "-" in pictures and (batch.workers > 1 or batch.engine != "local"):
        raise ConfigError("workers cannot read a picture from stdin", hint="save it as a file")
    if "-" in pictures and (batch.skip_existing or batch.resume):
        raise ConfigError("a picture from stdin cannot be known again", hint="save it as a file")
    if config.out == STDOUT:
        raise ConfigError("-o - writes one PNG and keeps no records", hint="name a file or a folder with -o")
    if "-" in config.sources and config.out is None:
        raise ConfigError("a photo from stdin has no name to build on", hint="give -o FOLDER")
    no_mask = config.mask is None or config.mask.lower().startswith("box:")
    if batch.manifest is None and not config.sources and no_mask:
        raise ConfigError("no photo to edit", hint=SOURCE_WAYS)


def _is_one(name: str) -> bool:
    return not os.path.isdir(name) and not is_pattern(name)
