"""Let the tests of this folder import the modules beside them, and those of neighbours that build data and models."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("data", "curation", "pages", "evaluation/judge", "backbones", "engine", "images", "."):
    sys.path.append(str(Path(__file__).parents[1] / folder))
sys.path.insert(0, str(Path(__file__).parent))

import pytest  # noqa: E402
from browser import chromium  # noqa: E402

__all__ = ["chromium"]


@pytest.fixture(scope="session")
def tiny_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a nano of random weights."""
    from edits import save_tiny

    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def tiny_region(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a region adapter for it, with a predictor."""
    from region_edits import save_region_adapter

    return save_region_adapter(tmp_path_factory.mktemp("adapter") / "region", tiny_nano)
