"""The preview: an even draw, every record a card, faults told, foreign words harmless; and the page in use."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import needs_chromium, visit
from made_pairs import change_shard, make_pair, write_clean, write_imagefolder
from parsed import Parsed
from PIL import Image

from a2cli.cli import main
from a2cli.curation import preview
from a2cli.curation.preview import choose_records, share_out, write_preview
from a2cli.curation.preview_page import STYLE
from a2cli.data.provenance import Provenance, Rights
from a2cli.data.shards import build_row, write_parquet
from a2cli.errors import ConfigError, DataError

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;\u202e"
FAULTY = {"train-003", "train-004", "train-005", "train-099.parquet"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 + 8 pairs with a torn picture, a mask of another size, an unknown category, evil words, and a torn file."""
    folder = write_clean(tmp_path_factory.mktemp("sets") / "pairs & more", train=16, test=8, shard_size=16)
    torn = build_row(make_pair(3), "train")["tar_image"]["bytes"][:300]
    other_mask = build_row(make_pair(4), "train")["tar_mask"]["bytes"]
    rights = Rights("https://example.org/4.jpg", "Ann Other", "CC-BY-4.0", EVIL)
    changes: dict[str, dict[str, Any]] = {
        "train-003": {"tar_image": torn},
        "train-004": {"ref_mask": other_mask, "provenance": Provenance(rights, "g").to_text()},
        "train-005": {"category": "aminals"},
        "train-006": {"provenance": Provenance(Rights(source="x"), group="h").to_text()},
        "train-007": {"id": EVIL, "prompt": EVIL, "subcategory": EVIL},
    }
    change_shard(folder / "train-00000.parquet", changes)
    (folder / "train-099.parquet").write_bytes(b"no parquet")
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    out = folder.parent / "preview.html"
    write_preview(str(folder), out)
    return out


def get_ids(page: Path) -> list[str]:
    """Of the cards in their order, as the page writes them."""
    return re.findall(r'<span id="n\d+">(.*?)</span>', page.read_text())


def get_card(page: Path, name: str) -> str:
    (card,) = [
        c for c in re.findall(r"<article.*?</article>", page.read_text(), re.S) if f">{name}</span>" in c
    ]
    return card


# The draw


def share_naively(there: dict[str, int], limit: int) -> dict[str, int]:
    """One after the other, a record each, the poorest names first served last."""
    shares = dict.fromkeys(there, 0)
    for _ in range(min(limit, sum(there.values()))):
        open_names = [name for name in there if shares[name] < there[name]]
        least = min(shares[name] for name in open_names)
        shares[max((n for n in open_names if shares[n] == least), key=lambda n: (there[n], n))] += 1
    return shares


@pytest.mark.parametrize("limit", [1, 2, 7, 10, 25, 26, 100])
def test_shares_are_as_even_as_they_can_be(limit: int) -> None:
    there = {"a": 10, "b": 1, "c": 10, "d": 4}
    shares = share_out(there, limit)
    assert sorted(shares.values()) == sorted(share_naively(there, limit).values())
    assert sum(shares.values()) == min(limit, 25) and all(shares[name] <= there[name] for name in there)


