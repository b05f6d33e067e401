"""What an edit reads: photo, mask and reference, in any of the forms `a2 edit` takes."""

from __future__ import annotations

import logging
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from a2cli.config.edit import ADDRESS, SOURCE_WAYS, EditConfig, has_piped_stdin
from a2cli.errors import ConfigError, DataError
from a2cli.images.cutout import Cutout, cut_out
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.masks.read import get_hole, has_hole, read_mask

log = logging.getLogger(__name__)
SILENCE = 2.0  # seconds without a byte on stdin after which a2 says what it waits for
_stdin: tuple[object, bytes] | None = None  # the stream that was read to its end, and what came


@dataclass(frozen=True)
class Inputs:
    """The photo, the mask (H, W) in [0, 1] or None where none was given, the cut-out reference, the photo's name.

    `raw` holds the bytes of what is no file: stdin under "-", downloads under their address.
    """

    photo: Photo
    mask: np.ndarray | None
    subject: Cutout
    name: str
    raw: dict[str, bytes] = field(default_factory=dict)


def read_inputs(config: EditConfig, fetch: Callable[[str], bytes] | None = None) -> Inputs:
    """Read source, mask and reference in any of the forms `a2 edit` takes; raises `DataError`, `ConfigError`.

    `fetch` gets what an address names, where `allow_urls` is set; its default refuses all but the open internet.
    """
    if len(config.sources) > 1 or len(config.refs) != 1:
        raise ConfigError("one edit has one photo and one reference", hint="plan_jobs makes several edits")
    raw: dict[str, bytes] = {}

    def get(name: str) -> str | bytes:
        if name == "-" and name not in raw:
            raw[name] = read_stdin()
        elif ADDRESS.match(name) and name not in raw:
            raw[name] = (fetch or _fetch)(name)
        return raw.get(name, name)

    def read(name: str) -> Photo:
        shown = "stdin" if name == "-" else name
        return open_photo(get(name), name=shown, max_pixels=config.max_pixels)

    def read_any_mask(name: str, size: tuple[int, int], *, hole: bool = True) -> np.ndarray:
        return read_mask(get(name), size, fit=config.fit_mask, hole=hole, max_pixels=config.max_pixels)

    def read_subject() -> Cutout:
        reference = read(config.refs[0])
        if config.ref_mask is None:
            return cut_out(reference)
        return cut_out(reference, read_any_mask(config.ref_mask, reference.size, hole=False))

    named = (*config.sources, *config.refs, config.mask, config.ref_mask)
    source = config.sources[0] if config.sources else None
    if source is None and "-" not in named and has_piped_stdin():
        _warn_of_silence()
        source = "-" if get("-") else None
        if source is None:
            del raw["-"]  # an empty pipe is no input
    if source is None:
        holed = None if config.mask is None or config.mask.lower().startswith("box:") else read(config.mask)
        if config.mask is None or holed is None or not has_hole(holed):
            raise ConfigError("no photo to edit", hint=SOURCE_WAYS)
        return Inputs(holed, get_hole(holed), read_subject(), config.mask, raw)
    photo = read(source)
    mask = None if config.mask is None else read_any_mask(config.mask, photo.size)
    return Inputs(photo, mask, read_subject(), source, raw)


def read_stdin() -> bytes:
    """All that comes on stdin; a picture for all of a batch is read once and kept."""
    global _stdin
    if sys.stdin is None:
        raise DataError("stdin: it is closed", hint="pipe the picture in, or name a file")
    if _stdin is None or _stdin[0] is not sys.stdin:
        _stdin = (sys.stdin, sys.stdin.buffer.read())
    return _stdin[1]


@lru_cache(maxsize=4)  # one reference or mask for all of a batch is fetched once
def _fetch(address: str) -> bytes:
    from a2cli.urls import fetch

    return fetch(address)


def _warn_of_silence() -> None:
    """Say what a2 waits for when nothing comes from a stdin that nobody named."""
    try:
        ready = select.select([sys.stdin], [], [], SILENCE)[0]
    except (OSError, ValueError):  # Windows can only select on sockets
        return
    if not ready:
        log.warning("no SOURCE was named: waiting for a photo on stdin (name one, or add < /dev/null)")
