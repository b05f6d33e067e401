"""A mask by hand: show a photo on a page of this machine, wait, and have a mask file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.masks.read import read_mask
from a2cli.picking.browser import describe_way, has_display
from a2cli.picking.browser import open_browser as open_page
from a2cli.picking.server import serve
from a2cli.picking.session import Session
from a2cli.types import MAX_PIXELS


def pick_mask(
    photo: str | Path,
    out: str | Path,
    *,
    show: Callable[[str], None],
    port: int = 0,
    open_browser: bool = True,
    timeout_s: float | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Path:
    """Let the user mark a photo on a local page; returns `out`, written as grey PNG of the photo's size, white = edit.

    A mask that is there already is what the page starts from, and is replaced only when the user saves. `show` gets the
    lines a user must see: the page's address, and how to reach it over SSH. A browser is opened where there is a
    screen. Nothing listens once this has returned or raised. Raises `KeyboardInterrupt` when the user cancels,
    `DataError` for a photo that cannot be read and when `timeout_s` runs out, `ConfigError` for a port that is taken
    and an `out` that is no mask of this photo.
    """
    opened = open_photo(photo, max_pixels=max_pixels)
    session = Session(opened, load_start(out, opened), Path(out))
    with serve(session, port) as url:
        opens = open_browser and has_display(os.environ)
        for line in describe_way(url, os.environ, opened=opens):
            show(line)
        if opens:
            open_page(url)
        if not session.wait(timeout_s):
            raise DataError(f"{show_name(str(photo))}: no mask was saved within {timeout_s:g} s")
    if session.cancelled:
        show("cancelled on the page, no mask is saved")
        raise KeyboardInterrupt
    return Path(out)


def load_start(out: str | Path, photo: Photo) -> np.ndarray | None:
    """The mask that `out` holds already, (H, W) in [0, 1], or None. Raises `ConfigError` for any other file there.

    So no picture is lost by a slip: what would be replaced is an opaque PNG that reads as a mask of this very photo.
    """
    shown, hint = show_name(str(out)), "name another file with --mask"
    path = Path(out)
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{shown}: the mask is saved as PNG", hint="name it .png")
    if not os.path.lexists(path):
        if not path.parent.is_dir():
            raise DataError(f"{show_name(str(path.parent))}: no such folder", hint="make it first")
        if not os.access(path.parent, os.W_OK):
            raise DataError(f"{shown}: cannot be written: Permission denied", hint=hint)
        return None
    try:
        there = open_photo(path)
        if there.format != "PNG" or there.alpha is not None:
            raise ConfigError(f"{shown}: is there and is no plain mask; it is not replaced", hint=hint)
        return read_mask(path, photo.size)
    except DataError as error:
        raise ConfigError(
            f"{shown}: is there and is no mask of this photo: {error.message}", hint=hint
        ) from error