def test_the_draw_is_even_and_a_function_of_the_seed(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set", map(make_pair, range(32)), split="train", shard_size=16)
    folder = str(tmp_path / "set")
    draw = {
        seed: choose_records(folder, split="train", limit=16, seed=seed, category=None) for seed in (0, 1)
    }
    assert draw[0].records == 32 and len(draw[0].places) == 16
    assert draw[0] == choose_records(folder, split="train", limit=16, seed=0, category=None)
    assert draw[0].places != draw[1].places
    numbers = [16 * int(Path(where).stem[-5:]) + place for where, place in draw[0].places]
    assert sorted(number % 8 for number in numbers) == sorted([*range(8)] * 2)  # two of each category


def test_one_split_one_category_and_their_order(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.html"
    shown = write_preview(str(folder), out, split="test")
    assert get_ids(out) == [f"test-{i:03d}" for i in range(8)] and shown.records == shown.shown == 8
    assert shown.faulty == 0
    write_preview(str(folder), out, category="portraits")
    assert get_ids(out) == ["test-001", "train-001", "train-009"]
    assert write_preview(str(folder), out, category="aminals").faulty == 1
    with pytest.raises(ConfigError, match="no record of category 'animal'") as caught:
        write_preview(str(folder), out, category="animal")
    assert caught.value.hint == "did you mean 'animals'?"
    with pytest.raises(ConfigError, match="no split 'validation'"):
        write_preview(str(folder), out, split="validation")


def test_an_imagefolder_and_its_bad_line(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "set", [make_pair(i) for i in range(3)])
    with (folder / "metadata.jsonl").open("a") as file:
        file.write('{"id": \n')
    shown = write_preview(str(folder), tmp_path / "x.html")
    assert (shown.shown, shown.records, shown.faulty) == (4, 4, 1)
    assert get_ids(tmp_path / "x.html") == ["train-000", "train-001", "train-002", "metadata.jsonl"]
    assert "<b>bad line</b>line 4: not JSON" in get_card(tmp_path / "x.html", "metadata.jsonl")


# What the page holds


def test_the_page_is_whole_and_a_function_of_the_data(folder: Path, page: Path, tmp_path: Path) -> None:
    source = page.read_text()
    assert not re.search(r"https?://(?!example\.org)|url\(|@import|<link|<iframe|<img", source)
    parsed = Parsed(source)
    hrefs = [str(a["href"]) for _, a in parsed.tags if "href" in a]
    assert hrefs and all(href.startswith(("data:image/webp;base64,", "#t")) for href in hrefs)
    write_preview(str(folder), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == source
    assert str(folder.parent) not in source


def test_every_record_is_a_card_and_says_all_of_it(page: Path) -> None:
    assert len(get_ids(page)) == 25
    card = get_card(page, "train-004")
    texts = Parsed(card).get_texts("p", "span")
    assert "accessories / kind 1 · train" in texts and "a photo of kind 1" in texts
    assert any(
        t.startswith("CC-BY-4.0 · </script>") and t.endswith("Ann Other · https://example.org/4.jpg")
        for t in texts
    )
    assert "mask 11 %" in texts and texts.count("80 × 64") == 1
    assert "mask 28 %" in Parsed(get_card(page, "train-000")).get_texts("span")


def test_pictures_are_the_records_own_and_small(tmp_path: Path) -> None:
    pair = make_pair(2)
    large = np.repeat(np.repeat(pair.tar_rgb, 8, 0), 8, 1)
    mask = np.repeat(np.repeat(pair.tar_mask, 8, 0), 8, 1)
    write_parquet(tmp_path / "set", [make_pair(2, tar_rgb=large, tar_mask=mask)], split="train")
    write_preview(str(tmp_path / "set"), tmp_path / "x.html", size=100)
    target, reference = re.findall(r"base64,([^\"]+)", (tmp_path / "x.html").read_text())
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(target))).convert("RGB"), float)
    assert shown.shape == (80, 100, 3)
    small = np.asarray(Image.fromarray(large).resize((100, 80), Image.Resampling.BOX), float)
    assert np.abs(shown - small).mean() < 6
    assert Image.open(io.BytesIO(base64.b64decode(reference))).size == (48, 48)  # never enlarged
    card = ET.fromstring(get_card(tmp_path / "x.html", "train-002").replace("<br>", "<br/>"))
    line = next(p for p in card.iter("path") if p.get("class") == "line").get("d", "")
    points = np.array([p.split() for p in line.strip("MZ").split("L")], float)
    assert points.min(0) == pytest.approx([25, 12.5], abs=0.8)  # rows 10.. and columns 20..60 of 64 x 80
    assert points.max(0) == pytest.approx([75, 27.5], abs=0.8)


def test_what_is_wrong_is_said_on_the_card(page: Path) -> None:
    card = get_card(page, "train-003")
    assert '<li class="fault"><b>bad picture</b>tar_image: cannot be decoded' in card
    assert card.count("no picture") == 2 and card.count("<image") == 1
    card = get_card(page, "train-004")
    assert "<b>mask size</b>ref_mask is 80 x 64, ref_image is 48 x 48" in card and "no mask" in card
    assert "did you mean &#x27;animals&#x27;?" in get_card(page, "train-005")
    card = get_card(page, "train-006")
    assert '<li class="warning"><b>no licence</b>' in card and 'class="card"' in card
    card = get_card(page, "train-099.parquet")
    assert "<b>damaged file</b>" in card and "<svg" not in card and 'class="card faulty"' in card


