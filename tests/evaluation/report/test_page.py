"""The report: every figure of the results is there, the best is marked, missing is said; and the page in use."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import needs_chromium, visit
from parsed import Parsed
from scored import make_results, make_rows

from a2cli.evaluation.report.charts import TOLD, UNTOLD, get_estimate, place_protocols
from a2cli.evaluation.report.gallery import Choice, Views, build_gallery, choose_exhibits
from a2cli.evaluation.report.markdown import FOLLOWS
from a2cli.evaluation.report.page import build_report
from a2cli.evaluation.report.score_tables import format_mean, get_places
from a2cli.evaluation.results import Part, Results, Row, Score
from a2cli.evaluation.scoring.stats import get_difference
from a2cli.metrics.table import METRICS
from a2cli.pages.estimates import Estimate
from a2cli.pages.plots import escape_text

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;\u202e"


def load_views(choice: Choice, methods: tuple[str, ...] = ("nano", "paste")) -> Views:
    """A photo of stripes, its mask a box."""
    rng = np.random.default_rng(int(choice.id[1:]))
    photo = np.repeat(np.repeat(rng.integers(0, 256, (8, 10, 3), np.uint8), 8, axis=0), 8, axis=1)
    mask = np.zeros((64, 80), bool)
    mask[20:40, 30:50] = True
    edits = {name: np.where(mask[..., None], np.uint8(30 * i), photo) for i, name in enumerate(methods)}
    return Views(photo, mask, edits, photo, photo[:32, :32])


def make_report(**changes: Any) -> tuple[Results, list[Row]]:
    rows = make_rows()
    results = make_results(rows)
    baselines = {name: bool(facts["baseline"]) for name, facts in results.methods.items()}
    choices = choose_exhibits(rows, baselines, list(results.metrics), 3)
    return replace(results, gallery=build_gallery(choices, rows, load_views), **changes), rows


@pytest.fixture(scope="module")
def report() -> tuple[Results, list[Row]]:
    judge = {
        "model": "a-judge",
        "api": "openai",
        "asked": 50,
        "answered": 40,
        "from_cache": 9,
        "calls": 44,
        "retries": 4,
        "cost": 1.37,
        "failed": {"timeout": 1},
        "coverage": {"vlm": 0.98, "vie_o": None},
        "expected": {"vlm": 50, "vie_o": 0},
        "position_bias": {"vlm": {"mean": 1.25, "se": 0.5, "n": 12}},
        "compared": {
            "nano against paste": {
                "fine": {
                    "asked": 9,
                    "judged": 8,
                    "wins": 5,
                    "losses": 1,
                    "ties": 2,
                    "inconsistent": 0.25,
                    "first_place": {"mean": None, "se": None, "n": 0},
                }
            }
        },
        "side_by_side": {"wins": 7, "first_place": {"mean": 0.5, "se": None, "n": 3}},
    }
    return make_report(judge=judge)


@pytest.fixture(scope="module")
def page(report: tuple[Results, list[Row]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "report.html"
    out.write_text(build_report(*report))
    return out


def get_tables(source: str) -> list[list[list[str]]]:
    """The cells of every table, tags taken out."""
    tables = []
    for table in re.findall(r"<table.*?</table>", source, re.S):
        lines = re.findall(r"<tr.*?</tr>", table, re.S)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.S) for line in lines]
        tables.append([[re.sub(r"<[^>]*>", "", cell) for cell in line] for line in cells])
    return tables


def test_every_score_is_in_the_table_and_the_best_is_marked(
    report: tuple[Results, list[Row]], page: Path
) -> None:
    results, source = report[0], page.read_text()
    scores = get_tables(source)[0]
    keys = ["l1", "psnr", "psnr@mask"]
    assert [cell.split("&nbsp;")[0] for cell in scores[1]] == ["method", *keys]
    for part in results.parts:
        start = next(i for i, line in enumerate(scores) if line[0].startswith(part.protocol))
        line = next(line for line in scores[start:] if line[0].endswith(part.method))
        for key, cell in zip(keys, line[1:], strict=True):
            places = get_places([p.scores[key] for p in results.parts])
            score = part.scores[key]
            assert score.mean is not None and score.se is not None
            assert cell == f"{format_mean(score.mean, places)}± {format_mean(score.se, places)}"
    best = re.findall(r'<td title="n 24" class=best>([^<]*)', source)
    assert len(best) == 6
    assert best == [
        format_mean(float(part.scores[key].mean or 0), get_places([p.scores[key] for p in results.parts]))
        for part in results.parts
        if part.method == "nano"
        for key in keys
    ]


def test_changes_from_mask_to_mask_are_those_of_pairs(report: tuple[Results, list[Row]], page: Path) -> None:
    rows, changes = report[1], get_tables(page.read_text())[1]
    assert changes[1][0].startswith("rough minus fine")
    fine, rough = (
        {row.id: row.values["psnr"] for row in rows if (row.method, row.protocol) == ("nano", protocol)}
        for protocol in ("fine", "rough")
    )
    found = get_difference(fine, rough, {row.id: row.group for row in rows})
    assert found is not None and found.se is not None and -1.5 < found.mean < -0.5
    column = next(i for i, cell in enumerate(changes[0]) if cell.startswith("psnr&nbsp;"))
    assert changes[2][column] == f"{format_mean(found.mean, 2)}± {format_mean(found.se, 2)}"
    assert page.read_text().count('<td class="worse"') == 6


def test_a_judge_says_how_much_it_answered_and_what_moved_it(page: Path) -> None:
    parsed = Parsed(page.read_text())
    table = next(t for t in get_tables(page.read_text()) if t[0][0] == "metric" and t[0][1] == "has a mark")
    assert table[1:] == [["vlm", "98.0 %", "50", "1.25 ± 0.5", "12"], ["vie_o", "–", "0", "–", "0"]]
    assert {"a-judge", "49", "44", "1.37", "1"} <= set(parsed.get_texts("dd"))
    assert {"timeout 1", "of 50 asked, 9 kept from before"} <= set(parsed.get_texts("span"))
    assert {"7", "0.5"} <= set(parsed.get_texts("td"))
    table = next(t for t in get_tables(page.read_text()) if t[0][0] == "side by side")
    assert table[1:] == [["nano against paste", "fine", "5", "2", "1", "8 of 9", "25.0 %", "–"]]


def test_what_is_missing_is_said_and_never_a_number() -> None:
    results, rows = make_report()
    part = results.parts[0]
    holes = replace(part, n=23, scores={"psnr": replace(part.scores["psnr"], mean=None, se=None)})
    rows[0] = replace(rows[0], values={}, error="the edit is 3 x 4, the source 8 x 8")
    changed = replace(results, parts=(holes, *results.parts[1:]), failures={"edit: DataError": 1})
    source = build_report(changed, rows)
    page = Parsed(source)
    assert source.count('<td class="none">missing</td>') == 3
    assert "clip_i is missing: no network here" in page.get_texts("li")
    assert "n 23 of 24, n 24" in page.get_texts("span")
    assert rows[0].error in page.get_texts("span") and "nano · fine" in page.get_texts("i")
    assert page.get_texts("h2")[:2] == ["Scores", "What failed"]
    assert "1 edit could not be read" in page.get_texts("span")  # under its tile
    assert source.count("class=best") == 3  # of one method alone none is the best
    assert not re.search(
        r"\bnan\b|Infinity", source.split("<style>")[0] + source.split("</style>")[1].split("<script>")[0]
    )


def get_panel(source: str, key: str) -> str:
    """What the panel of a value says, and its charts."""
    return re.search(rf'<div class="panel" data-key="{key}">.*?\n', source, re.S)[0]  # type: ignore[index]


def test_whiskers_are_the_intervals_of_the_tables(report: tuple[Results, list[Row]], page: Path) -> None:
    """Of 24 records 6 are of no group, the others of 8: 14 stand alone, of whom t is 2.160."""
    results, rows = report
    score = results.parts[0].scores["psnr"]
    own = [row for row in rows if (row.method, row.protocol) == ("nano", "fine")]
    found = get_estimate(score, own, "psnr")
    assert found is not None and score.mean is not None and score.se is not None
    assert found.high - score.mean == pytest.approx(2.1604 * score.se, rel=1e-3)
    some = [replace(row, values={}) if i else row for i, row in enumerate(own)]
    for rest in (some, []):  # too few to tell
        plain = get_estimate(score, rest, "psnr")
        assert plain is not None and plain.high - score.mean == pytest.approx(1.96 * score.se)
    assert get_estimate(replace(score, se=None), own, "psnr") == Estimate(score.mean)
    assert get_estimate(replace(score, mean=None), own, "psnr") is None
    assert escape_text(TOLD) in get_panel(page.read_text(), "psnr")
    assert escape_text(UNTOLD) in get_panel(build_report(results, []), "psnr")


def test_values_over_masks_are_said_to_follow_them(report: tuple[Results, list[Row]], page: Path) -> None:
    assert escape_text(FOLLOWS) in get_panel(page.read_text(), "psnr@mask")
    assert escape_text(FOLLOWS) not in get_panel(page.read_text(), "psnr")
    source = page.read_text()
    costs = source[source.index("From mask to mask</h2>") :]
    assert costs.index(escape_text(FOLLOWS)) < costs.index("<table")


def test_a_case_says_what_was_asked_for_and_whether_there_was_a_mask() -> None:
    results, rows = make_report()
    asked = replace(results.gallery[0], prompt="make the cup blue", outline="")
    page = Parsed(build_report(replace(results, gallery=(asked, results.gallery[1])), rows))
    assert "make the cup blue" in page.get_texts("span")
    assert {"Photo", "Photo and mask"} <= set(page.get_texts("b"))


def test_words_of_others_are_only_text() -> None:
    results, rows = make_report()
    case = replace(results.gallery[0], id=EVIL, category=EVIL, why=EVIL, prompt=EVIL)
    changed = replace(
        results,
        title=EVIL,
        missing={EVIL: EVIL},
        judge={EVIL: EVIL},
        config={EVIL: EVIL},
        gallery=(case, *results.gallery[1:]),
    )
    source = build_report(changed, [replace(rows[0], error=EVIL), *rows[1:]])
    page = Parsed(source)
    assert [tag for tag, _ in page.tags].count("script") == 1 and not page.get_tags("img")
    assert escape_text(EVIL) in source and EVIL not in source


def test_it_is_made_of_what_there_is() -> None:
    """No protocols to compare, no categories, no gallery, no values: the page is still one."""
    rows = [replace(row, category="a") for row in make_rows(("nano",), ("fine",), n=3)]
    source = build_report(make_results(rows, baselines=()), rows)
    titles = Parsed(source).get_texts("h2")
    assert titles == ["Scores", "How it was measured"] and 'id="filters"' not in source
    empty = replace(
        make_results(rows), parts=(Part("nano", "fine", 3, 0, {"psnr": Score(None, None, 0)}, {}),)
    )
    assert Parsed(build_report(empty, [])).get_texts("h2") == ["How it was measured"]


def test_pictures_are_in_the_page_once_and_only_as_long_as_there_is_room(
    report: tuple[Results, list[Row]], page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, rows = report
    every = [picture.data for case in results.gallery for picture in case.pictures.values()]
    found = re.findall(r"base64,([^\"]*)", page.read_text())
    assert len(every) == 60 and sorted(found) == sorted(set(every))
    monkeypatch.setattr("a2cli.evaluation.report.gallery_page.MOST_BYTES", sum(map(len, set(every[:5]))))
    source = build_report(results, rows)
    assert set(re.findall(r"base64,([^\"]*)", source)) == set(every[:5])
    bare = [case for case in results.gallery if {p.data for p in case.pictures.values()} - set(every[:5])]
    assert source.count("No room for pictures.") == len(bare) >= 10


def test_protocols_of_a_sweep_stand_by_their_strength() -> None:
    names = ["fine", "erode-16", "erode-32", "dilate-16", "dilate-32", "shift-32"]
    assert [(place.name, place.x, place.joined) for place in place_protocols(names)] == [
        ("erode-32", -32, True),
        ("erode-16", -16, True),
        ("fine", 0, True),
        ("dilate-16", 16, True),
        ("dilate-32", 32, True),
        ("shift-32", 32 + 64 / 5, False),
    ]
    assert [place.x for place in place_protocols(["fine", "rough", "box"])] == [0, 1, 2]


@pytest.mark.slow
def test_a_large_evaluation_makes_a_page_that_opens() -> None:
    """8 methods, 8 protocols, 40 values, 8 categories, about 10,000 rows."""
    rng = np.random.default_rng(0)
    keys = [key for info in METRICS.values() if not info.of_set for key in info.keys][:40]
    methods = [f"method-{i}" for i in range(8)]
    protocols = ["fine", *(f"{kind}-{by}" for kind in ("erode", "dilate") for by in (16, 32, 64)), "shift-32"]
    rows = [
        Row(f"r{i}", f"c{i % 8}", "", "", m, p, dict(zip(keys, rng.random(40).tolist(), strict=True)), 0.1)
        for i in range(156)
        for p in protocols
        for m in methods
    ]

    def draw() -> dict[str, Score]:
        return {key: Score(float(rng.random()), 0.01, 20) for key in keys}

    parts = tuple(
        Part(m, p, 156, 156, draw(), {f"c{i}": draw() for i in range(8)}) for m in methods for p in protocols
    )
    results = replace(
        make_results(make_rows(n=2)),
        methods={m: {"baseline": False} for m in methods},
        protocols={p: {} for p in protocols},
        parts=parts,
    )
    choices = choose_exhibits(rows, dict.fromkeys(methods, False), ["l1"], 6)
    full = replace(
        results, gallery=build_gallery(choices, rows, lambda choice: load_views(choice, tuple(methods)))
    )
    assert len(rows) == 9984 and len(full.gallery) == 96
    assert len(build_report(full, rows)) < 4_000_000


# In a browser


def get_shown(seen: Any) -> list[str]:
    return list(seen.page.locator(".card:visible h3 b").all_text_contents())


@needs_chromium
def test_filters_show_the_right_cases_and_methods(
    report: tuple[Results, list[Row]], page: Path, chromium: Any
) -> None:
    cases = report[0].gallery
    with visit(chromium, page) as seen:
        tab = seen.page
        assert get_shown(seen) == [case.id for case in cases] and len(cases) == 12
        tab.get_by_label("Masks", exact=True).first.select_option(label="rough (6)")
        assert get_shown(seen) == [case.id for case in cases if case.protocol == "rough"]
        why = tab.get_by_label("Why", exact=True)
        why.select_option(label="best by l1, nano (3)")
        wanted = [c for c in cases if c.protocol == "rough" and c.why.startswith("best")]
        assert get_shown(seen) == [case.id for case in wanted]
        category = tab.get_by_label("Category", exact=True)
        kinds = sorted({case.category for case in wanted})
        assert all(
            f"{kind} ({sum(case.category == kind for case in wanted)})" in category.inner_text()
            for kind in kinds
        )
        edits = tab.locator(".card:visible [data-by]:visible")
        assert edits.count() == 6
        tab.get_by_label("Method", exact=True).select_option(label="paste (3)")
        assert edits.count() == 3 and all("paste" in text for text in edits.all_text_contents())
        tab.get_by_role("button", name="Clear").first.click()
        assert len(get_shown(seen)) == 12 and edits.count() == 24
        tab.get_by_label("Search").fill(wanted[0].id)
        assert set(get_shown(seen)) == {wanted[0].id}
        tab.get_by_label("Search").fill("nothing like it")
        assert tab.locator("#none").is_visible() and get_shown(seen) == []


@needs_chromium
def test_charts_are_shown_one_value_at_a_time(page: Path, chromium: Any) -> None:
    with visit(chromium, page) as seen:
        shown = seen.page.locator(".panel:visible h3")
        assert shown.all_text_contents() == ["psnr@mask ↑"]
        pick = seen.page.get_by_label("Measured by")
        pick.focus()
        assert seen.has_ring()
        pick.select_option("l1")
        assert shown.all_text_contents() == ["l1 ↓"]
        assert (
            seen.page.locator(".panel:visible svg.estimates").count() == 3
        )  # over the masks, two by category
        seen.page.emulate_media(media="print")
        assert shown.all_text_contents() == ["l1 ↓"] and not seen.page.locator("#filters").is_visible()
    with visit(chromium, page, script=False) as seen:
        assert seen.page.locator(".panel:visible").count() == 3 and len(get_shown(seen)) == 12


@needs_chromium
def test_no_column_is_cut_off_on_paper(tmp_path: Path, chromium: Any) -> None:
    """Twelve columns of scores on a sheet of A4."""
    keys = [key for info in METRICS.values() if not info.of_set for key in info.keys][:12]
    rows = make_rows(n=2)
    results = make_results(rows)
    parts = tuple(
        replace(part, scores=dict.fromkeys(keys, Score(0.01234, 0.00123, 2))) for part in results.parts
    )
    (tmp_path / "wide.html").write_text(build_report(replace(results, parts=parts), rows))
    with visit(chromium, tmp_path / "wide.html", width=718) as seen:
        widths = "[...document.querySelectorAll('.scores')].map((table) => table.scrollWidth)"
        assert max(seen.page.evaluate(widths)) > 718
        seen.page.emulate_media(media="print")
        assert max(seen.page.evaluate(widths)) <= 718


@needs_chromium
def test_a_picture_that_is_in_the_page_once_is_seen_wherever_it_belongs(
    report: tuple[Results, list[Row]], page: Path, chromium: Any
) -> None:
    """Source and target are one picture here: both are drawn, and so they are in a card that a filter leaves."""
    with visit(chromium, page) as seen:
        seen.page.get_by_label("Masks", exact=True).first.select_option(label="rough (6)")
        uses = seen.page.locator(".card:visible").last.locator("use")
        boxes = uses.evaluate_all("nodes => nodes.map((n) => [n.getBBox().width, n.getBBox().height])")
        assert boxes == [[80, 64], [32, 32], [80, 64], [80, 64], [80, 64]]
        target = seen.page.locator(".card:visible").last.locator("svg").nth(2)
        target.scroll_into_view_if_needed()
        shot = target.screenshot()
        assert len(set(shot)) > 100 and len(shot) > 500


@needs_chromium
def test_it_fits_the_screen(page: Path, chromium: Any) -> None:
    with visit(chromium, page) as seen:
        for opened in (False, True):
            for width, dark in ((1280, True), (390, False), (320, True)):
                seen.page.set_viewport_size({"width": width, "height": 900})
                seen.page.emulate_media(color_scheme="dark" if dark else "light")
                assert not seen.has_overflow(), (width, opened)
                ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert ground == ("rgb(21, 25, 30)" if dark else "rgb(255, 255, 255)")
            for name in [] if opened else seen.page.locator("details > summary").all():
                name.click()
