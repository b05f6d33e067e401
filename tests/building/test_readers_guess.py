"""What a source is taken for where its kind is not said."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_folders import draw_mask, draw_picture, film, load, read, save, save_video

from a2cli.building.readers import guess_kinds
from a2cli.errors import DataError


def test_the_kind_is_guessed_from_names(tmp_path: Path) -> None:
    save(tmp_path / "objects" / "a" / "1.png", draw_picture())
    save(tmp_path / "objects" / "a" / "2.png", draw_picture())
    save(tmp_path / "mixed" / "1.png", draw_picture())
    for name in (
        "mixed/a.mp4",
        "films/x/a.MOV",
        "shards/1.tar",
        "list.jsonl",
        "table/metadata.csv",
        "odd.xyz",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "nothing").mkdir()
    guessed = {
        name: guess_kinds(tmp_path / name) for name in ("objects", "films", "shards", "list.jsonl", "table")
    }
    assert list(guessed.values()) == [
        ("views",),
        ("videos",),
        ("webdataset",),
        ("manifest",),
        ("imagefolder",),
    ]
    save(tmp_path / "objects" / "b" / "1.png", draw_picture())
    assert guess_kinds(tmp_path / "objects") == ("images",)
    assert guess_kinds(tmp_path / "objects" / "b" / "1.png") == ("images",)
    assert guess_kinds(str(tmp_path / "*" / "?.tar")) == ("webdataset",)
    (tmp_path / "shards" / "cover.png").touch()
    for name, words in {
        "shards": "holds images and webdataset",
        "nothing": "holds nothing",
        "odd.xyz": "not a file a2 builds from",
        "missing": "no such file",
    }.items():
        with pytest.raises(DataError, match=words):
            guess_kinds(tmp_path / name)


def test_videos_and_pictures_in_one_folder_are_read_both(tmp_path: Path) -> None:
    save_video(tmp_path / "dogs" / "000.mp4", film(6))
    save(tmp_path / "dogs" / "000.mask.png", draw_mask())  # a mask is no picture
    assert guess_kinds(tmp_path) == ("videos",)
    save(tmp_path / "dogs" / "000.png", draw_picture())
    save(tmp_path / "dogs" / "001.png", draw_picture(1))
    assert guess_kinds(tmp_path) == ("videos", "images")
    (tmp_path / "dogs" / "elsewhere").symlink_to(tmp_path)
    inputs, rejects = read(tmp_path)
    assert [(one.id, one.kind, one.group) for one in inputs] == [
        ("dogs/000", "videos", "dogs/000"),
        ("dogs/000~", "images", "dogs/000"),
        ("dogs/001", "images", "dogs/001"),
    ]
    assert [one.id for one in rejects] == ["dogs/elsewhere/"]
    assert [len(load(one, tmp_path).views) > 1 for one in inputs] == [True, False, False]


def test_views_of_objects_beside_a_folder_of_videos(tmp_path: Path) -> None:
    save_video(tmp_path / "dogs" / "000.mp4", film(6))
    for number in range(4):
        save(tmp_path / "mugs" / str(number // 2) / f"{number}.png", draw_picture(number))
    assert guess_kinds(tmp_path) == ("videos", "views")
    inputs, _ = read(tmp_path)
    assert [(one.id, len(one.names)) for one in inputs] == [("dogs/000", 1), ("mugs/0", 2), ("mugs/1", 2)]
