"""The page of a study in use: keys, buttons, taking back, going on later, and the answers it gives out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import needs_chromium, visit
from studies import make_study

from a2cli.evaluation.study.answers import load_answers
from a2cli.evaluation.study.config import StudyKey
from a2cli.evaluation.study.score import score_study

PAUSE = 501  # ms: sooner an answer does not count


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyKey]:
    page, key = make_study(5, repeats=0.2, seed=1)
    out = tmp_path_factory.mktemp("study") / "study.html"
    out.write_text(page)
    return out, key


@contextmanager
def open_study(*args: Any, **options: Any) -> Iterator[Any]:
    """`visit` with a clock that tests move."""
    with visit(*args, **options) as seen:
        seen.page.clock.install()
        yield seen


def get_place(seen: Any) -> str:
    return str(seen.page.locator("#place").inner_text())


def press(seen: Any, *names: str) -> None:
    for name in names:
        pause(seen)
        seen.page.keyboard.press(name)


def pause(seen: Any) -> None:
    """Let the page's clock go on; nobody waits."""
    seen.page.clock.fast_forward(PAUSE)


@needs_chromium
def test_a_study_of_six_pairs_is_answered_by_keys_and_buttons(
    study: tuple[Path, StudyKey], tmp_path: Path, chromium: Any
) -> None:
    path, key = study
    assert len(key.trials) == 6
    with open_study(chromium, path) as seen:
        tab = seen.page
        assert "6 pairs" in tab.locator("#intro").inner_text()
        tab.get_by_label("Your name").fill("ab")  # typing answers nothing
        tab.get_by_role("button", name="Start").click()
        assert get_place(seen) == "1 of 6" and tab.get_by_role("button", name="Take back").is_disabled()
        tab.keyboard.press("ArrowLeft")  # too soon
        assert get_place(seen) == "1 of 6"
        press(seen, "ArrowLeft", "ArrowRight")
        assert get_place(seen) == "3 of 6"
        press(seen, "Backspace", "ArrowDown")
        assert get_place(seen) == "3 of 6"
        press(seen, "b")
        pause(seen)
        tab.get_by_role("button", name="B is better").dblclick(delay=20)
        assert get_place(seen) == "5 of 6"  # the second click of a double one is no answer
        pause(seen)
        tab.get_by_role("button", name="Equal").click()
        press(seen, "Control+ArrowLeft")
        assert get_place(seen) == "6 of 6"
        press(seen, "a")
        assert tab.locator("#end").is_visible() and not tab.locator("#trial").is_visible()
        assert "6 answers: 2 for A, 2 for B, 2 equal" in tab.locator("#summary").inner_text()
        tab.get_by_role("button", name="Take back the last").click()
        assert get_place(seen) == "6 of 6"
        press(seen, "ArrowRight")
        with tab.expect_download() as download:
            tab.get_by_role("button", name="Save the answers").click()
        saved = tmp_path / download.value.suggested_filename
        download.value.save_as(saved)
        assert "Saved as" in tab.locator("#said").inner_text()
        shown = tab.locator("#answers").input_value()
        tab.get_by_role("button", name="Copy them").click()
        tab.wait_for_function("document.getElementById('said').textContent !== ''")
        assert tab.evaluate("String(getSelection())") == shown
    record = json.loads(saved.read_text())
    assert (
        record == json.loads(shown)
        and record["name"] == "ab"
        and saved.name.startswith("answers-" + key.study)
    )
    given = [(one["trial"], one["answer"]) for one in record["answers"]]
    sides = ["left", "tie", "right", "right", "tie", "right"]
    assert given == [(trial.code, side) for trial, side in zip(key.trials, sides, strict=True)]
    assert all(one["question"] == "overall" and one["ms"] >= 500 for one in record["answers"])
    scores = score_study(key, load_answers([saved], key))
    assert scores.problems == () and scores.n == 6 and scores.duels[0].rate.n == 5 and scores.repeats.n == 1


