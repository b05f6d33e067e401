"""The page in headless Chromium: what is drawn on screen is what is saved, to the pixel of the photo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browser import needs_chromium
from made_photos import make_waves
from plain_raster import draw_plainly, get_distance
from screen import (
    LENGTH,
    SIZE,
    Place,
    check_place,
    check_saved,
    drag,
    get_overlap,
    get_whole,
    open_tab,
    pick,
    read_back,
    read_screen,
    save,
    settle,
)

from a2cli.images.write import save_mask
from a2cli.masks.read import read_mask

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_waves(tmp_path_factory.mktemp("waves") / "two waves.png", SIZE[1], SIZE[0], LENGTH)


@pytest.fixture(autouse=True)
def without_mask(photo: Path) -> Iterator[None]:
    yield
    photo.with_name("mask.png").unlink(missing_ok=True)


@needs_chromium
def test_draw_undo_box_erase_zoom_and_save(chromium: Browser, photo: Path) -> None:
    small = {"viewport": {"width": 1010, "height": 720}}
    with pick(photo) as picking, open_tab(chromium, picking.url, **small) as seen:
        page = seen.page
        assert page.get_by_role("button", name="Save").is_disabled()
        place = get_whole(page)
        check_place(page, place)
        for _ in range(9):
            page.keyboard.press("]")
        assert page.locator("#sized").inner_text() == f"{40 * 1.15**9:.0f} px"
        radius = 20 * 1.15**9 / place.scale

        def get_stroke(there: Place, reach: float, *screen: tuple[float, float]) -> np.ndarray:
            return get_distance(SIZE, there.get_points(*screen), reach) <= reach

        drag(page, (400, 250), (700, 300), (650, 420))
        wanted = get_stroke(place, radius, (400, 250), (700, 300), (650, 420))
        drag(page, (300, 600), (900, 600))
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+Shift+z")
        page.click("#undo")
        page.keyboard.press("r")
        drag(page, (950, 500), (780, 160))
        (x1, y1), (x0, y0) = np.floor(place.get_points((950, 500), (780, 160)) + 0.5).astype(int)
        wanted[y0:y1, x0:x1] = True
        page.keyboard.press("e")
        drag(page, (560, 150), (560, 500))
        wanted &= ~get_stroke(place, radius, (560, 150), (560, 500))
        page.click("#brush")
        drag(page, (820, 300), (900, 300), button="right")  # erases too
        wanted &= ~get_stroke(place, radius, (820, 300), (900, 300))

        page.keyboard.down("h")  # nothing in the way of the waves
        page.mouse.move(420, 600)
        page.mouse.wheel(0, -900)
        place = place.zoom(np.exp(1.35), 420, 600)
        check_place(page, place)
        assert page.locator("#percent").inner_text() == f"{place.scale * 100:.0f} %"
        page.keyboard.down(" ")
        drag(page, (300, 300), (400, 360))
        page.keyboard.up(" ")
        place = place.move(100, 60)
        check_place(page, place)
        page.keyboard.up("h")
        page.mouse.move(500, 400)
        page.keyboard.down("Shift")
        page.mouse.wheel(0, 240)
        page.keyboard.up("Shift")
        page.wait_for_function(f"document.getElementById('sized').value === '{40 * 1.15**8:.0f} px'")
        drag(page, (300, 520), (620, 640))
        wanted |= get_stroke(place, 20 * 1.15**8 / place.scale, (300, 520), (620, 640))
        page.keyboard.press("Delete")
        page.keyboard.press("Control+z")
        marks = save(page)
    assert picking.outcome == picking.out
    check_saved(picking.out, marks, wanted)


@needs_chromium
@pytest.mark.slow
def test_the_overlay_shows_what_is_saved(chromium: Browser, photo: Path) -> None:
    """Screen and file agree, from a mask that was there, through a reload and inversion; of two tabs one saves."""
    there = np.zeros(SIZE, dtype=np.float32)
    there[300:700, 500:1000] = 1
    there[800:900, 100:200] = 0.5
    save_mask(there, photo.with_name("mask.png"))
    with pick(photo) as picking, open_tab(chromium, picking.url) as seen:
        page = seen.page
        assert page.locator("#hint").inner_text() == "This mask is there already: go on with it."
        page.evaluate("document.getElementById('hint').hidden = true")
        page.keyboard.press("i")
        drag(page, (500, 250), (800, 500))
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        page.keyboard.press("e")
        drag(page, (640, 100), (640, 700))
        page.once("dialog", lambda dialog: dialog.accept())
        page.reload()
        page.wait_for_selector("#undo:not([disabled])")
        drag(page, (200, 120), (300, 300))
        page.keyboard.press("i")
        page.mouse.move(2, 2)
        settle(page)
        place, marked = get_whole(page), read_screen(page)
        page.keyboard.down("h")
        settle(page)
        tinted = np.abs(marked - read_screen(page)).max(axis=2) > 45
        page.keyboard.up("h")
        with open_tab(chromium, picking.url) as other:
            drag(other.page, (400, 450), (700, 500))
            marks = save(page)
            while picking.is_listening():  # until then it says that the photo was saved in another tab
                page.wait_for_timeout(20)
            other.page.click("#save")
            alert = other.page.get_by_role("alert")
            alert.wait_for()
            assert "a2 does not answer" in alert.inner_text()
            assert other.complaints and all("ERR_CONNECTION_REFUSED" in line for line in other.complaints)
            other.complaints.clear()
    assert [mark["kind"] for mark in marks] == ["stroke", "stroke", "invert"]
    exact, certain = draw_plainly((there * 255).round().astype(np.uint8), read_back(marks))
    mask = read_mask(picking.out, SIZE)
    np.testing.assert_allclose(mask[certain] * 255, exact[certain], atol=1e-3)
    assert 0.45 < mask[850, 150] < 0.55
    rows, columns = np.indices(tinted.shape)
    x = np.floor((columns + 0.5 - place.x) / place.scale).astype(int)
    y = np.floor((rows + 0.5 - place.y) / place.scale).astype(int)
    inside = (x >= 0) & (x < SIZE[1]) & (y >= 0) & (y < SIZE[0])
    shown = np.zeros(tinted.shape, dtype=bool)
    shown[inside] = mask[y[inside], x[inside]] > 0.75
    assert get_overlap(tinted, shown) > 0.99


@needs_chromium
def test_fingers_and_pen_on_a_phone(chromium: Browser, photo: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "device_scale_factor": 2}
    with pick(photo) as picking, open_tab(chromium, picking.url, **phone) as seen:
        page = seen.page
        place, line = get_whole(page), page.context.new_cdp_session(page)
        check_place(page, place)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
            line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

        def press(kind: str, x: float, y: float) -> None:
            event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1, "pointerType": "pen"}
            line.send("Input.dispatchMouseEvent", {**event, "buttons": int(kind != "mouseReleased")})

        touch("touchStart", (120, 350))
        touch("touchMove", (200, 380))
        touch("touchMove", (260, 380))
        touch("touchEnd")
        wanted = (
            get_distance(SIZE, place.get_points((120, 350), (200, 380), (260, 380)), 90) <= 20 / place.scale
        )
        page.keyboard.down("h")
        touch("touchStart", (150, 400))
        touch("touchMove", (160, 400))
        touch("touchStart", (160, 400), (250, 400))  # a second finger: zoom, and no stroke
        touch("touchMove", (115, 430), (295, 430))
        touch("touchEnd")
        place = place.zoom(2, 205, 400).move(0, 30)
        check_place(page, place)
        page.keyboard.up("h")
        press("mousePressed", 150, 300)
        press("mouseMoved", 250, 300)
        press("mouseReleased", 250, 300)
        wanted |= get_distance(SIZE, place.get_points((150, 300), (250, 300)), 90) <= 20 / place.scale
        touch("touchStart", (100, 500))  # once there was a pen, a palm does not paint
        touch("touchMove", (130, 520))
        touch("touchEnd")
        marks = save(page)
    assert [mark["kind"] for mark in marks] == ["stroke", "stroke"]
    check_saved(picking.out, marks, wanted)


@needs_chromium
def test_it_fits_any_screen_says_what_is_wrong_and_asks_before_it_cancels(
    chromium: Browser, photo: Path
) -> None:
    with pick(photo) as picking, open_tab(chromium, picking.url, color_scheme="dark") as seen:
        page = seen.page
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 25, 30)"
        unnamed = "all => all.filter((e) => !(e.ariaLabel || (e.labels?.[0] ?? e).textContent.trim())).length"
        assert page.locator("button, input").evaluate_all(unnamed) == 0
        page.keyboard.press("Tab")
        assert seen.has_ring() and page.evaluate("document.activeElement.id") == "help"
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name="Keys and gestures").wait_for()
        page.keyboard.press("Escape")
        for width, height in ((820, 1180), (390, 844), (320, 600), (844, 390), (1280, 800)):
            page.set_viewport_size({"width": width, "height": height})
            settle(page)
            assert not seen.has_overflow()
            for x, y, right, bottom in page.locator("button:visible, input:visible").evaluate_all(
                "all => all.map((e) => { const b = e.getBoundingClientRect();"
                " return [b.left, b.top, b.right, b.bottom]; })"
            ):
                assert 0 <= x <= right - 24 and right <= width and 0 <= y <= bottom - 24 and bottom <= height
            stage = page.locator("#stage").bounding_box()
            assert stage and stage["height"] > 0.55 * height

        drag(page, (20, 300), (40, 300))  # beside the photo
        page.keyboard.press("Control+Enter")
        page.get_by_role("alert").wait_for()
        assert page.get_by_role("alert").inner_text().startswith("nothing is marked")
        seen.complaints.clear()  # Chromium notes the 422
        drag(page, (400, 250), (700, 300))
        assert not page.get_by_role("alert").is_visible()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Keep marking").click()
        page.get_by_role("dialog").wait_for(state="hidden")
        assert picking.is_listening() and picking.outcome is None
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Discard").click()
        page.get_by_role("heading", name="Cancelled").wait_for()
    assert isinstance(picking.outcome, KeyboardInterrupt) and not picking.out.exists()


@needs_chromium
@pytest.mark.slow
def test_a_photo_of_40_megapixels(chromium: Browser, tmp_path: Path) -> None:
    """Sent small, looked at closely in its own pixels, marked to the pixel."""
    size, length = (5120, 7800), 8.0  # waves that a view of the whole cannot show
    photo = make_waves(tmp_path / "large.png", size[1], size[0], length)
    with pick(photo) as picking, open_tab(chromium, picking.url) as seen:
        page = seen.page
        place = get_whole(page, size)
        drag(page, (400, 250), (700, 300))
        wanted = get_distance(size, place.get_points((400, 250), (700, 300)), 200) <= 20 / place.scale
        page.keyboard.down("h")
        page.mouse.move(800, 500)
        with page.expect_response(lambda answer: "photo?box=" in answer.url):
            page.mouse.wheel(0, -2000)
        page.wait_for_timeout(500)
        place = place.zoom(np.exp(3), 800, 500)
        check_place(page, place, size, length)
        page.keyboard.up("h")
        drag(page, (500, 400), (600, 420))
        wanted |= get_distance(size, place.get_points((500, 400), (600, 420)), 20) <= 20 / place.scale
        marks = save(page)
    check_saved(picking.out, marks, wanted)
