"""Photographs for backgrounds and cut-outs: a folder of your own, and scikit-image's bundled ones."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from a2cli.data.provenance import Rights
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import DataError
from a2cli.files import show_name

# Photo name -> category of what it shows (None: ground or texture only), author, licence (SPDX where it has a name).
BUNDLED: dict[str, tuple[str | None, str, str]] = {
    "astronaut": ("portraits", "NASA", "LicenseRef-public-domain"),
    "chelsea": ("animals", "Stéfan van der Walt", "CC0-1.0"),
    "coffee": ("furniture", "Rachel Michetti", "CC0-1.0"),
    "rocket": ("vehicles", "SpaceX", "CC0-1.0"),
    "hubble_deep_field": (None, "NASA/ESA", "LicenseRef-public-domain"),
    "retina": (None, "Mikael Häggström", "CC0-1.0"),
    "immunohistochemistry": (None, "CMMI", "CC0-1.0"),
    "brick": ("architecture", "CC0Textures", "CC0-1.0"),
    "grass": ("plants", "linolafett", "CC0-1.0"),
    "gravel": (None, "CC0Textures", "CC0-1.0"),
}
HELD_OUT = ("coffee", "flower", "rocket")
_FOLDER_CATEGORIES = {"china": "architecture", "flower": "plants"}
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_MAX_SIDE = 2048  # larger photographs are reduced, so that a few of them fit in memory
_log = logging.getLogger(__name__)
_warned: set[Path] = set()


@dataclass(frozen=True)
class Photograph:
    """One photograph before it is opened.

    `category` is that of what it shows, None for a mere background; `scene` tells that it may be a background. Those
    without a `path` are scikit-image's.
    """

    name: str
    category: str | None
    rights: Rights
    path: Path | None = None
    scene: bool = True


@lru_cache(maxsize=8)
def list_photos(folder: str | None, split: str, licence: str = "") -> tuple[Photograph, ...]:
    """List the photographs of one split, by name; `licence` is that of the ones in `folder`.

    Pictures in the folder itself are backgrounds; those in a sub-folder named after a category are subjects: whole
    where they are transparent around it, else pieces of them. "train" leaves out the held-out names, "test" holds
    only them; of a folder's own, a fifth is held out, by name. Raises `DataError` when no background remains.
    """
    own = _list_folder(Path(folder), licence) if folder else []
    photos = sorted([*_list_bundled(), *own], key=lambda photo: photo.name)
    chosen = tuple(photo for photo in photos if is_held_out(photo.name) == (split == "test"))
    if not any(photo.scene for photo in chosen):
        raise DataError(f"no {split} photographs", hint="give --photos FOLDER")
    return chosen


def is_held_out(name: str) -> bool:
    """Whether a photograph of this name belongs to the split "test"."""
    if name in BUNDLED or name in _FOLDER_CATEGORIES:
        return name in HELD_OUT
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[0] % 5 == 2


def pick_photo(
    photos: list[Photograph], rng: np.random.Generator
) -> tuple[Photograph, np.ndarray, np.ndarray | None]:
    """Draw one: itself, (H, W, 3) uint8 sRGB, and its alpha (H, W) uint8 or None.

    For one that cannot be read, which is warned of once, stands the next. Raises `DataError` when none can be read.
    """
    start = int(rng.integers(len(photos)))
    for photo in (*photos[start:], *photos[:start]):
        if (pixels := _load_pixels(photo)) is not None:
            return photo, *pixels
    raise DataError("none of the photographs can be read", hint="check the folder of --photos")


@lru_cache(maxsize=16)
def _load_pixels(photo: Photograph) -> tuple[np.ndarray, np.ndarray | None] | None:
    if photo.path is None:
        from skimage import data

        return _as_rgb(getattr(data, photo.name)()), None
    from a2cli.images.read import open_photo

    try:
        opened = open_photo(photo.path)
    except DataError as error:
        if photo.path not in _warned:
            _log.warning("%s", error)
            _warned.add(photo.path)
        return None
    return _reduce(opened.rgb), None if opened.alpha is None else _reduce(opened.alpha)


def _reduce(pixels: np.ndarray) -> np.ndarray:
    import cv2

    height, width = pixels.shape[:2]
    scale = _MAX_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _list_bundled() -> list[Photograph]:
    try:
        import skimage.data  # noqa: F401
    except ImportError as error:
        raise DataError("scikit-image is not installed", hint="pip install 'a2cli[synth]'") from error
    return [
        Photograph(name, category, Rights(f"scikit-image {name}", author, licence))
        for name, (category, author, licence) in BUNDLED.items()
    ]


def _list_folder(folder: Path, licence: str) -> list[Photograph]:
    if not folder.is_dir():
        raise DataError(f"{show_name(str(folder))}: no such folder of photographs")
    photos = []
    for path in _find_pictures(folder):
        if path.stem not in BUNDLED:
            category = _FOLDER_CATEGORIES.get(path.stem)
            photos.append(Photograph(path.stem, category, Rights(path.name, licence=licence), path))
    for category in CATEGORIES:
        for path in _find_pictures(folder / category):
            rights = Rights(f"{category}/{path.name}", licence=licence)
            photos.append(Photograph(path.stem, category, rights, path, scene=False))
    return photos


def _find_pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)


def _as_rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else np.ascontiguousarray(image[..., :3])
