"""What an edit reads: photo, mask and reference, in any of the forms `a2 edit` takes."""

from __future__ import annotations

import logging
import select
import sys
from dataclasses import dataclass

import numpy as np

from a2cli.config.edit import SOURCE_WAYS, EditConfig, has_piped_stdin
from a2cli.errors import ConfigError
from a2cli.images.cutout import Cutout, cut_out
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.masks.read import get_hole, has_hole, read_mask

log = logging.getLogger(__name__)
SILENCE = 2.0  # seconds without a byte on stdin after which a2 says what it waits for


@dataclass(frozen=True)
class Inputs:
    """The photo, the mask (H, W) in [0, 1] or None where none was given, the cut-out reference, the photo's name."""

    photo: Photo
    mask: np.ndarray | None
    subject: Cutout
    name: str


def read_inputs(config: EditConfig) -> Inputs:
    """Read source, mask and reference in any of the forms `a2 edit` takes; raises `DataError`, `ConfigError`."""
    named = (*config.sources, config.ref, config.mask, config.ref_mask)
    stdin = sys.stdin.buffer.read() if "-" in named else b""

    def read(name: str) -> Photo:
        if name == "-":
            return open_photo(stdin, name="stdin", max_pixels=config.max_pixels)
        return open_photo(name, max_pixels=config.max_pixels)

    def read_any_mask(name: str, size: tuple[int, int], *, hole: bool = True) -> np.ndarray:
        spec = stdin if name == "-" else name
        return read_mask(spec, size, fit=config.fit_mask, hole=hole, max_pixels=config.max_pixels)

    def read_subject() -> Cutout:
        reference = read(config.ref)
        if config.ref_mask is None:
            return cut_out(reference)
        return cut_out(reference, read_any_mask(config.ref_mask, reference.size, hole=False))

    source = config.sources[0] if config.sources else None
    if source is None and "-" not in named and has_piped_stdin():
        _warn_of_silence()
        stdin = sys.stdin.buffer.read()
        source = "-" if stdin else None
    if source is None:
        holed = None if config.mask is None or config.mask.lower().startswith("box:") else read(config.mask)
        if config.mask is None or holed is None or not has_hole(holed):
            raise ConfigError("no photo to edit", hint=SOURCE_WAYS)
        return Inputs(holed, get_hole(holed), read_subject(), config.mask)
    photo = read(source)
    mask = None if config.mask is None else read_any_mask(config.mask, photo.size)
    return Inputs(photo, mask, read_subject(), source)


def _warn_of_silence() -> None:
    """Say what a2 waits for when nothing comes from a stdin that nobody named."""
    try:
        ready = select.select([sys.stdin], [], [], SILENCE)[0]
    except (OSError, ValueError):  # Windows can only select on sockets
        return
    if not ready:
        log.warning("no SOURCE was named: waiting for a photo on stdin (name one, or add < /dev/null)")
