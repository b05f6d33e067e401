"""The page of figures: they are those of the data set, as bars, as text and for who cannot see them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import needs_chromium, visit
from made_pairs import change_shard, write_clean
from parsed import Parsed

from a2cli.curation.stats import Stats, build_histogram, count_dataset
from a2cli.curation.stats_page import build_stats_page, show_bytes, write_stats_page
from a2cli.errors import ConfigError

NO_VALUES = build_histogram([], (0.0, 1.0, 2.0))
EMPTY = Stats("x", *[0] * 6, *[{} for _ in range(5)], *[NO_VALUES] * 8)


@pytest.fixture(scope="module")
def stats(tmp_path_factory: pytest.TempPathFactory) -> Stats:
    """11 + 4 pairs, one of them with a torn picture."""
    folder = write_clean(tmp_path_factory.mktemp("sets") / "pairs & more", train=12, test=4, shard_size=16)
    change_shard(folder / "train-00000.parquet", {"train-011": {"ref_image": b"torn"}})
    return count_dataset(str(folder))


@pytest.fixture(scope="module")
def page(stats: Stats, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "stats.html"
    write_stats_page(stats, out)
    return out


def test_the_page_is_whole_and_asks_for_nothing(stats: Stats, page: Path) -> None:
    source = page.read_text()
    parsed = Parsed(source)
    assert not re.search(r"https?:|url\(|@import|<link|<script|<iframe|<img|href", source)
    assert parsed.get_texts("h1") == ["pairs & more"]
    assert build_stats_page(stats) == source
    assert str(Path(stats.path).parent) not in source


def test_the_head_and_the_notes_tell_what_is_wrong(page: Path) -> None:
    parsed = Parsed(page.read_text())
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", parsed.source))
    assert tiles["Records"] == "16<span>1 cannot be used</span>"
    assert tiles["Categories"].startswith("8<") and tiles["Groups"].startswith("15<")
    (note,) = re.findall(r'<ul class="notes">(.*?)</ul>', parsed.source)
    assert note.startswith("<li>record train-011: ref_image: ")


def test_bars_are_the_counts(stats: Stats, page: Path) -> None:
    figures = re.findall(r'<figure class="bars.*?</figure>', page.read_text(), re.S)
    bars = {Parsed(figure).get_texts("b")[0]: Parsed(figure).get_texts("span") for figure in figures}
    assert bars["Splits"] == ["train", "11", "73.3 %", "test", "4", "26.7 %"]
    assert bars["Licences"] == ["CC0-1.0", "15", "100 %"]
    assert bars["Sources"] == ["a folder", "15", "100 %"]
    found = [name for name in bars["Records of each category"][::3] if not name.startswith("kind")]
    assert sorted(found) == sorted(stats.subcategories) and found[0] == "animals"
    assert bars["Records of each category"][:3] == ["animals", "3", "20 %"]


def test_categories_are_set_against_splits(stats: Stats, page: Path) -> None:
    (table,) = re.findall(r"<table><caption>By split.*?</table>", page.read_text(), re.S)
    rows = [Parsed(row).get_texts("th", "td") for row in re.findall(r"<tr>.*?</tr>", table)]
    assert rows[0] == ["category", "train", "test"] and rows[-1] == ["all", "11", "4"]
    assert [int(n) for row in rows[1:-1] for n in row[1:]] == [
        stats.categories[split].get(row[0], 0) for row in rows[1:-1] for split in ("train", "test")
    ]


def test_histograms_are_the_counts_of_both_pictures(stats: Stats, page: Path) -> None:
    charts = Parsed(page.read_text()).get_charts()
    assert list(charts) == [
        "Mask's share of the picture",
        "Size of the pictures",
        "Aspect of the pictures",
        "Aspect of the masks' bounding boxes",
    ]
    words = charts["Size of the pictures"].findtext("desc") or ""
    assert words.endswith("reference: 0 to 64: 15. target: 64 to 128: 15.")
    drawn = [rect.findtext("title") or "" for rect in charts["Mask's share of the picture"].iter("rect")]
    counted = sum(int(text.rsplit(" ", 1)[1]) for text in drawn if "target" in text)
    assert counted == sum(stats.tar_share.counts) == 15
    rows = re.findall(r'<tr><th scope="row">Size of the pictures, (\w+)</th>(.*?)</tr>', page.read_text())
    assert [(name, Parsed(cells).get_texts("td")) for name, cells in rows] == [
        ("reference", ["48"] * 5),
        ("target", ["64"] * 5),
    ]


def test_no_records_make_a_page_too() -> None:
    source = build_stats_page(replace(EMPTY, bad=30, messages=("x: a", "x: b")))
    assert Parsed(source).get_texts("li") == ["a", "b", "and 28 more records that cannot be used"]
    assert source.count("no values") == 4 and "nan" not in source.lower()


def test_foreign_words_stay_words() -> None:
    evil = "</style><script>alert(1)</script><b onclick='x'>\u202e"
    stats = replace(
        EMPTY,
        path=f"/data/{evil}",
        records=3,
        splits={evil: 2, "x": 1},
        categories={evil: {evil: 2}, "x": {"y": 1}},
        subcategories={evil: {evil: 2}, "y": {evil: 1}},
        licences={evil: 3},
        sources={evil: 3},
        messages=(evil,),
    )
    parsed = Parsed(build_stats_page(stats))
    assert not parsed.get_tags("script") and not any("onclick" in a for _, a in parsed.tags)
    shown = evil.replace("\u202e", "\\u202e")
    assert parsed.get_texts("span").count(shown) == 6 and shown in parsed.get_texts("th")


def test_the_name_of_a_data_file_is_refused(stats: Stats, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not the name of a page"):
        write_stats_page(stats, tmp_path / "train.parquet")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (12_345, "12.3 kB"), (3_400_000_000, "3.4 GB")],
)
def test_sizes_are_written_as_people_write_them(count: int, shown: str) -> None:
    assert show_bytes(count) == shown


@needs_chromium
def test_categories_unfold_by_mouse_and_keyboard(page: Path, chromium: Any) -> None:
    with visit(chromium, page) as seen:
        first = seen.page.locator(".bars details").first
        part = first.locator("ul .bar").first
        assert not part.is_visible()
        first.locator("summary").click()
        assert part.is_visible() and "kind" in part.inner_text()
        seen.page.keyboard.press("Enter")
        assert not part.is_visible()
        seen.page.keyboard.press("Tab")
        assert seen.has_ring()
        seen.page.keyboard.press("Space")
        assert seen.page.locator(".bars details[open]").count() == 1


@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False), (320, False)])
def test_it_fits_the_screen(page: Path, tmp_path: Path, chromium: Any, width: int, dark: bool) -> None:
    with visit(chromium, page, width=width, dark=dark) as seen:
        assert not seen.has_overflow()
        chart = seen.page.get_by_role("img", name="Size of the pictures")
        box = chart.bounding_box()
        assert box and 250 < box["width"] <= width
        track = seen.page.locator(".track").first.bounding_box()
        assert track and track["width"] > 60
        assert seen.page.screenshot(path=str(tmp_path / "page.png"))