def test_foreign_words_stay_words(page: Path) -> None:
    parsed = Parsed(page.read_text())
    assert len(parsed.get_tags("script")) == 1 and not parsed.get_tags("img")
    assert parsed.get_texts("h1") == ["pairs & more"]
    assert EVIL.replace("\u202e", "\\u202e") in parsed.get_texts("span")


def test_the_head_counts(page: Path) -> None:
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page.read_text()))
    assert tiles["Records"] == "25<span>train 17, test 8</span>"
    assert tiles["Shown"] == "25<span>all</span>"
    assert tiles["With faults"].startswith("4<span>bad picture 1, mask size 1, unknown category 1")
    assert tiles["Categories"].startswith("9<")


def test_pictures_that_are_too_many_are_left_out_and_counted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "MOST_BYTES", 9000)
    out = tmp_path / "x.html"
    write_preview(str(folder), out, split="test")
    embedded = [base64.b64decode(data) for data in re.findall(r"base64,([^\"]+)", out.read_text())]
    assert 0 < sum(map(len, embedded)) <= 9000
    bare = 8 - len(embedded) // 2
    assert Parsed(out.read_text()).get_texts("li") == [
        f"{bare} records are shown without pictures, which would make the page too large"
    ]


def test_inks_can_be_read_on_their_grounds() -> None:
    def get_luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for scheme in STYLE.split("@media screen", 1):
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme.split("} }")[0]))
        for ink, ground in (("bad", "bad-ground"), ("warn", "warn-ground")):
            low, high = sorted((get_luminance(colours[ink]), get_luminance(colours[ground])))
            assert (high + 0.05) / (low + 0.05) > 4.5, (ink, colours)


# The command


