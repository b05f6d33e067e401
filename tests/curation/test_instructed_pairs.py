"""Pairs with a photo from before their edit: checked, counted, divided, shown and converted."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_pairs import draw, load_rows, make_pair
from published import encode, make_mask, make_rgb, write_magic_brush, write_magic_brush_shards, write_shard

from a2cli.cli import main
from a2cli.curation.convert import ConvertConfig, Failure, convert
from a2cli.curation.divide import divide_dataset
from a2cli.curation.preview import write_preview
from a2cli.curation.regions import find_wrong_region
from a2cli.curation.split import SplitConfig
from a2cli.curation.stats import count_dataset
from a2cli.curation.validate import validate
from a2cli.data.browse import browse
from a2cli.data.instructed import INSTRUCTED
from a2cli.data.provenance import Provenance, Rights
from a2cli.data.records import Pair
from a2cli.data.rows import PICTURES
from a2cli.data.shards import TEXTS, build_row, encode_mask, encode_rows, write_parquet

LAYOUTS = ("parquet", "imagefolder", "webdataset")


def make_edit(number: int, split: str = "train", drawn: bool = False, **changes: Any) -> Pair:
    """An edit of a picture of its own: what its mask marks is drawn anew."""
    pair = make_pair(number, split)
    source = draw(50_000 + 2 * number + (split != "train"))
    target = np.where(pair.tar_mask[..., None], pair.tar_rgb, source)
    about = Provenance(
        Rights("a folder", "someone", "CC0-1.0"),
        group=f"{split} object {number}",
        tools={"synth": "a2 1"} if drawn else {},
    )
    edit = replace(
        pair,
        prompt="turn the red cup into a bus",
        tar_rgb=target,
        src_rgb=source,
        src_mask=pair.tar_mask,
        task="replace",
        keyword="red cup",
        provenance=about.to_text(),
    )
    return replace(edit, **changes)


def write_mixed(folder: Path, count: int = 10) -> Path:
    """Shards of two plain pairs and two edits by turns."""
    pairs = [make_edit(n, drawn=True) if n % 4 > 1 else make_pair(n) for n in range(count)]
    write_parquet(folder, pairs, split="train", shard_size=2)
    return folder


def list_rows(path: Path | str) -> dict[str, dict[str, Any]]:
    """Every text and every file of the records, by id."""
    found = {}
    for entry in browse(str(path)):
        row: dict[str, Any] = {name: entry.get_text(name) for name in (*TEXTS, "task", "keyword")}
        for name in (*PICTURES, "src_image", "src_mask"):
            if entry.row.get(name) is not None:
                row[name] = entry.reader.load_bytes(entry.row, name)
        found[entry.get_text("id")] = row
    return found


def test_a_clean_set_has_no_fault(tmp_path: Path) -> None:
    assert validate([str(write_mixed(tmp_path / "pairs"))]).faults == ()


PICTURE = {"bytes": encode(draw(77, 32, 40)), "path": None}
PLANTED: dict[str, tuple[str, dict[str, Any]]] = {
    "train-000": ("picture size", {"src_image": PICTURE, "src_mask": None}),
    "train-001": ("mask size", {"src_mask": {"bytes": encode_mask(np.eye(32, dtype=bool)), "path": None}}),
    "train-002": ("empty mask", {"src_mask": {"bytes": encode_mask(np.zeros((64, 80), bool)), "path": None}}),
    "train-003": ("bad picture", {"src_image": {"bytes": b"words", "path": None}}),
    "train-004": ("no instruction", {"prompt": "", "keyword": ""}),
    "train-005": ("unknown task", {"task": "recolor"}),
    "train-006": ("wrong keyword", {"keyword": "blue cup"}),
    "train-007": ("no source", {"src_image": None, "src_mask": None, "keyword": ""}),
    "train-008": ("pair does not differ", {"src_image": build_row(make_edit(8), "")["tar_image"]}),
    "train-009": ("wrong region", {"tar_mask": {"bytes": encode_mask(np.eye(64, 80) > 0), "path": None}}),
    "train-010": (
        "wrong region",
        {"tar_mask": {"bytes": encode_mask(np.arange(80) * np.ones((64, 1)) < 78), "path": None}},
    ),
    "train-011": ("", {"src_mask": None, "task": None, "keyword": None}),
    "train-012": ("", {"ref_image": build_row(make_edit(12), "")["tar_image"]}),  # what a removal looks like
}


def test_every_planted_fault_is_found_and_nothing_else(tmp_path: Path) -> None:
    rows = [build_row(make_edit(number, drawn=True), "train") for number in range(len(PLANTED))]
    for row in rows:
        row.update(PLANTED[row["id"]][1])
    rows[12]["ref_mask"] = rows[12]["tar_mask"]
    (tmp_path / "x.parquet").write_bytes(encode_rows(rows))
    found = Counter((fault.kind, fault.id) for fault in validate([str(tmp_path / "x.parquet")]).faults)
    expected = Counter({(kind, name): 1 for name, (kind, _) in PLANTED.items() if kind})
    expected["empty text", "train-004"] = 1
    assert found == expected
    usable = {entry.get_text("id") for entry in browse(str(tmp_path / "x.parquet")) if is_usable(entry)}
    assert usable == {f"train-{n:03d}" for n in (6, 8, 9, 10, 11, 12)}


def is_usable(entry: Any) -> bool:
    from a2cli.data.records import BadRecord

    try:
        entry.read()
    except BadRecord:
        return False
    return True


def test_only_of_what_a2_drew_the_region_must_be_exact(tmp_path: Path) -> None:
    moved = np.roll(make_edit(1).tar_mask, 25, axis=0)
    pairs = [make_edit(1, tar_mask=moved), make_edit(2, drawn=True, tar_mask=moved)]
    write_parquet(tmp_path, pairs, split="train")
    assert [(f.kind, f.id) for f in validate([str(tmp_path)]).faults] == [("wrong region", "train-002")]


def test_a_region_may_miss_the_rim() -> None:
    source, mask = draw(3, 64, 64), np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    rim = np.zeros_like(mask)
    rim[18:42, 18:42] = True
    wide = np.zeros_like(mask)
    wide[12:48, 12:48] = True
    edits = [np.where(where[..., None], 255 - source, source) for where in (mask, rim, wide)]
    assert find_wrong_region(source, edits[0], mask) == find_wrong_region(source, edits[1], mask) == ""
    assert "differ beyond it" in find_wrong_region(source, edits[2], mask)
    assert re.search(r"differ in 3\d % of it alone", find_wrong_region(source, edits[0], wide))
    assert find_wrong_region(source, edits[0], np.zeros_like(mask)) == ""


def test_a_photo_from_before_an_edit_is_a_leak_like_any_other(tmp_path: Path) -> None:
    one, other = make_edit(1), make_edit(2, "test")
    write_parquet(tmp_path, [one], split="train")
    write_parquet(tmp_path, [replace(other, src_rgb=one.src_rgb)], split="test")
    (fault,) = validate([str(tmp_path)], near=None).faults
    assert (fault.kind, fault.id) == ("leak", "train-001")  # the shards of test come first
    assert fault.detail == "its source is a picture of test-002 of split test"


def test_split_keeps_those_that_share_their_source_together_and_carries_all(tmp_path: Path) -> None:
    pairs = [make_edit(number) for number in range(16)]
    pairs[9] = replace(pairs[9], src_rgb=pairs[1].src_rgb)  # 1 and 9 are of one category
    pairs += [make_pair(number) for number in range(16, 32)]
    write_parquet(tmp_path / "pairs", pairs, split="train", shard_size=6)
    division = divide_dataset(str(tmp_path / "pairs"), tmp_path / "out", SplitConfig(test=2, near=None))
    splits = division.plan.splits
    assert splits["train-001"] == splits["train-009"] and set(splits.values()) == {"train", "test"}
    before, after = list_rows(tmp_path / "pairs"), list_rows(tmp_path / "out")
    assert before.keys() == after.keys()
    for name, row in before.items():
        assert after[name] == {**row, "split": splits[name]}
    for shard in division.shards:
        assert list(load_rows(shard)[0]) == [*TEXTS, *PICTURES, *INSTRUCTED]
    assert validate([str(tmp_path / "out")], near=None).faults == ()


@pytest.mark.parametrize("first", LAYOUTS)
def test_convert_carries_them_through_every_layout(first: str, tmp_path: Path) -> None:
    source = write_mixed(tmp_path / "source")
    list(convert(ConvertConfig(str(source), tmp_path / "one", write=first, shard_size=2)))
    list(convert(ConvertConfig(str(tmp_path / "one"), tmp_path / "two", write="parquet", shard_size=2)))
    assert list_rows(tmp_path / "two") == list_rows(source)
    assert sum("src_image" in row for row in list_rows(source).values()) == 4
    columns = {tuple(load_rows(shard)[0]) for shard in (tmp_path / "two").glob("*.parquet")}
    assert columns == {(*TEXTS, *PICTURES, *INSTRUCTED)}


def test_layouts_without_edits_have_no_word_of_them(tmp_path: Path) -> None:
    write_parquet(tmp_path / "plain", map(make_pair, range(3)), split="train")
    for layout in (*LAYOUTS, "anyinsertion"):
        list(convert(ConvertConfig(str(tmp_path / "plain"), tmp_path / layout, write=layout)))
        for file in (tmp_path / layout).rglob("*"):
            assert not file.is_file() or not re.search(rb"src_image|keyword|task", file.read_bytes()), file


def test_any_insertion_has_no_place_for_them(tmp_path: Path) -> None:
    source = write_mixed(tmp_path / "source", 4)
    list(convert(ConvertConfig(str(source), tmp_path / "out", write="anyinsertion")))
    list(convert(ConvertConfig(str(tmp_path / "out"), tmp_path / "back")))
    back = list_rows(tmp_path / "back")
    left = {"src_image", "src_mask", "task", "keyword"}
    for name, row in list_rows(source).items():
        assert back[name] == {**{k: v for k, v in row.items() if k not in left}, "task": "", "keyword": ""}


def test_convert_leaves_out_what_does_not_fit(tmp_path: Path) -> None:
    rows = [build_row(make_edit(number), "train") for number in range(4)]
    rows[0]["src_image"] = PICTURE
    rows[1]["prompt"] = None
    rows[2]["keyword"] = "blue cup"
    (tmp_path / "x.parquet").write_bytes(encode_rows(rows))
    outcomes = list(convert(ConvertConfig(str(tmp_path / "x.parquet"), tmp_path / "out")))
    failed = {outcome.id: outcome.detail for outcome in outcomes if isinstance(outcome, Failure)}
    assert set(failed) == {"train-000", "train-001"}
    assert "record train-000: src_image: it is 40 x 32, tar_image 80 x 64" in failed["train-000"]
    assert "prompt: nothing says what to do" in failed["train-001"]
    assert set(list_rows(tmp_path / "out")) == {"train-002", "train-003"}


@pytest.mark.parametrize("write", [write_magic_brush, write_magic_brush_shards])
def test_magic_brush_brings_its_sources(write: Any, tmp_path: Path) -> None:
    outcomes = list(convert(ConvertConfig(str(write(tmp_path / "source")), tmp_path / "out")))
    assert not any(isinstance(outcome, Failure) for outcome in outcomes)
    for entry in browse(str(tmp_path / "out")):
        pair = entry.read()
        image, turn = map(int, pair.id.split("-"))
        assert np.array_equal(pair.src_rgb, make_rgb(image + turn - 1))
        assert np.array_equal(pair.ref_rgb, pair.tar_rgb) and pair.src_mask is None
        assert (pair.task, pair.keyword) == ("", "")


def test_a_source_of_another_size_is_brought_to_the_targets(tmp_path: Path) -> None:
    target = make_rgb(71)
    height, width = target.shape[:2]
    sources = {
        1: np.repeat(np.repeat(make_rgb(70), 2, axis=0), 2, axis=1),
        2: make_rgb(72)[:, : width // 2],
    }
    rows = [
        {
            "img_id": "7",
            "turn_index": turn,
            "instruction": "add a cat",
            "source_img": encode(source),
            "mask_img": encode(make_mask(5)),
            "target_img": encode(target),
        }
        for turn, source in sources.items()
    ]
    write_shard(tmp_path / "source" / "train-0.parquet", rows)
    outcomes = list(convert(ConvertConfig(str(tmp_path / "source"), tmp_path / "out")))
    (failure,) = (outcome for outcome in outcomes if isinstance(outcome, Failure))
    assert failure.id == "7-2" and f"src_image: it is {width // 2} x {height}" in failure.detail
    (entry,) = browse(str(tmp_path / "out"))
    found = entry.read().src_rgb
    assert found is not None and np.abs(found.astype(int) - make_rgb(70)).max() <= 1


def test_stats_count_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [
        *(make_edit(n, task=task) for n, task in enumerate(("remove", "remove", "replace", ""))),
        make_pair(4),
    ]
    write_parquet(tmp_path / "pairs", pairs, split="train")
    stats = count_dataset(str(tmp_path / "pairs"))
    assert stats.tasks == {"remove": 2, "(unknown)": 1, "replace": 1} and stats.records == 5
    files = [row[name] for row in list_rows(tmp_path / "pairs").values() for name in row if "_" in name]
    assert stats.bytes == sum(map(len, files))
    page = tmp_path / "stats.html"
    assert main(["dataset", "stats", str(tmp_path / "pairs"), "--html", str(page)]) == 0
    assert re.search(r"^task\s+records\nremove\s+2$", capsys.readouterr().out, re.MULTILINE)
    assert "Edits that a sentence asks for." in page.read_text()
    write_parquet(tmp_path / "plain", [make_pair(1)], split="train")
    assert count_dataset(str(tmp_path / "plain")).tasks == {}
    assert main(["dataset", "stats", str(tmp_path / "plain"), "--html", str(page)]) == 0
    assert "task" not in capsys.readouterr().out and "Tasks" not in page.read_text()


def test_preview_shows_the_source_and_marks_the_keyword(tmp_path: Path, chromium: Any) -> None:
    pairs = [
        make_edit(0),
        make_edit(1, prompt='remove the <b>"cup"</b>', keyword='<b>"cup"</b>', task="remove"),
        make_edit(2, src_mask=None, task="", keyword=""),
        make_pair(3),
    ]
    write_parquet(tmp_path / "pairs", pairs, split="train")
    page = tmp_path / "preview.html"
    shown = write_preview(str(tmp_path / "pairs"), page)
    assert (shown.shown, shown.faulty) == (4, 0)
    assert "<mark>&lt;b&gt;&quot;cup&quot;&lt;/b&gt;</mark>" in page.read_text()
    for width in (1280, 390):
        look_at_cards(chromium, page, width)


def look_at_cards(chromium: Any, page: Path, width: int) -> None:
    window, said = chromium.new_page(viewport={"width": width, "height": 900}), list[str]()
    window.on("console", lambda message: said.append(message.text))
    window.on("pageerror", lambda error: said.append(str(error)))
    window.goto(page.as_uri())
    cards = "[...document.querySelectorAll('.card')]"
    views = window.evaluate(f"{cards}.map(c => [...c.querySelectorAll('svg')].map(s => s.ariaLabel))")
    edit = ["Source", "Target", "Target, masked", "Reference"]
    assert views == [edit, edit, edit, edit[1:]]
    assert window.evaluate("document.documentElement.scrollWidth") == width and not said
    options = window.evaluate("[...document.querySelector('#task').options].map(o => o.text)")
    assert [text.split(" (")[0] for text in options] == ["all", "any edit", "no edit", "remove", "replace"]
    window.select_option("#task", label=options[3])
    shown = f"{cards}.filter(c => c.offsetParent).map(c => c.querySelector('h2 span').innerText)"
    assert window.evaluate(shown) == ["train-001"]
    window.close()


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [build_row(make_edit(number), "train") for number in range(2)]
    rows[1]["task"] = "paint"
    (tmp_path / "x.parquet").write_bytes(encode_rows(rows))
    assert main(["dataset", "validate", str(tmp_path / "x.parquet"), "--json"]) == 3
    (line,) = capsys.readouterr().out.splitlines()
    fault = json.loads(line)
    assert (fault["kind"], fault["id"]) == ("unknown task", "train-001")
    assert fault["detail"].startswith("task: 'paint'")