@needs_chromium
def test_answers_are_kept_when_the_page_is_left(study: tuple[Path, StudyKey], chromium: Any) -> None:
    with open_study(chromium, study[0]) as seen:
        seen.page.get_by_role("button", name="Start").click()
        press(seen, "ArrowLeft", "ArrowLeft")
        seen.page.reload()
        seen.requests.pop()
        assert seen.page.locator("#trial").is_hidden()
        seen.page.get_by_role("button", name="Go on (2 of 6 done)").click()
        assert get_place(seen) == "3 of 6"
        seen.page.reload()
        seen.requests.pop()
        seen.page.get_by_role("button", name="Start afresh").click()
        assert seen.page.locator("#trial").is_hidden()  # a slip loses nothing
        seen.page.get_by_role("button", name="Discard 2 answers").click()
        assert get_place(seen) == "1 of 6"
        place = f"a2-study-{study[1].study}"
        for kept in (
            "{",
            "null",
            '{"rater":"x","answers":[{"trial":"c","question":"overall","answer":"left"}]}',
        ):
            seen.page.evaluate("([place, kept]) => localStorage.setItem(place, kept)", [place, kept])
            seen.page.reload()
            seen.requests.pop()
            assert seen.page.get_by_role("button", name="Start", exact=True).is_visible()


@needs_chromium
def test_a_key_held_on_a_button_answers_once(study: tuple[Path, StudyKey], chromium: Any) -> None:
    with open_study(chromium, study[0]) as seen:
        seen.page.get_by_role("button", name="Start").click()
        seen.page.locator("#choose-left").focus()
        for _ in range(3):
            pause(seen)
            seen.page.keyboard.down("Enter")
        assert get_place(seen) == "2 of 6"


@needs_chromium
def test_the_region_can_be_seen_larger_and_without_its_outline(
    study: tuple[Path, StudyKey], chromium: Any
) -> None:
    with open_study(chromium, study[0]) as seen:
        seen.page.get_by_role("button", name="Start").click()
        names = "['source', 'left', 'right', 'reference']"
        boxes = f"{names}.map((id) => document.getElementById(id).getAttribute('viewBox'))"
        assert seen.page.evaluate(boxes) == ["0 0 64 48"] * 3 + ["0 0 32 32"]
        seen.page.keyboard.press("z")
        assert seen.page.evaluate(boxes) == ["18.4 10.4 27.2 27.2"] * 3 + ["0 0 32 32"]
        zoom = seen.page.get_by_role("button", name="Zoom")
        assert zoom.get_attribute("aria-pressed") == "true"
        line = seen.page.locator("#source .line")
        assert line.is_visible() and seen.page.locator("#left .line, #right .line").count() == 0
        seen.page.keyboard.press("m")
        assert not line.is_visible() and get_place(seen) == "1 of 6"


@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_it_fits_the_screen_and_needs_no_mouse(
    study: tuple[Path, StudyKey], chromium: Any, width: int, dark: bool
) -> None:
    with open_study(chromium, study[0], width=width, dark=dark) as seen:
        assert not seen.has_overflow()
        for _ in range(2):
            seen.page.keyboard.press("Tab")
            assert seen.has_ring()
        seen.page.keyboard.press("Enter")
        assert get_place(seen) == "1 of 6" and not seen.has_overflow()
        order = []
        for _ in range(5):
            seen.page.keyboard.press("Tab")
            order.append(seen.page.evaluate("document.activeElement.id"))
            assert seen.has_ring()
        assert order == ["choose-left", "choose-right", "tie", "zoom", "mask"]
        button = seen.page.get_by_role("button", name="A is better").bounding_box()
        assert button and button["y"] + button["height"] <= 900
        if width == 390:
            press(seen, *["ArrowDown"] * 6)
            assert seen.page.locator("#end").is_visible() and not seen.has_overflow()


@needs_chromium
def test_every_question_is_asked_of_every_pair(tmp_path: Path, chromium: Any) -> None:
    page, key = make_study(1, questions=("identity", "realism"), title='<b>"A & B"</b>')
    (tmp_path / "study.html").write_text(page)
    with open_study(chromium, tmp_path / "study.html") as seen:
        assert seen.page.locator("h1").first.inner_text() == '<b>"A & B"</b>'
        seen.page.get_by_role("button", name="Start").click()
        assert "more like the reference" in seen.page.locator("#question").inner_text()
        press(seen, "ArrowLeft")
        assert "real photograph" in seen.page.locator("#question").inner_text()
        press(seen, "ArrowRight")
        record = json.loads(seen.page.locator("#answers").input_value())
    code = key.trials[0].code
    assert [(a["trial"], a["question"], a["answer"]) for a in record["answers"]] == [
        (code, "identity", "left"),
        (code, "realism", "right"),
    ]


@needs_chromium
def test_without_scripts_it_says_so(study: tuple[Path, StudyKey], chromium: Any) -> None:
    with visit(chromium, study[0], script=False) as seen:
        assert seen.page.locator("noscript p").is_visible() and not seen.page.locator("#intro").is_visible()
