"""Pairs with a photo from before their edit, on disk: every layout carries them, and what does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needs import needs_font
from pair_folders import get_values, is_same, make_pair, make_pairs, write_imagefolder, write_layout

from a2cli.cli import main
from a2cli.data.browse import browse
from a2cli.data.instructed import INSTRUCTED, check_instruction
from a2cli.data.records import BadRecord, Pair
from a2cli.data.rows import PICTURES
from a2cli.data.shards import TEXTS, build_row, encode_mask, encode_rows, even_out, write_parquet, write_shard
from a2cli.data.source import SourceConfig, open_source
from a2cli.data.synth import SynthConfig, synthesise
from a2cli.data.synth_run import write_synthesised
from a2cli.data.tables import open_stream, open_table
from a2cli.errors import DataError

LAYOUTS = ("imagefolder", "saved", "parquet", "glob", "file")
HALF = SynthConfig(size=32, instructions=0.5)


def make_edit(number: int, **changes: Any) -> Pair:
    """A pair whose photo from before the edit is noise of its own."""
    pair = make_pair(number)
    source = np.random.default_rng(1000 + number).integers(0, 256, pair.tar_rgb.shape, np.uint8)
    mask = np.roll(pair.tar_mask, 1, axis=1)
    edit = replace(
        pair, prompt="remove the red cup", src_rgb=source, src_mask=mask, task="remove", keyword="red cup"
    )
    return replace(edit, **changes)


def make_mixed(count: int) -> list[Pair]:
    """Plain pairs, edits, and an edit of which nothing is known but the photo from before it."""
    found = [make_edit(n) if n % 2 else make_pair(n) for n in range(count - 1)]
    return [*found, make_edit(count - 1, src_mask=None, task="", keyword="")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_pairs_back(layout: str, tmp_path: Path, arrow_cache: Path) -> None:
    pairs = make_mixed(10)
    path = write_layout(layout, tmp_path / "pairs", pairs)
    if layout == "file":
        pairs = pairs[:4]
    expected = {pair.id: pair for pair in pairs}
    table = open_table(path, "train")
    found = [table.reader.read(table.rows[number]) for number in range(len(table.rows))]
    stream = open_stream(path, "train")
    found += [stream.reader.read(row) for row in stream.rows]
    found += [entry.read() for entry in browse(path)]
    assert len(found) == 3 * len(pairs)
    for pair in found:
        assert get_values(pair) == get_values(expected[pair.id])
    texts = [entry.get_text("task") for entry in browse(path, pictures=False)]
    assert texts == [pair.task for pair in pairs]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_run_sees_them(streaming: bool, tmp_path: Path, arrow_cache: Path) -> None:
    pairs = {pair.id: pair for pair in make_mixed(8)}
    write_parquet(tmp_path / "pairs", pairs.values(), split="train", shard_size=3)
    config = SourceConfig(path=str(tmp_path / "pairs"), streaming=streaming, shuffle_buffer=3)
    source = open_source(config, seed=4)
    for number in range(16):
        pair = source.get_pair(number)
        assert is_same(pair, pairs[pair.id])


def test_columns_are_there_only_where_they_are_needed(tmp_path: Path) -> None:
    from a2cli.data.shard_reader import load_features

    write_parquet(tmp_path / "plain", make_pairs(4), split="train")
    assert list(load_features(tmp_path / "plain" / "train-00000.parquet")) == [*TEXTS, *PICTURES]
    assert "src_image" not in build_row(make_pair(1), "train")
    lines = (write_imagefolder(tmp_path / "files", make_mixed(3)) / "metadata.jsonl").read_text().splitlines()
    keys = [set(json.loads(line)) & {"src_image_file_name", "src_mask_file_name", "task"} for line in lines]
    assert keys == [
        set(),
        {"src_image_file_name", "src_mask_file_name", "task"},
        {"src_image_file_name", "task"},
    ]


def test_shards_of_one_set_have_the_same_columns(tmp_path: Path, arrow_cache: Path) -> None:
    from datasets import load_dataset

    pairs = [*make_pairs(4), make_edit(4), *map(make_pair, range(5, 8))]
    paths = write_parquet(tmp_path / "pairs", pairs, split="train", shard_size=2)
    loaded = load_dataset(str(tmp_path / "pairs"), split="train")
    assert loaded.column_names == [*TEXTS, *PICTURES, *INSTRUCTED]
    assert [row is None for row in loaded["src_image"]] == [True] * 4 + [False] + [True] * 3
    assert loaded["task"][3:6] == [None, "remove", None]
    assert len(paths) == 4
    before = [path.read_bytes() for path in paths]
    even_out(paths)
    assert [path.read_bytes() for path in paths] == before


def test_shards_that_differ_are_refused_with_a_remedy(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [build_row(make_pair(0), "train")], "train")
    write_shard(tmp_path, 1, [build_row(make_edit(1), "train")], "train")
    for open_set in (open_table, open_stream):
        with pytest.raises(DataError, match=r"train-00001\.parquet: of src_image, src_mask") as caught:
            open_set(str(tmp_path), "train")
        assert "convert" in str(caught.value.hint)
    assert len(list(browse(str(tmp_path)))) == 2  # what copies and checks reads them
    even_out([tmp_path / "train-00000.parquet", tmp_path / "train-00001.parquet"])
    assert open_stream(str(tmp_path), "train").count == 2


SMALLER = build_row(make_pair(1, height=10), "train")["tar_image"]
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a photo of another size": ({"src_image": SMALLER}, "src_image: it is 28 x 10, tar_image 28 x 20"),
    "a mask of another size": (
        {"src_mask": {"bytes": encode_mask(np.ones((4, 4), bool)), "path": None}},
        "src_mask: ",
    ),
    "an empty mask": (
        {"src_mask": {"bytes": encode_mask(np.zeros((20, 28), bool)), "path": None}},
        "src_mask: it marks nothing",
    ),
    "no photo": ({"src_image": {"bytes": b"words", "path": None}}, "src_image: "),
    "no prompt": ({"prompt": None}, "prompt: nothing says what to do with src_image"),
    "a blank prompt": ({"prompt": "  "}, "prompt: nothing says what to do with src_image"),
    "an unknown task": ({"task": "recolor"}, "task: 'recolor': did you mean 'recolour'?"),
    "a mask of nothing": ({"src_image": None}, "src_mask: there is no src_image"),
    "a task of nothing": (
        {"src_image": None, "src_mask": None},
        "task: there is no src_image that it could be of",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_and_the_rest_read(name: str, tmp_path: Path) -> None:
    changes, cause = BAD[name]
    rows = [build_row(make_edit(number), "train") for number in (1, 2)]
    rows[0].update(changes)
    (tmp_path / "x.parquet").write_bytes(encode_rows(rows, instructed=True))
    one, other = browse(str(tmp_path / "x.parquet"))
    with pytest.raises(BadRecord, match="record train-001: ") as caught:
        one.read()
    assert cause in caught.value.message
    assert is_same(other.read(), make_edit(2))


def test_a_wrong_keyword_leaves_a_record_usable() -> None:
    found = check_instruction("remove the cup", "remove", "mug", ("src_image",))
    assert [kind for kind, _, _ in found] == ["wrong keyword"]
    assert not list(check_instruction("remove the cup", "", "", ("src_image", "src_mask")))
    assert not list(check_instruction("", "", "", ()))


def test_a_line_of_an_imagefolder_may_lack_a_file(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", make_mixed(4))
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    lines[1]["src_image_file_name"] = "gone.png"
    lines[3]["src_mask_file_name"] = 7
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    entries = list(browse(str(folder)))
    with pytest.raises(BadRecord, match=r"train-001: src_image: .*gone\.png"):
        entries[1].read()
    assert "src_mask_file_name is not a file name" in entries[3].row["problem"]
    assert is_same(entries[0].read(), make_mixed(4)[0])


@needs_font
def test_synth_writes_them(tmp_path: Path, arrow_cache: Path) -> None:
    from datasets import load_dataset

    folders = [
        write_synthesised(tmp_path / str(n), 10, seed=3, config=HALF, shard_size=4, workers=n) for n in (1, 2)
    ]
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == two
    loaded = load_dataset(str(folders[0]), split="train")
    assert loaded.column_names == [*TEXTS, *PICTURES, *INSTRUCTED] and len(loaded) == 10
    edits = 0
    for number, entry in enumerate(browse(str(folders[0]))):
        pair, expected = entry.read(), synthesise(number, seed=3, config=HALF)
        assert is_same(pair, replace(expected, scene_rgb=None, light=None))
        edits += pair.src_rgb is not None
    assert 1 <= edits <= 9
    plain = write_synthesised(
        tmp_path / "plain", 4, seed=3, config=replace(HALF, instructions=0), shard_size=4
    )
    assert b"src_image" not in (plain / "train-00000.parquet").read_bytes()


@needs_font
def test_synth_writes_them_as_files_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from datasets import load_dataset

    out = tmp_path / "files"
    options = ["--size", "32", "--instructions", "0.5", "--format", "imagefolder", "-n", "6", "-q"]
    assert main(["dataset", "synth", "-o", str(out), *options]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    loaded = load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert {*INSTRUCTED} <= set(loaded.column_names)
    tasks = [entry.read().task for entry in browse(str(out))]
    assert [task or None for task in tasks] == loaded["task"] and any(tasks) and not all(tasks)
    assert [image is None for image in loaded["src_image"]] == [not task for task in tasks]
    assert main(["dataset", "synth", "-o", str(tmp_path / "x"), "--instructions", "1.5"]) == 2
    assert "instructions must lie in [0, 1]" in capsys.readouterr().err
