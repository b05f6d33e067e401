"""Every record once, from every layout, and what cannot be read is a row that says so."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "curation"))
from made_pairs import load_rows, make_pair, write_clean, write_imagefolder, write_saved

from a2cli.data.browse import Entry, browse
from a2cli.data.records import BadRecord, Pair
from a2cli.data.rows import PICTURES, PROBLEM
from a2cli.data.shards import build_row, encode_rows, write_parquet
from a2cli.errors import ConfigError, DataError

TRAIN = [make_pair(number) for number in range(20)]
TEST = [make_pair(number, "test") for number in range(3)]


def write(layout: str, folder: Path) -> str:
    """Both splits in one of the layouts; returns the path that names them."""
    if layout == "saved":
        return str(write_saved(folder, {"train": TRAIN, "test": TEST}))
    if layout == "subfolders":
        write_imagefolder(folder / "train", TRAIN, None)
        write_imagefolder(folder / "test", TEST, None)
    elif layout == "column":
        write_imagefolder(folder, TRAIN, "train")
        lines = (folder / "metadata.jsonl").read_text()
        write_imagefolder(folder.with_name("more"), TEST, "test")
        for file in folder.with_name("more").iterdir():
            file.rename(folder / file.name)
        (folder / "metadata.jsonl").write_text(lines + (folder / "metadata.jsonl").read_text())
    elif layout == "one shard":
        folder.mkdir()
        rows = [
            build_row(pair, split) for split, pairs in (("train", TRAIN), ("test", TEST)) for pair in pairs
        ]
        (folder / "pairs.parquet").write_bytes(encode_rows(rows))
        return str(folder / "pairs.parquet")
    else:
        write_parquet(folder / "a", TRAIN, split="train", shard_size=7)
        write_parquet(folder / "b", TEST, split="test")
    return f"{folder}/*/*.parquet" if layout == "pattern" else str(folder)


def is_same(found: Pair, pair: Pair) -> bool:
    arrays = ("ref_rgb", "ref_mask", "tar_rgb", "tar_mask")
    texts = ("id", "category", "subcategory", "prompt", "provenance")
    return all((getattr(found, n) == getattr(pair, n)).all() for n in arrays) and all(
        getattr(found, n) == getattr(pair, n) for n in texts
    )


@pytest.mark.parametrize("layout", ["parquet", "pattern", "one shard", "saved", "subfolders", "column"])
def test_every_record_of_every_layout_once(
    tmp_path: Path, arrow_cache: Path, capfd: pytest.CaptureFixture[str], layout: str
) -> None:
    path = write(layout, tmp_path / "pairs")
    capfd.readouterr()
    entries = list(browse(path))
    assert [entry.number for entry in entries] == list(range(23))
    pairs = {pair.id: pair for pair in (*TRAIN, *TEST)}
    assert all(is_same(entry.read(), pairs[entry.get_text("id")]) for entry in entries)
    assert {entry.get_text("id") for entry in entries} == set(pairs)
    assert all(entry.split == entry.get_text("id").split("-")[0] for entry in entries)
    assert all(Path(entry.where).exists() for entry in entries)
    for split, there in (("train", TRAIN), ("test", TEST)):
        assert [entry.get_text("id") for entry in browse(path, split)] == [pair.id for pair in there]
    texts = list(browse(path, pictures=False))
    assert [(e.number, e.split, e.get_text("prompt")) for e in texts] == [
        (e.number, e.split, e.get_text("prompt")) for e in entries
    ]
    with pytest.raises(ConfigError, match=r"no split 'tset' \(there are: test, train\)"):
        list(browse(path, "tset"))
    copied = [file for file in arrow_cache.rglob("*") if file.is_file() and file.stat().st_size]
    assert not copied or layout == "saved"  # whose making copied
    assert capfd.readouterr() == ("", "")


def test_texts_alone_leave_pictures_on_disk(tmp_path: Path) -> None:
    write_parquet(tmp_path / "pairs", TEST, split="test")
    (entry, *_) = browse(str(tmp_path / "pairs"), pictures=False)
    assert not set(PICTURES) & set(entry.row) and entry.get_text("category") == TEST[0].category


def test_names_of_files_go_before_the_column(tmp_path: Path) -> None:
    write_clean(tmp_path / "pairs", 2, 2)
    shard = tmp_path / "pairs" / "train-00000.parquet"
    shard.write_bytes(encode_rows([{**row, "split": "test"} for row in load_rows(shard)]))
    assert [(e.split, e.get_text("split")) for e in browse(str(tmp_path / "pairs"))][2:] == [
        ("train", "test")
    ] * 2
    (tmp_path / "pairs" / "test-00000.parquet").unlink()
    assert [e.split for e in browse(str(tmp_path / "pairs"))] == ["test"] * 2  # one name tells nothing apart


def test_files_that_are_not_asked_for_stay_closed(tmp_path: Path) -> None:
    write_clean(tmp_path / "pairs", 20, 4)
    chosen = tmp_path / "pairs" / "train-00001.parquet"
    (tmp_path / "pairs" / "train-00000.parquet").write_bytes(b"nothing")
    entries = list(browse(str(tmp_path / "pairs"), files={str(chosen)}))
    assert [entry.get_text("id") for entry in entries] == [f"train-{n:03d}" for n in range(8, 16)]
    assert [entry.where for entry in entries] == [str(chosen)] * 8


def test_files_beside_the_known_splits_are_gone_through(tmp_path: Path) -> None:
    write_clean(tmp_path / "pairs", 2, 2)
    write_parquet(tmp_path / "pairs", TRAIN[2:3], split="extra")
    for place in (tmp_path / "pairs", tmp_path / "pairs" / "*.parquet"):
        assert sorted(e.split for e in browse(str(place))) == ["extra", *["test"] * 2, *["train"] * 2]
        assert len(list(browse(str(place), "train"))) == 2


def test_a_name_tells_the_split_where_no_column_does(tmp_path: Path) -> None:
    write_clean(tmp_path / "pairs", 2, 2)
    shard = tmp_path / "pairs" / "train-00000.parquet"
    from datasets import Dataset

    Dataset.from_parquet(str(shard), keep_in_memory=True).remove_columns(["split", "prompt"]).to_parquet(
        shard
    )
    (first, _) = browse(str(shard))
    assert first.split == "train" and first.row.get("prompt") is None
    assert first.read().prompt == f"a photo of {TRAIN[0].subcategory}"
    assert [e.split for e in browse(str(write_imagefolder(tmp_path / "folder", TRAIN[:2], None)))] == ["", ""]
    assert len(list(browse(str(tmp_path / "folder"), "test"))) == 2  # belongs to each


def list_problems(entries: list[Entry]) -> dict[str, Any]:
    return {Path(entry.where).name: entry.row[PROBLEM] for entry in entries if entry.row.get(PROBLEM)}


def test_damaged_shards_do_not_end_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_parquet(tmp_path / "pairs", TRAIN, split="train", shard_size=4)
    shards = sorted((tmp_path / "pairs").glob("*.parquet"))
    data = shards[0].read_bytes()
    shards[0].write_bytes(data[: len(data) // 2])
    shards[1].write_bytes(b"")
    shards[2].write_bytes(b"PAR1" + bytes(300) + data[304:])  # the head of the first column is gone
    from datasets import Dataset

    Dataset.from_parquet(str(shards[3]), keep_in_memory=True).remove_columns("ref_mask").to_parquet(shards[3])
    capfd.readouterr()
    entries = list(browse(str(tmp_path / "pairs")))
    problems = list_problems(entries)
    assert list(problems) == [f"train-{number:05d}.parquet" for number in range(4)]
    assert "no column ref_mask" in problems["train-00003.parquet"] and "ids" not in problems
    assert [entry.get_text("id") for entry in entries if not entry.row.get(PROBLEM)] == [
        p.id for p in TRAIN[16:]
    ]
    with pytest.raises(BadRecord, match=r"train-00000\.parquet: cannot be read"):
        entries[0].read()
    with pytest.raises(BadRecord, match=r"train-00000\.parquet: cannot be read"):
        entries[0].reader.load_bytes(entries[0].row, "ref_image")
    assert capfd.readouterr() == ("", "")


def test_what_is_before_the_damage_is_read(tmp_path: Path) -> None:
    pairs = [make_pair(number) for number in range(40)]
    write_parquet(tmp_path / "pairs", pairs, split="train")
    shard = tmp_path / "pairs" / "train-00000.parquet"
    data = shard.read_bytes()
    last = encode_rows([build_row(pair, "train") for pair in pairs[32:]])
    first_page = data.index(last[4:36])  # of the last group of rows
    shard.write_bytes(data[:first_page] + bytes(400) + data[first_page + 400 :])
    entries = list(browse(str(shard)))
    good = [entry.get_text("id") for entry in entries if not entry.row.get(PROBLEM)]
    assert good == [pair.id for pair in pairs[: len(good)]] and len(good) == 32
    assert len(list_problems(entries)) == 1 and len(entries) == 33


def test_lines_that_are_no_records(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", TRAIN[:3])
    text = (folder / "metadata.jsonl").read_text()
    (folder / "metadata.jsonl").write_text(text + "[]\n" + text.splitlines()[0] + "\n")
    *good, fourth, fifth = browse(str(folder))
    assert [entry.get_text("id") for entry in good] == [pair.id for pair in TRAIN[:3]]
    assert fourth.row == {PROBLEM: "line 4: not a JSON object"}
    assert fifth.row == {PROBLEM: "line 5: the id train-000 stands twice"}
    (folder / "metadata.jsonl").write_text("")
    (entry,) = browse(str(folder))
    assert "no lines" in entry.row[PROBLEM]


def test_pictures_are_loaded_as_they_are_stored(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", TRAIN[:2])
    write_parquet(tmp_path / "shards", TRAIN[:2], split="train")
    for path in (folder, tmp_path / "shards"):
        (entry, _) = browse(str(path))
        for column in PICTURES:
            assert entry.reader.load_bytes(entry.row, column) == build_row(TRAIN[0], "train")[column]["bytes"]
    (entry, _) = browse(str(folder))
    for name, message in (
        ("../pairs.png", "lies outside"),
        ("/etc/hostname", "lies outside"),
        ("none.png", "No such file"),
        (".", "not a regular file"),
        ("a\0b", "no file can have this path"),
        ("", "no picture"),
    ):
        row = {**entry.row, "ref_image": name}
        with pytest.raises(BadRecord, match=rf"record train-000: ref_image: .*{message}"):
            entry.reader.load_bytes(row, "ref_image")


def test_text_that_is_not_utf8_is_one_row(tmp_path: Path) -> None:
    pairs = [replace(pair, prompt="zyzzyva") for pair in TRAIN[:3]]
    pairs[1] = replace(pairs[1], prompt="zyzzyvb")
    shard = write_parquet(tmp_path / "pairs", pairs, split="train")[0]
    pq.write_table(pq.read_table(shard), shard, compression="none")
    data = shard.read_bytes()
    assert b"zyzzyvb" in data
    shard.write_bytes(data.replace(b"zyzzyvb", b"zyzzyv\xff"))
    entries = list(browse(str(shard)))
    assert [bool(entry.row.get(PROBLEM)) for entry in entries] == [False, True, False]
    assert entries[1].row[PROBLEM].startswith("row 1: ")


def test_a_shard_without_rows_has_none(tmp_path: Path) -> None:
    shard = write_parquet(tmp_path / "pairs", TRAIN[:2], split="train")[0]
    pq.write_table(pq.read_table(shard).slice(0, 0), shard)
    assert list(browse(str(shard))) == [] and list(browse(str(shard), pictures=False)) == []


def test_places_without_pairs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nobody/nothing: no such file or folder"):
        browse("nobody/nothing")
    with pytest.raises(DataError, match="an empty folder"):
        browse(str(tmp_path))
    (tmp_path / "dataset_dict.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset_dict\.json cannot be read"):
        browse(str(tmp_path))
