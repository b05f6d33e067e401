"""The page on a screen: opened, drawn on, saved, and what of the photo is seen where."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from browser import Visit
from made_photos import get_waves
from plain_raster import draw_plainly

from a2cli.masks.read import read_mask
from a2cli.picking.marks import Mark, read_marks
from a2cli.picking.pick import pick_mask

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZE = (1000, 1500)
LENGTH = 90.0  # px of the photo's waves
STAGE = (198, 205, 212)


@dataclass
class Picking:
    """A `pick_mask` at work in a thread; `outcome` is what it returned or raised."""

    out: Path
    said: list[str] = field(default_factory=list)
    outcome: Any = None

    @property
    def url(self) -> str:
        return self.said[0].split()[-1]

    def is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(self.url.split(":")[2].split("/")[0]))) == 0


@contextmanager
def pick(photo: Path) -> Iterator[Picking]:
    """Have a photo marked; on the way out it has ended by itself and nothing listens."""
    picking, ready = Picking(photo.with_name("mask.png")), threading.Event()

    def show(line: str) -> None:
        picking.said.append(line)
        ready.set()

    def work() -> None:
        try:
            picking.outcome = pick_mask(photo, picking.out, show=show, open_browser=False, timeout_s=60)
        except BaseException as error:
            picking.outcome = error

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(20)
    yield picking
    thread.join(10)
    assert not thread.is_alive() and not picking.is_listening()


@contextmanager
def open_tab(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """The page, ready; on the way out, nothing but its own server was asked and nothing was complained of."""
    given = {"viewport": {"width": 1280, "height": 800}} | options
    context = browser.new_context(**given)
    page = context.new_page()
    page.set_default_timeout(20_000)
    seen = Visit(page)
    page.on("console", lambda m: seen.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith("data:") else seen.requests.append(r.url))
    try:
        page.goto(url)
        page.wait_for_selector("footer:not([inert])")
        settle(page)
        yield seen
        assert seen.complaints == []
        assert all(request.startswith(url) for request in seen.requests)
    finally:
        context.close()


def settle(page: Page) -> None:
    """Two frames: what was asked for is on screen."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def read_screen(page: Page) -> np.ndarray:
    data = np.frombuffer(page.screenshot(scale="css"), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float64)


@dataclass
class Place:
    """Where the photo lies on screen: screen = photo * scale + (x, y)."""

    scale: float
    x: float
    y: float

    def get_points(self, *screen: tuple[float, float]) -> np.ndarray:
        return (np.array(screen, dtype=float) - (self.x, self.y)) / self.scale

    def zoom(self, factor: float, x: float, y: float) -> Place:
        """What lies at x, y of the screen stays there."""
        return Place(self.scale * factor, x + (self.x - x) * factor, y + (self.y - y) * factor)

    def move(self, dx: float, dy: float) -> Place:
        return Place(self.scale, self.x + dx, self.y + dy)


def get_whole(page: Page, size: tuple[int, int] = SIZE) -> Place:
    """A photo shown whole: in the middle of the stage, 16 px from its nearer borders."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    scale = min((box["width"] - 32) / size[1], (box["height"] - 32) / size[0])
    left, top = (box["width"] - size[1] * scale) / 2, (box["height"] - size[0] * scale) / 2
    return Place(scale, box["x"] + left, box["y"] + top)


def check_place(page: Page, place: Place, size: tuple[int, int] = SIZE, length: float = LENGTH) -> None:
    """The unmarked waves are on screen at that place and, to a fraction of a pixel, no other."""
    page.mouse.move(2, 2)
    page.evaluate("document.getElementById('hint').hidden = true")
    settle(page)
    box, screen = page.locator("#stage").bounding_box(), read_screen(page)
    assert box is not None
    rows = np.arange(round(box["y"] + 4), round(box["y"] + box["height"] - 4), 3)
    columns = np.arange(round(box["x"] + 4), round(box["x"] + box["width"] - 4), 3)
    seen = screen[np.ix_(rows, columns)]

    def get_difference(there: Place) -> float:
        x = (columns + 0.5 - there.x) / there.scale
        y = (rows + 0.5 - there.y) / there.scale
        inside = ((x > 0) & (x < size[1])) & ((y > 0) & (y < size[0]))[:, None]
        return float(np.abs(np.where(inside[..., None], get_waves(x, y, length), STAGE) - seen).mean())

    shifts = [get_difference(place.move(dx, dy)) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    assert get_difference(place) < min(4.0, *shifts), (get_difference(place), shifts)


def drag(page: Page, *points: tuple[float, float], button: Any = "left") -> None:
    page.mouse.move(*points[0])
    page.mouse.down(button=button)
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up(button=button)


def save(page: Page) -> Any:
    """Press Save; gives the marks that were sent."""
    with page.expect_request(lambda request: request.method == "POST") as sent:
        page.click("#save")
    page.get_by_role("heading", name="Saved").wait_for()
    return json.loads(sent.value.post_data or "")["marks"]


def get_overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def read_back(marks: Any) -> tuple[Mark, ...]:
    return read_marks(json.dumps({"marks": marks}).encode())


def check_saved(out: Path, marks: Any, wanted: np.ndarray) -> None:
    """The file holds exactly what was sent, and what was sent is what was drawn on screen."""
    mask = read_mask(out, wanted.shape)
    exact, certain = draw_plainly(np.zeros(wanted.shape, np.uint8), read_back(marks))
    np.testing.assert_array_equal(mask[certain] * 255, exact[certain])
    assert wanted.any() and get_overlap(mask > 0, wanted) > 0.99
