"""Colour-emoji glyphs as cut-outs: an installed bitmap font is a library of clean subjects."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from a2cli.data.provenance import Rights
from a2cli.data.taxonomy import get_glyph_names
from a2cli.errors import DataError

_FONT_NAMES = ("NotoColorEmoji.ttf", "NotoColorEmoji-Regular.ttf")
_FONT_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
    "~/.fonts",
    "~/.local/share/fonts",
)
_BITMAP_PX = 109  # the one size the font's colour bitmaps come in


@cache
def get_split_glyphs(category: str, split: str) -> tuple[str, ...]:
    """List a category's glyph names of one split; every fifth name is held out for "test"."""
    names = get_glyph_names(category)
    return tuple(n for i, n in enumerate(names) if (i % 5 == 2) == (split == "test"))


def get_glyph_rights(name: str) -> Rights:
    """Who made a glyph and what may be done with it."""
    return Rights(f"Noto Color Emoji {name}", "Google", "OFL-1.1")


@lru_cache(maxsize=1)
def find_emoji_font() -> Path:
    """Locate an installed colour-emoji bitmap font.

    Raises `DataError` with the package to install when there is none.
    """
    for folder in _FONT_FOLDERS:
        root = Path(folder).expanduser()
        for name in _FONT_NAMES:
            if found := sorted(root.rglob(name)) if root.is_dir() else []:
                return found[0]
    raise DataError("no colour-emoji font is installed", hint="on Debian: fonts-noto-color-emoji")


@lru_cache(maxsize=2048)
def load_glyph(name: str, font: Path | None = None) -> np.ndarray:
    """Render one glyph by its Unicode name, cut to its own bounds.

    Returns (h, w, 4) uint8 RGBA, straight alpha. Raises `DataError` for a name Unicode does not know, a font
    that cannot be opened at its bitmaps' size, and a glyph the font lacks.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = font or find_emoji_font()
    canvas = Image.new("RGBA", (2 * _BITMAP_PX, 2 * _BITMAP_PX))
    try:
        face, letter = ImageFont.truetype(str(font), _BITMAP_PX), unicodedata.lookup(name)
        ImageDraw.Draw(canvas).text((20, 20), letter, font=face, embedded_color=True)
    except KeyError as error:
        raise DataError(f"Unicode knows no character named {name!r}") from error
    except OSError as error:
        raise DataError(f"{font}: cannot be used as an emoji font: {error}") from error
    box = canvas.getchannel("A").getbbox()
    if box is None:
        raise DataError(f"the emoji font has no glyph '{name}'")
    return np.asarray(canvas.crop(box))
