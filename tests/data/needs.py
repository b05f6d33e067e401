"""What a test needs beside the package."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from a2cli.data.glyphs import find_emoji_font
from a2cli.errors import DataError


@cache
def has_font() -> bool:
    try:
        return bool(find_emoji_font())
    except DataError:
        return False


def needs_font(test: Any) -> Any:
    absent = pytest.mark.skipif(not has_font(), reason="fonts-noto-color-emoji is not installed")
    return pytest.mark.debian(absent(test))
