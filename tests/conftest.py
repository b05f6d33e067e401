"""A tiny model for a session, a studio for a test; which tests marked `debian` were skipped.

These are said at the end, and are an error where A2_REQUIRE_DEBIAN is 1.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from edits import Studio

sys.path += [str(Path(__file__).parent / folder) for folder in ("engine", "images")]

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and "debian" in report.keywords:  # reports also come from other processes, items do not
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped and os.environ.get("A2_REQUIRE_DEBIAN") == "1" and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name in _skipped:
        terminalreporter.write_line(f"skipped for want of a Debian package: {name}")


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
