"""Helpers of this folder and of those that build backbones, data and pages, importable here."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [
    str(TESTS / "backbones"),
    str(TESTS / "training"),
    str(TESTS / "data"),
    str(TESTS / "pages"),
]
