"""Open the pictures of an item: sRGB, upright, no larger than asked for, their masks and boxes alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from a2cli.building.readers.about import Rect
from a2cli.building.readers.parts import Blob, Part
from a2cli.building.readers.rejects import Unfit, get_cause
from a2cli.building.readers.walk import check_file
from a2cli.building.records import Box, View
from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.cutout import LEAST_SHARE, MOST_SHARE
from a2cli.images.geometry import get_bounding_box, resize
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.masks.read import read_mask
from a2cli.urls import fetch, is_url


def load_views(
    parts: Sequence[Part], root: Path, max_side: int
) -> tuple[list[View], list[tuple[Part, Unfit]]]:
    """The views that can be opened, and the parts that cannot with the reasons."""
    views: list[View] = []
    failed: list[tuple[Part, Unfit]] = []
    for part in parts:
        try:
            views.append(load_view(part, root, max_side))
        except Unfit as error:
            failed.append((part, error))
    return views, failed


def load_view(part: Part, root: Path, max_side: int) -> View:
    """One picture with what is given of its subject.

    A picture with transparency is shown on white, and its opaque part is the subject if no mask is given. Raises
    `Unfit` for what cannot be opened, a mask of another size or without a mark, and boxes beside the picture.
    """
    name = part.picture.name
    try:
        photo = open_photo(load_blob(part.picture, root), name=name)
    except DataError as error:
        raise _get_unfit("unreadable picture", error, part.picture) from error
    mask = _load_mask(part.mask, photo.size, root) if part.mask else None
    rgb, opaque = flatten(photo)
    if mask is None:
        mask = opaque
    boxes = _clip_boxes(part.boxes, photo.size, name)
    rgb, scale = fit_side(rgb, max_side)
    if mask is not None:
        mask = resize(mask.astype(np.float32), rgb.shape[:2]) >= 0.5
    across, down = scale
    corners: list[Rect] = [(x0 * across, y0 * down, x1 * across, y1 * down) for x0, y0, x1, y1 in boxes]
    if mask is not None and not corners:
        around = get_bounding_box(mask)
        if around is None:
            raise Unfit("empty mask", f"{name}: its mask marks nothing", hint="white marks the subject")
        corners = [around]
    return View(
        name=name,
        rgb=rgb,
        mask=mask,
        boxes=tuple(Box(x0, y0, x1, y1) for x0, y0, x1, y1 in corners),
        role=part.role,
        given=bool(corners),
    )


def load_blob(blob: Blob, root: Path) -> str | bytes:
    """What `open_photo` takes: the path of a whole file, the bytes of a part of one or of an address.

    Raises `Unfit` for what lies outside `root`, is no regular file or ends too early, and for an address that cannot
    be fetched.
    """
    if is_url(blob.path):
        try:
            return fetch(blob.path)
        except DataError as error:
            raise Unfit("unreadable file", error.message, hint=error.hint) from error
    check_file(blob.path, root, blob.name)
    if blob.offset is None:
        return blob.path
    try:
        with open(blob.path, "rb") as file:
            file.seek(blob.offset)
            data = file.read(blob.size)
    except OSError as error:
        raise Unfit("unreadable file", f"{blob.name}: cannot be read: {get_cause(error)}") from error
    if len(data) < blob.size:
        raise Unfit("damaged archive", f"{blob.name}: the archive ends within it", hint="download it again")
    return data


def flatten(photo: Photo) -> tuple[np.ndarray, np.ndarray | None]:
    """A photo's rgb (H, W, 3) uint8, on white where it is transparent, and what of it is opaque: (H, W) bool or None.

    None too where nearly all or nothing is opaque, as in a screen shot with round corners.
    """
    if photo.alpha is None or int(photo.alpha.min()) == 255:
        return photo.rgb, None
    alpha = photo.alpha[..., None].astype(np.uint32)
    rgb = ((photo.rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    opaque = photo.alpha >= 128
    return rgb, opaque if LEAST_SHARE <= float(opaque.mean()) <= MOST_SHARE else None


def fit_side(rgb: np.ndarray, max_side: int) -> tuple[np.ndarray, tuple[float, float]]:
    """(H, W, 3) with its longer side at most `max_side`, aspect kept, and the scale in x and y."""
    height, width = rgb.shape[:2]
    if max(height, width) <= max_side:
        return np.ascontiguousarray(rgb), (1.0, 1.0)
    share = max_side / max(height, width)
    size = (max(round(height * share), 1), max(round(width * share), 1))
    return resize(rgb, size), (size[1] / width, size[0] / height)


def _load_mask(blob: Blob, size: tuple[int, int], root: Path) -> np.ndarray:
    """(H, W) bool, whatever is opaque or white being the subject."""
    source = load_blob(blob, root)
    try:
        mask = read_mask(Path(source) if isinstance(source, str) else source, size, hole=False) >= 0.5
    except DataError as error:
        raise _get_unfit("unusable mask", error, blob) from error
    if not mask.any():
        raise Unfit("empty mask", f"{blob.name}: the mask marks nothing", hint="white marks the subject")
    return mask


def _clip_boxes(boxes: Sequence[Rect], size: tuple[int, int], name: str) -> list[Rect]:
    height, width = size
    clipped = []
    for x0, y0, x1, y1 in boxes:
        box = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        if box[0] >= box[2] or box[1] >= box[3]:
            raise Unfit(
                "bad record", f"{name}: a box lies outside the {width} x {height} picture", hint="in pixels"
            )
        clipped.append(box)
    return clipped


def _get_unfit(reason: str, error: DataError, blob: Blob) -> Unfit:
    """The same error, the file called by its name in the source."""
    if isinstance(error, Unfit):
        return error
    message = error.message.replace(show_name(os.fspath(blob.path)), blob.name)
    if not message.startswith(blob.name):
        message = f"{blob.name}: {message.removeprefix('mask: ').removeprefix('input: ')}"
    hint = error.hint.replace("--fit-mask scales it", "give a mask of the picture's own size")
    return Unfit(reason, message, hint=hint)
