"""Let these tests import what stands beside them, and the server on loopback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from a2cli.evaluation.judge import asking

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries that no test has to wait for."""
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.01)
