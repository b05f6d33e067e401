"""The frame of a page: whole, closed in itself, and only its own script runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import needs_chromium, visit
from parsed import Parsed

from a2cli.errors import ConfigError, DataError
from a2cli.pages.bars import BAR_STYLE, Bar, bar_list, histogram
from a2cli.pages.page import (
    build_notes,
    build_page,
    build_section,
    build_table,
    build_tiles,
    check_page,
    write_page,
)
from a2cli.pages.plots import Series, heat_map, line_chart
from a2cli.training.report import build_report

EVIL = "</script></style><img src=x onerror=\"alert('x')\">&amp;\0\u202e"


def test_every_text_of_a_page_is_text() -> None:
    body = (
        build_tiles([(EVIL, EVIL, EVIL)])
        + build_notes([EVIL])
        + build_section(EVIL, "")
        + build_table([EVIL, "b"], [[EVIL, EVIL]], caption=EVIL)
    )
    page = Parsed(build_page(EVIL, body, script="document.title += '!';"))
    assert not page.get_tags("img") and len(page.get_tags("script")) == 1
    shown = EVIL.replace("\0", "\\x00").replace("\u202e", "\\u202e")
    assert page.get_texts("title") == [shown]
    assert page.get_texts("dt", "dd", "span", "li", "h2", "caption", "td") == [shown] * 7
    assert page.get_texts("th") == [shown, "b", shown]


def test_a_style_or_script_that_ends_itself_is_refused() -> None:
    for more in ({"style": "</style>"}, {"script": "'</script>'"}, {"script": "<!-- x"}):
        with pytest.raises(ValueError, match="holds a tag"):
            build_page("x", "", **more)


def test_no_notes_and_no_script_leave_nothing() -> None:
    assert build_notes([]) == ""
    assert "script" not in build_page("x", "")


def test_what_is_no_page_is_not_written_over(tmp_path: Path) -> None:
    shard = tmp_path / "train-00000.parquet"
    shard.write_bytes(b"data")
    with pytest.raises(ConfigError, match=r"train-00000\.parquet: not the name of a page") as caught:
        write_page("<p>", shard)
    assert caught.value.hint and shard.read_bytes() == b"data"
    with pytest.raises(DataError, match="folder is not there"):
        check_page(tmp_path / "no" / "x.html")
    (tmp_path / "x.html").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_page("<p>", tmp_path / "x.html")


def test_a_page_replaces_the_old_one_whole(tmp_path: Path) -> None:
    out = tmp_path / "Page.HTM"
    write_page("old", out)
    write_page("new", out)
    assert out.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["Page.HTM"]


@needs_chromium
def test_only_the_pages_own_script_runs(tmp_path: Path, chromium: Any) -> None:
    injected = "<p onclick=\"document.title='bad'\">x</p><script>document.title = 'bad'</script>"
    out = tmp_path / "page.html"
    write_page(build_page("good", injected, script="document.body.dataset.ran = 'yes';"), out)
    with visit(chromium, out) as seen:
        seen.page.click("p")
        assert seen.page.title() == "good"
        assert seen.page.evaluate("document.body.dataset.ran") == "yes"
        reached = "fetch('http://127.0.0.1:9/').then(() => 'reached', () => 'refused')"
        assert seen.page.evaluate(reached) == "refused"
        assert len(seen.complaints) >= 3 and all(
            "Content Security" in c or "fetch" in c for c in seen.complaints
        )
        seen.complaints.clear()


@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_charts_and_tables_fit_any_width(tmp_path: Path, chromium: Any, width: int, dark: bool) -> None:
    line = Series("loss", np.arange(50.0), np.linspace(1, 0, 50))
    body = (
        build_tiles([(f"tile {i}", "12,345", "a remark") for i in range(5)])
        + line_chart([line], title="Loss", x_label="step")
        + f'<div class="wide">{heat_map(["a"], list("xyz"), np.eye(1, 3), title="Heat", x_label="x")}</div>'
        + bar_list([Bar("a" * 90, 3), Bar("b", 1)], title="Bars")
        + histogram([0, 1, 2], {"one": [1, 2, 3]}, title="Histogram", x_label="x")
        + build_table([f"column {i}" for i in range(9)], [["1"] * 9], caption="Wide")
    )
    out = tmp_path / "page.html"
    write_page(build_page("x", body, style=BAR_STYLE), out)
    with visit(chromium, out, width=width, dark=dark) as seen:
        assert not seen.has_overflow()
        ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(21, 25, 30)" if dark else "rgb(255, 255, 255)")
        region = seen.page.get_by_role("region", name="Wide")
        assert region.evaluate("e => e.scrollWidth > e.clientWidth") is (width == 390)
        region.focus()
        seen.page.keyboard.press("Shift+Tab")
        seen.page.keyboard.press("Tab")
        assert seen.has_ring()


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_of_a_run_is_such_a_page(tmp_path: Path, chromium: Any, width: int) -> None:
    rows = [{"step": i, "loss": 1 / i, "lr": 1e-3, "grad_norm": 1.0} for i in range(1, 60)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    share = [[1.0, 0.5, 0.1]] * 4
    usage = {
        "step": 59,
        "experts": 3,
        "blocks": list("abcd"),
        "categories": {"x": {"samples": 9, "share": share}},
    }
    (tmp_path / "usage.json").write_text(json.dumps(usage))
    with visit(chromium, build_report(tmp_path), width=width) as seen:
        assert not seen.has_overflow()
        assert seen.page.locator("svg.line-chart").count() == 3
