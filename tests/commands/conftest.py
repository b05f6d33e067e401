"""A tiny model for a session, a studio for a test; helpers of tests/engine and tests/images importable."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "engine"), str(HERE.parent / "images")]

if TYPE_CHECKING:
    from edits import Studio


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("A2_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a nano with random weights, 1 + 1 blocks of width 64, 64 px."""
    from edits import save_tiny

    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture
def studio(
    tmp_path: Path,
    tiny_model: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Studio:
    """`a2 edit` in a folder of its own."""
    from edits import Studio

    folder = tmp_path / "studio"
    folder.mkdir()
    return Studio(folder, tiny_model, capsysbinary, monkeypatch)
