"""What a path holds, and what is said of a path or a split that holds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from pair_folders import make_pairs, write_imagefolder

from a2cli.data.layouts import find_layout
from a2cli.errors import A2Error, ConfigError, DataError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def get_names(layout_path: str, split: str, root: Path) -> list[str]:
    return [str(file.relative_to(root)) for file in find_layout(layout_path, split).files]


def test_shards_of_one_split_are_told_by_their_names(tmp_path: Path) -> None:
    names = [
        "data/train-00001.parquet",
        "data/train-00000.parquet",
        "test/a.parquet",
        "data/.train-2.parquet",
    ]
    touch(tmp_path, *names, "data/train-00000.json", ".train.new.tmp/x.parquet")
    trains = ["data/train-00000.parquet", "data/train-00001.parquet"]
    assert get_names(str(tmp_path), "train", tmp_path) == trains
    assert get_names(f"{tmp_path}/*/*.parquet", "train", tmp_path) == trains
    assert get_names(str(tmp_path), "test", tmp_path) == ["test/a.parquet"]
    assert find_layout(str(tmp_path), "test").named
    with pytest.raises(ConfigError, match=r"no split 'val'.*there are: test, train"):
        find_layout(str(tmp_path), "val")


def test_a_folder_says_more_than_the_file_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "train/test_objects.parquet", "dev/train_objects.parquet")
    assert get_names(str(tmp_path), "train", tmp_path) == ["train/test_objects.parquet"]
    assert get_names(str(tmp_path), "validation", tmp_path) == ["dev/train_objects.parquet"]


def test_names_that_tell_one_split_or_none_leave_it_to_the_column(tmp_path: Path) -> None:
    names = ["contrain-0.parquet", "train-1.parquet", "x.parquet"]
    layout = find_layout(str(touch(tmp_path, *names)), "test")
    assert [file.name for file in layout.files] == names and not layout.named


def test_imagefolders_of_one_folder_a_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_imagefolder(tmp_path / split, make_pairs(2, split), split)
    assert get_names(str(tmp_path), "test", tmp_path) == ["test/metadata.jsonl"]
    with pytest.raises(ConfigError, match=r"no split 'validation'.*there are: test, train"):
        find_layout(str(tmp_path), "validation")
    assert find_layout(str(tmp_path / "test" / "metadata.jsonl"), "test").kind == "imagefolder"


def test_a_hub_id_is_what_is_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(touch(tmp_path, "own/pairs/x.parquet"))
    assert find_layout("own/pairs", "train").kind == "parquet"
    assert find_layout("own/other", "train").kind == "hub"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", r"nowhere: no such file or folder \(name a folder with metadata.jsonl"),
        ("empty", "empty: an empty folder"),
        ("notes", "notes: holds no data set"),
        ("notes/a.txt", "a.txt: not a data set a2 reads"),
        ("notes/*.parquet", "no parquet file has such a name"),
        ("no\0where", r"no\\x00where: no such file"),
        ("x" * 300, "cannot be read: .*too long"),
    ],
)
def test_a_path_without_pairs_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "notes/a.txt")
    with pytest.raises(DataError, match=message) as caught:
        find_layout(str(tmp_path / name), "train")
    assert "\n" not in str(caught.value)


def test_a_damaged_list_of_splits_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text("{")
    with pytest.raises(A2Error, match=r"dataset_dict\.json cannot be read"):
        find_layout(str(tmp_path), "train")
