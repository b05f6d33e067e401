"""Photographs for backgrounds and cut-outs: a folder of your own, and scikit-image's bundled ones."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from a2cli.errors import DataError

# Photo name -> category of what it shows (None: ground or texture only). Licences: the model card of nano.
BUNDLED: dict[str, str | None] = {
    "astronaut": "portraits",
    "chelsea": "animals",
    "coffee": "furniture",
    "rocket": "vehicles",
    "hubble_deep_field": None,
    "retina": None,
    "immunohistochemistry": None,
    "brick": "architecture",
    "grass": "plants",
    "gravel": None,
}
HELD_OUT = ("coffee", "flower", "rocket")
_FOLDER_CATEGORIES = {"china": "architecture", "flower": "plants"}
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@lru_cache(maxsize=4)
def load_photos(folder: str | None, split: str) -> tuple[tuple[str, str | None, np.ndarray], ...]:
    """Load the photographs of one split, by name.

    Returns (name, category or None, (H, W, 3) uint8 sRGB) for every photo; `split` "train" leaves out the
    held-out names, "test" holds only them. Raises `DataError` when no photo remains.
    """
    photos = [*_load_bundled(), *(_load_folder(Path(folder)) if folder else ())]
    chosen = tuple(p for p in sorted(photos, key=lambda p: p[0]) if (p[0] in HELD_OUT) == (split == "test"))
    if not chosen:
        raise DataError(f"no {split} photographs", hint="give --photos FOLDER")
    return chosen


def _load_bundled() -> list[tuple[str, str | None, np.ndarray]]:
    try:
        from skimage import data
    except ImportError as error:
        raise DataError("scikit-image is not installed", hint="pip install 'a2cli[synth]'") from error
    return [(name, category, _as_rgb(getattr(data, name)())) for name, category in BUNDLED.items()]


def _load_folder(folder: Path) -> list[tuple[str, str | None, np.ndarray]]:
    from a2cli.images.read import open_photo

    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of photographs")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
    return [
        (p.stem, _FOLDER_CATEGORIES.get(p.stem), open_photo(p).rgb) for p in paths if p.stem not in BUNDLED
    ]


def _as_rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else np.ascontiguousarray(image[..., :3])
