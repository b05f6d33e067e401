"""One photo on the page until its mask is saved: what is shown, what is kept, who waits."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.errors import DataError
from a2cli.files import write_bytes
from a2cli.images.geometry import Box, resize
from a2cli.images.photo import Photo
from a2cli.images.write import build_photo, encode_jpeg, encode_png
from a2cli.picking.marks import read_marks
from a2cli.picking.raster import draw_marks

VIEW_SIDE = 2048  # px of the longer side of what is sent at once; closer looks are cut from the photo itself
CHEQUERS = (12, 236, 204)  # what shows through a transparent photo: side in px, two greys


class Session:
    """A photo, the mask it starts from, (H, W) float in [0, 1] or None, and the file its mask goes to.

    Used by several threads: nothing but `save` and `cancel` changes anything, and the first of them counts.
    """

    def __init__(self, photo: Photo, start: np.ndarray | None, out: Path) -> None:
        self.photo, self.out = photo, out
        self.saved = self.cancelled = False
        self._start = None if start is None else np.rint(start * 255.0).astype(np.uint8)
        self._lock, self._over = threading.Lock(), threading.Event()

    def describe(self) -> dict[str, Any]:
        """What the page must know: names, size in px, px sent a px of the photo, whether there is a mask already."""
        height, width = self.photo.size
        return {
            "name": Path(self.photo.name).name,
            "out": self.out.name,
            "width": width,
            "height": height,
            "scale": min(1.0, VIEW_SIDE / max(width, height)),
            "start": self._start is not None,
        }

    def get_view(self, box: Box | None = None) -> bytes:
        """The photo, or a box of it, upright in sRGB as JPEG of at most VIEW_SIDE px. Raises `DataError` for no box."""
        height, width = self.photo.size
        x0, y0, x1, y1 = box or (0, 0, width, height)
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise DataError(f"no part of a photo of {width} x {height}")
        rgb = _shrink(self.photo.rgb[y0:y1, x0:x1])
        if self.photo.alpha is not None:
            rgb = _lay_on_chequers(rgb, _shrink(self.photo.alpha[y0:y1, x0:x1]))
        return encode_jpeg(build_photo(rgb), rgb)

    def get_start(self) -> bytes:
        """The mask to start from as PNG of at most VIEW_SIDE px: white, as opaque as the mask. `DataError` for none."""
        if self._start is None:
            raise DataError("there is no mask to start from")
        alpha = _shrink(self._start)
        photo = build_photo(np.full((*alpha.shape, 3), 255, dtype=np.uint8), alpha=alpha)
        return encode_png(photo, photo.native)

    def save(self, body: bytes) -> None:
        """Draw the marks of `body` and write the mask. Raises `DataError`; another mask may then still be saved."""
        marks = read_marks(body)
        base = self._start if self._start is not None else np.zeros(self.photo.size, dtype=np.uint8)
        mask = draw_marks(base, marks)
        if not mask.any():
            raise DataError("nothing is marked", hint="paint over what is to be replaced")
        with self._lock:
            self._check_open()
            write_bytes(encode_png(_build_grey(mask), mask), self.out)
            self.saved = True

    def cancel(self) -> None:
        """Give up: no mask is written. Raises `DataError` when one was saved already."""
        with self._lock:
            self._check_open()
            self.cancelled = True

    def finish(self) -> None:
        """Let `wait` return; called once the page has its answer."""
        self._over.set()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the end; False when `timeout_s` ran out first."""
        return self._over.wait(timeout_s)

    def _check_open(self) -> None:
        if self.saved or self.cancelled:
            raise DataError(f"this photo was {'saved' if self.saved else 'given up'} already, in another tab")


def _build_grey(mask: np.ndarray) -> Photo:
    """A Photo of a mask of 8 bits, which takes no more memory than the mask."""
    return Photo(np.broadcast_to(mask[..., None], (*mask.shape, 3)), None, mask, "L", "PNG", "mask", "L")


def _shrink(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(1.0, VIEW_SIDE / max(height, width))
    return resize(picture, (max(1, round(height * scale)), max(1, round(width * scale))))


def _lay_on_chequers(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    side, light, dark = CHEQUERS
    rows, columns = (np.arange(length) // side for length in alpha.shape)
    ground = np.where((rows[:, None] + columns) % 2 == 0, light, dark)[..., None]
    cover = alpha[..., None] / np.float32(255.0)
    return np.rint(rgb * cover + ground * (1.0 - cover)).astype(np.uint8)
