"""A tiny model, an adapter of experts for it and a few pairs for a session; `export_things` importable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [
    str(HERE),
    *(str(HERE.parent / name) for name in ("backbones", "data", "engine", "images", "mot")),
]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a nano with random weights, 1 + 1 blocks of width 64, 64 px."""
    from edits import save_tiny

    return save_tiny(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def tiny_experts(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of four experts of rank 2 on `tiny_base`, whose routers differ from pair to pair."""
    from export_things import save_experts

    return save_experts(tiny_base, tmp_path_factory.mktemp("adapters") / "four experts")


@pytest.fixture(scope="session")
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training pairs and three held-out ones of 64 px, as an imagefolder."""
    from export_things import save_pairs

    return save_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(autouse=True)
def arrow_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `datasets` copies stays out of the home."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
