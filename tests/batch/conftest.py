"""A tiny model for a session, a folder of photos for a test; helpers of tests/engine and tests/images importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engine"), str(HERE.parent / "images")]

if TYPE_CHECKING:
    from batches import Catalogue


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a nano with random weights, 1 + 1 blocks of width 64, 64 px."""
    from edits import save_tiny

    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture
def catalogue(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """A folder of photos, a reference, and the settings of a batch on the tiny model."""
    from batches import Catalogue

    monkeypatch.chdir(tmp_path)
    return Catalogue(tmp_path, tiny_model)