def test_the_command_prints_the_page_and_warns(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.html"
    assert main(["dataset", "preview", str(folder), "-o", str(out), "--limit", "18", "--size", "32"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}\n"
    assert re.search(r"warning: [1-4] of 18 records shown have faults", printed.err)
    assert "Shown</dt><dd>18<span>even over categories, seed 0<" in out.read_text()


def test_what_cannot_be_written_is_one_line_and_costs_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out, said in (
        (tmp_path / "no" / "x.html", "its folder is not there"),
        (folder / "test-00000.parquet", "not the name of a page"),
        (tmp_path, "not the name of a page"),
    ):
        assert main(["dataset", "preview", str(folder), "-o", str(out)]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == 1 and said in printed.err
    assert (folder / "test-00000.parquet").read_bytes().startswith(b"PAR1")


def test_an_old_page_stays_when_the_data_set_cannot_be_opened(tmp_path: Path) -> None:
    out = tmp_path / "x.html"
    out.write_text("old")
    with pytest.raises(DataError, match="no such file"):
        write_preview(str(tmp_path / "nowhere"), out)
    with pytest.raises(ConfigError, match="0 records"):
        write_preview(str(tmp_path), out, limit=0)
    assert out.read_text() == "old"


def test_records_of_which_none_can_be_used_make_no_page(tmp_path: Path) -> None:
    folder, out = write_imagefolder(tmp_path / "set", [make_pair(i) for i in range(3)]), tmp_path / "x.html"
    (folder / "train-000.ref_image.png").write_bytes(b"")
    Image.new("L", (48, 48)).save(folder / "train-001.ref_mask.png")  # it marks nothing
    assert write_preview(str(folder), out).faulty == 2
    out.write_text("old")
    (folder / "train-002.tar_mask.png").write_bytes(b"")
    with pytest.raises(DataError, match="set: no record can be used") as caught:
        write_preview(str(folder), out)
    assert caught.value.hint == "a2 dataset validate says why"
    with pytest.raises(DataError, match="none of the 2 records drawn can be used"):
        write_preview(str(folder), out, limit=2)
    assert out.read_text() == "old"


# The page in a browser


def get_shown(seen: Any) -> list[str]:
    return list(seen.page.locator(".card:visible h2 > span:first-child").all_text_contents())


@needs_chromium
def test_filters_show_the_right_cards_and_count(page: Path, chromium: Any) -> None:
    with visit(chromium, page) as seen:
        tab = seen.page
        category, split, fault = (
            tab.get_by_label(name, exact=True) for name in ("Category", "Split", "Faults")
        )
        assert tab.locator("#shown").inner_text() == "25 of 25 shown" and len(get_shown(seen)) == 25
        category.select_option(label="portraits (3)")
        assert get_shown(seen) == ["test-001", "train-001", "train-009"]
        split.select_option(label="train (2)")
        assert get_shown(seen) == ["train-001", "train-009"]
        assert "all (3)" in split.inner_text() and "test (1)" in split.inner_text()
        assert "garments (2)" in category.inner_text() and "aminals (1)" in category.inner_text()
        category.select_option(value="")
        fault.select_option(value="any")
        assert set(get_shown(seen)) == FAULTY and tab.locator("#shown").inner_text() == "4 of 25 shown"
        fault.select_option(label="no licence (1)")
        assert get_shown(seen) == ["train-006"]  # a warning alone is no fault
        split.select_option(label="test (0)")
        assert get_shown(seen) == [] and tab.locator("#none").is_visible()
        tab.locator("#none .clear").click()
        assert len(get_shown(seen)) == 25 and not tab.locator("#none").is_visible()
        fault.select_option(value="none")
        assert len(get_shown(seen)) == 21 and not FAULTY & set(get_shown(seen))


@needs_chromium
def test_the_search_finds_every_word(page: Path, chromium: Any) -> None:
    with visit(chromium, page) as seen:
        search = seen.page.get_by_label("Search")
        for words, found in (
            ("train-01", [f"train-01{i}" for i in range(6)]),
            ("EXAMPLE.org/4", ["train-004"]),
            ("other  ann", ["train-004"]),
            ("damaged 099", ["train-099.parquet"]),
            ("onerror=alert(2)", ["train-004", EVIL.replace("\u202e", "\\u202e")]),
            ("[.*", []),
        ):
            search.fill(words)
            assert get_shown(seen) == found
        seen.page.get_by_role("button", name="Clear").first.click()
        assert len(get_shown(seen)) == 25 and search.input_value() == ""


@needs_chromium
def test_the_keyboard_suffices(page: Path, chromium: Any) -> None:
    with visit(chromium, page) as seen:
        keys, focused = seen.page.keyboard, "document.activeElement.id || document.activeElement.className"
        order = []
        for _ in range(6):
            keys.press("Tab")
            order.append(seen.page.evaluate(focused))
            assert seen.has_ring(), order
        assert order == ["search", "category", "split", "fault", "outlines", "clear"]
        for _ in range(5):
            keys.press("Shift+Tab")
        keys.type("train")
        keys.press("Enter")  # sends nothing
        assert len(get_shown(seen)) == 17
        keys.press("Tab")
        keys.press("ArrowDown")
        assert get_shown(seen) == ["train-004", "train-012"]
        for _ in range(4):
            keys.press("Tab")
        keys.press("Enter")
        assert len(get_shown(seen)) == 25 and seen.page.evaluate(focused) == "search"


@needs_chromium
def test_outlines_can_be_put_away(page: Path, chromium: Any) -> None:
    with visit(chromium, page) as seen:
        lines = seen.page.locator(".line")
        assert lines.first.is_visible()
        seen.page.get_by_label("Masks").uncheck()
        assert not lines.first.is_visible()
        assert seen.page.locator("use").first.evaluate("e => e.getBBox().width") == 80  # the picture stays


@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(1600, False), (390, True), (320, False)])
def test_it_fits_the_screen(page: Path, tmp_path: Path, chromium: Any, width: int, dark: bool) -> None:
    with visit(chromium, page, width=width, dark=dark) as seen:
        assert not seen.has_overflow()
        box = seen.page.locator(".views svg").first.bounding_box()
        assert box and box["width"] > 80 and box["width"] == pytest.approx(box["height"], abs=1)
        ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(21, 25, 30)" if dark else "rgb(255, 255, 255)")
        assert seen.page.screenshot(path=str(tmp_path / "page.png"))


@needs_chromium
def test_without_scripts_all_cards_are_there_and_on_paper_no_filters(page: Path, chromium: Any) -> None:
    with visit(chromium, page, script=False) as seen:
        assert seen.page.locator(".card:visible").count() == 25
        assert not seen.page.locator("#filters").is_visible()
    with visit(chromium, page) as seen:
        assert seen.page.locator("#filters").is_visible()
        seen.page.emulate_media(media="print")
        assert not seen.page.locator("#filters").is_visible()
        assert seen.page.locator(".card:visible").count() == 25
