"""Which tests marked `debian` were skipped: said at the end, and an error where A2_REQUIRE_DEBIAN is 1."""

from __future__ import annotations

import os
from typing import Any

import pytest

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
