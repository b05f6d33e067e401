"""The tiny model and the pictures of tests/engine and tests/images, importable here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [
    str(TESTS / "backbones"),
    str(TESTS / "training"),
    str(TESTS / "data"),
    str(TESTS / "engine"),
    str(TESTS / "images"),
]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a nano with random weights, 1 + 1 blocks of width 64, 64 px."""
    from edits import save_tiny

    return save_tiny(tmp_path_factory.mktemp("model"))
