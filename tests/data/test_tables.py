"""Opening through `datasets`: splits, columns, what is copied, and one line for whatever goes wrong."""

from __future__ import annotations

import json
import shutil
import socket
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pair_folders import is_same, make_pair, make_pairs, write_imagefolder, write_layout, write_saved

from a2cli.data.records import Pair
from a2cli.data.shards import write_parquet
from a2cli.data.source import SourceConfig, open_source
from a2cli.data.tables import open_stream, open_table
from a2cli.errors import A2Error, ConfigError, DataError

PAIRS = make_pairs(10)


def read_all(path: str | Path, split: str = "train", **settings: Any) -> list[Pair]:
    source = open_source(SourceConfig(path=str(path), split=split, **settings), seed=0)
    assert source.count is not None
    return sorted((source.get_pair(i) for i in range(source.count)), key=lambda pair: pair.id)


def get_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def change_shards(folder: Path, change: Any) -> Path:
    """Rewrite every shard of a folder through `datasets`."""
    from datasets import Dataset

    for shard in folder.glob("*.parquet"):
        rows = Dataset.from_parquet(str(shard), keep_in_memory=True)
        change(rows).to_parquet(shard)
    return folder


@pytest.mark.parametrize("layout", ["imagefolder", "parquet", "saved"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_missing_column_is_named_with_those_there(
    tmp_path: Path, arrow_cache: Path, layout: str, streaming: bool
) -> None:
    path = Path(write_layout(layout, tmp_path / "pairs", PAIRS))
    missing = "tar_mask"
    if layout == "imagefolder":
        lines = [json.loads(line) for line in (path / "metadata.jsonl").read_text().splitlines()]
        rows = [{k: v for k, v in row.items() if k != "tar_mask_file_name"} for row in lines]
        (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        missing = "tar_mask_file_name"
    elif layout == "parquet":
        change_shards(path, lambda rows: rows.remove_columns("tar_mask"))
    else:
        from datasets import load_from_disk

        load_from_disk(path).remove_columns("tar_mask").save_to_disk(tmp_path / "less")
        path = tmp_path / "less"
    with pytest.raises(DataError, match=rf"{path.name}.*: no column {missing} \(there are: id, split, cat"):
        open_source(SourceConfig(path=str(path), streaming=streaming), seed=0)


@pytest.mark.parametrize("streaming", [False, True])
def test_optional_columns_may_be_absent(tmp_path: Path, arrow_cache: Path, streaming: bool) -> None:
    folder = tmp_path / "pairs"
    write_parquet(folder, PAIRS, split="train")
    change_shards(folder, lambda rows: rows.remove_columns(["split", "subcategory", "prompt", "provenance"]))
    for found, pair in zip(read_all(folder, streaming=streaming), PAIRS, strict=True):
        prompt = f"a photo of {pair.category}"
        assert is_same(found, replace(pair, subcategory="", prompt=prompt, provenance=""))


@pytest.mark.parametrize("streaming", [False, True])
def test_the_column_tells_splits_where_names_do_not(
    tmp_path: Path, arrow_cache: Path, streaming: bool
) -> None:
    from datasets import Dataset

    trains, tests = make_pairs(6), make_pairs(5, "test")
    write_parquet(tmp_path / "a", trains, split="train", shard_size=6)
    write_parquet(tmp_path / "b", tests, split="test", shard_size=5)
    files = [str(tmp_path / "a/train-00000.parquet"), str(tmp_path / "b/test-00000.parquet")]
    mixed = Dataset.from_parquet(files).shuffle(seed=0)
    (tmp_path / "shards").mkdir()
    mixed.to_parquet(tmp_path / "shards" / "pairs.parquet")
    mixed.save_to_disk(tmp_path / "saved")
    folder = write_imagefolder(tmp_path / "images", trains)
    write_imagefolder(folder / "more", tests, "test")
    rows = [json.loads(line) for line in (folder / "more" / "metadata.jsonl").read_text().splitlines()]
    rows = [{k: f"more/{v}" if k.endswith("_file_name") else v for k, v in row.items()} for row in rows]
    with (folder / "metadata.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    for path in (tmp_path / "shards", tmp_path / "saved", folder):
        for split, pairs in (("train", trains), ("test", tests)):
            found = read_all(path, split, streaming=streaming)
            assert len(found) == len(pairs) and all(map(is_same, found, pairs))
        with pytest.raises(ConfigError, match=r"no split 'val' \(there are: test, train\)"):
            read_all(path, "val", streaming=streaming)


def test_saved_splits_are_folders(tmp_path: Path, arrow_cache: Path) -> None:
    from datasets import DatasetDict, load_from_disk

    splits = {"train": PAIRS[:4], "val": PAIRS[4:7]}
    parts = {name: load_from_disk(write_saved(tmp_path / name, pairs)) for name, pairs in splits.items()}
    DatasetDict(parts).save_to_disk(tmp_path / "both")
    for name, pairs in splits.items():
        assert all(map(is_same, read_all(tmp_path / "both", name), pairs))
    with pytest.raises(ConfigError, match=r"no split 'test' \(there are: train, val\)"):
        read_all(tmp_path / "both", "test")


def test_categories_stored_as_class_numbers_are_words_again(tmp_path: Path, arrow_cache: Path) -> None:
    write_parquet(tmp_path / "pairs", PAIRS, split="train")
    folder = change_shards(tmp_path / "pairs", lambda rows: rows.class_encode_column("category"))
    assert all(map(is_same, read_all(folder), PAIRS))


@pytest.mark.parametrize("streaming", [False, True])
def test_splits_stored_as_class_numbers_are_told_apart(
    tmp_path: Path, arrow_cache: Path, streaming: bool
) -> None:
    from datasets import Dataset

    write_parquet(tmp_path / "a", make_pairs(4), split="train")
    write_parquet(tmp_path / "a", make_pairs(3, "test"), split="test")
    files = [str(tmp_path / f"a/{split}-00000.parquet") for split in ("train", "test")]
    rows = Dataset.from_parquet(files).class_encode_column("split")
    rows.save_to_disk(tmp_path / "saved")
    (tmp_path / "shards").mkdir()
    rows.to_parquet(tmp_path / "shards" / "pairs.parquet")
    for path in (tmp_path / "saved", tmp_path / "shards"):
        assert all(map(is_same, read_all(path, "test", streaming=streaming), make_pairs(3, "test")))
        assert len(read_all(path, "train", streaming=streaming)) == 4
        with pytest.raises(ConfigError, match=r"no split 'val' \(there are: test, train\)"):
            read_all(path, "val", streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_data_set_without_records_is_refused(tmp_path: Path, arrow_cache: Path, streaming: bool) -> None:
    from datasets import Dataset

    rows = Dataset.from_parquet(str(write_parquet(tmp_path / "a", PAIRS, split="train")[0])).select([])
    (tmp_path / "none").mkdir()
    rows.to_parquet(tmp_path / "none" / "pairs.parquet")
    with pytest.raises(DataError, match="none: no records"):
        open_source(SourceConfig(path=str(tmp_path / "none"), streaming=streaming), seed=0)


def test_only_parquet_is_copied_and_that_once(
    tmp_path: Path, arrow_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for layout in ("imagefolder", "saved"):
        path = write_layout(layout, tmp_path / layout, PAIRS)
        before = get_bytes(arrow_cache)  # what making the saved data set left
        read_all(path)
        read_all(path, streaming=True)
        assert get_bytes(arrow_cache) == before
    shutil.rmtree(arrow_cache)
    folder = tmp_path / "shards"
    write_parquet(folder, PAIRS, split="train", shard_size=2)
    read_all(folder, streaming=True)
    read_all(folder, streaming=True, pairs=3)
    assert get_bytes(arrow_cache) == 0
    read_all(folder, pairs=3)
    assert len(list(arrow_cache.rglob("*.arrow"))) == 1
    few = get_bytes(arrow_cache)
    shutil.rmtree(arrow_cache)
    read_all(folder)
    copied = get_bytes(arrow_cache)
    assert few < 0.6 * copied  # two of five shards
    read_all(folder)
    assert get_bytes(arrow_cache) == copied and not caplog.messages


def test_a_copy_that_does_not_fit_is_not_begun(
    tmp_path: Path, arrow_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "pairs", PAIRS, split="train")
    usage = namedtuple("usage", "total used free")(1, 1, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"pairs: no room for a copy .*data\.streaming: true"):
        open_table(str(tmp_path / "pairs"), "train")
    assert get_bytes(arrow_cache) == 0
    assert open_stream(str(tmp_path / "pairs"), "train").count == 10


def test_a_large_copy_is_announced_once(
    tmp_path: Path, arrow_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_parquet(tmp_path / "pairs", PAIRS, split="train")
    monkeypatch.setattr("a2cli.data.parquet.LARGE_COPY", 100)
    for _ in range(2):
        open_table(str(tmp_path / "pairs"), "train")
    assert len(caplog.messages) == 1 and "copied once" in caplog.messages[0]
    assert "HF_DATASETS_CACHE" in caplog.messages[0]


def test_names_of_files_are_no_patterns(tmp_path: Path, arrow_cache: Path) -> None:
    folder = tmp_path / "a [1] *ü"
    write_parquet(folder, PAIRS, split="train")
    (folder / "train-00000.parquet").rename(folder / "x[0-9] ?.parquet")
    for streaming in (False, True):
        assert all(map(is_same, read_all(folder, streaming=streaming), PAIRS))
    images = write_imagefolder(tmp_path / "b [2] *ü", PAIRS)
    assert all(map(is_same, read_all(images), PAIRS))


@pytest.mark.parametrize("streaming", [False, True])
def test_a_damaged_shard_is_named_in_one_line(tmp_path: Path, arrow_cache: Path, streaming: bool) -> None:
    paths = write_parquet(tmp_path / "pairs", PAIRS, split="train", shard_size=5)
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    with pytest.raises(DataError, match=r"train-00001\.parquet: cannot be read: ") as caught:
        open_source(SourceConfig(path=str(tmp_path / "pairs"), streaming=streaming), seed=0)
    assert "\n" not in str(caught.value)


def test_a_stream_that_breaks_is_one_line(tmp_path: Path, arrow_cache: Path) -> None:
    paths = write_parquet(tmp_path / "pairs", PAIRS, split="train", shard_size=5)
    source = open_source(SourceConfig(path=str(tmp_path / "pairs"), streaming=True, shuffle_buffer=1), seed=0)
    for path in paths:
        path.unlink()
    for _ in range(2):
        with pytest.raises(DataError, match="pairs: cannot be read: "):
            source.get_pair(0)


def test_a_picture_kept_by_path_stays_in_its_folder(tmp_path: Path, arrow_cache: Path) -> None:
    """Shards from anywhere may name files; a data set that `datasets` saved here names its own."""
    from datasets import load_from_disk

    picture = write_imagefolder(tmp_path / "images", [make_pair(0)]) / "000.tar_image.png"

    def move_out(row: dict[str, Any]) -> dict[str, Any]:
        return {"tar_image": {"bytes": None, "path": str(picture)}}

    folder, saved = tmp_path / "pairs", write_saved(tmp_path / "saved", [make_pair(0)])
    write_parquet(folder, [make_pair(0)], split="train")
    change_shards(folder, lambda rows: rows.map(move_out))
    with pytest.raises(DataError, match=r"record train-000: tar_image: .* lies outside"):
        open_source(SourceConfig(path=str(folder)), seed=0).read(0)
    load_from_disk(saved).map(move_out).save_to_disk(tmp_path / "moved")
    assert is_same(read_all(tmp_path / "moved")[0], make_pair(0))


@pytest.mark.parametrize("layout", ["imagefolder", "parquet", "saved"])
def test_what_lies_here_needs_no_network(
    tmp_path: Path, arrow_cache: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    path = write_layout(layout, tmp_path / "pairs", PAIRS)
    asked: list[Any] = []
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: asked.append(arguments))
    for streaming in (False, True):
        assert len(read_all(path, streaming=streaming)) == 10
    assert not asked


def test_a_hub_id_out_of_reach_is_one_line(arrow_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for streaming in (False, True):
        with pytest.raises(A2Error, match=r"nobody/nothing: cannot be read: .*taken for a hub id") as caught:
            open_source(SourceConfig(path="nobody/nothing", streaming=streaming), seed=0)
        assert "\n" not in str(caught.value)


def test_the_settings_of_datasets_are_left_as_they_were(tmp_path: Path, arrow_cache: Path) -> None:
    import datasets

    before = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    write_parquet(tmp_path / "pairs", PAIRS, split="train")
    read_all(tmp_path / "pairs")
    assert (datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()) == before
