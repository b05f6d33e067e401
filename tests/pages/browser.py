"""Pages opened in a headless Chromium without a network: what they ask for, what they complain of, how they behave."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@cache
def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def needs_chromium(test: Any) -> Any:
    absent = pytest.mark.skipif(find_chromium() is None, reason="chromium is not installed")
    return pytest.mark.debian(absent(test))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module; it is gone before another module starts event loops or processes of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page on screen; `complaints` are errors and warnings on its console, `requests` all but data: addresses."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def has_overflow(self) -> bool:
        """Whether the page must be scrolled sideways."""
        return bool(
            self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        )

    def has_ring(self) -> bool:
        """Whether what has the focus is seen to have it."""
        style = "getComputedStyle(document.activeElement)"
        shown = self.page.evaluate(f"[{style}.outlineStyle, parseFloat({style}.outlineWidth)]")
        return bool(shown[0] != "none" and shown[1] >= 2)


@contextmanager
def visit(
    browser: Browser, path: Path, *, width: int = 1280, dark: bool = False, script: bool = True
) -> Iterator[Visit]:
    """Open a file; on the way out, nothing but that file was asked for, nothing went wrong and no dialog was opened."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        offline=True,
    )
    page = context.new_page()
    page.set_default_timeout(5000)
    seen = Visit(page)
    page.on("console", lambda m: seen.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (seen.complaints.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda r: None if r.url.startswith("data:") else seen.requests.append(r.url))
    try:
        page.goto(path.as_uri())
        yield seen
        assert seen.complaints == []
        assert seen.requests == [path.as_uri()]
    finally:
        context.close()
