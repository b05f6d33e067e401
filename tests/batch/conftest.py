"""A folder of photos for a test; helpers of this folder importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

if TYPE_CHECKING:
    from batches import Catalogue


@pytest.fixture
def catalogue(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """A folder of photos, a reference, and the settings of a batch on the tiny model."""
    from batches import Catalogue

    monkeypatch.chdir(tmp_path)
    return Catalogue(tmp_path, tiny_model)
