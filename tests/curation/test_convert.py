"""Pairs from one of our layouts into another: what comes back is what went in, bit for bit."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from published import encode, make_mask, make_rgb, put

from a2cli.cli import main
from a2cli.curation.convert import ConvertConfig, convert
from a2cli.curation.layouts.records import STEM_LENGTH, Failure, Written, get_stem
from a2cli.data.browse import browse
from a2cli.data.records import Pair
from a2cli.data.rows import PICTURES
from a2cli.data.shards import TEXTS, write_rows
from a2cli.data.tables import open_table
from a2cli.errors import ConfigError, DataError

IDS = ["a", "a.b/c", "train-7", "ü\n-", "x" * 300, "y" * 299 + "z", "-rf"]


@pytest.fixture(autouse=True)
def arrow_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `datasets` copies stays with the test."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    return tmp_path / "arrow"


def make_row(seed: int, id: str, category: str = "animals", **texts: str) -> dict[str, Any]:
    """A row of ours: JPEG and PNG pictures by turns, plain masks."""
    files = {
        "ref_image": encode(make_rgb(seed), "JPEG" if seed % 2 else "PNG"),
        "ref_mask": encode(make_mask(seed)),
        "tar_image": encode(make_rgb(seed + 50), "WEBP" if seed % 3 == 2 else "PNG"),
        "tar_mask": encode(make_mask(seed + 1)),
    }
    said = {
        "subcategory": "cat",
        "prompt": f"a cat, no. {seed}",
        "provenance": '{"licence": "CC0-1.0"}',
        **texts,
    }
    pictures = {name: {"bytes": data, "path": None} for name, data in files.items()}
    return {"id": id, "category": category, **said, **pictures}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Shards of two splits, with ids that are no file names."""
    categories = ["animals", "garments", "portraits", "accessories", "plants", "vehicles", "animals"]
    rows = [make_row(n, id, category) for n, (id, category) in enumerate(zip(IDS, categories, strict=True))]
    write_rows(tmp_path / "source", rows, split="train", shard_size=3)
    write_rows(tmp_path / "source", [make_row(40, "a"), make_row(42, "b", "garments")], split="test")
    return tmp_path / "source"


def run(source: Path | str, out: Path, **settings: Any) -> tuple[list[Written], list[Failure]]:
    outcomes = list(convert(ConvertConfig(str(source), out, **settings)))
    files = [outcome for outcome in outcomes if isinstance(outcome, Written)]
    return files, [outcome for outcome in outcomes if isinstance(outcome, Failure)]


def list_records(folder: Path | str) -> dict[tuple[str, str], dict[str, Any]]:
    """All texts and picture bytes, by split and id."""
    found = {}
    for entry in browse(str(folder)):
        row = {name: entry.get_text(name) for name in TEXTS if name != "split"}
        row |= {name: entry.reader.load_bytes(entry.row, name) for name in PICTURES}
        found[entry.split, entry.get_text("id")] = row
    return found


def list_pixels(folder: Path) -> dict[tuple[str, str], Pair]:
    return {(entry.split, entry.get_text("id")): entry.read() for entry in browse(str(folder))}


@pytest.mark.parametrize("layout", ["imagefolder", "webdataset", "parquet"])
def test_there_and_back_keeps_texts_and_bytes(tmp_path: Path, source: Path, layout: str) -> None:
    files, failed = run(source, tmp_path / "there", write=layout, shard_size=4)
    assert not failed and sum(file.records for file in files) == 9
    assert all(file.path.is_file() for file in files)
    _, failed = run(tmp_path / "there", tmp_path / "back", shard_size=4)
    assert not failed
    before, after = list_records(source), list_records(tmp_path / "back")
    assert len(before) == 9 and after == before


def test_any_insertion_gives_no_two_records_one_name(tmp_path: Path) -> None:
    rows = [make_row(number, id) for number, id in ((0, "train/object/a"), (4, "a"), (6, "train/object/b"))]
    for row in rows:
        row["category"] = "animals"
    write_rows(tmp_path / "source", rows, split="train")
    run(tmp_path / "source", tmp_path / "there", write="anyinsertion")
    run(tmp_path / "there", tmp_path / "back")
    assert len(list((tmp_path / "there" / "train" / "object" / "ref_mask").iterdir())) == 3
    assert list_records(tmp_path / "back") == list_records(tmp_path / "source")


def test_shards_are_of_the_stated_size_and_split(tmp_path: Path, source: Path) -> None:
    files, _ = run(source, tmp_path / "out", shard_size=4)
    assert [(f.path.name, f.split, f.records) for f in files] == [
        ("train-00000.parquet", "train", 4),
        ("test-00000.parquet", "test", 2),
        ("train-00001.parquet", "train", 3),
    ]
    counts = json.loads((tmp_path / "out" / "train-00001.json").read_text())
    assert counts["pairs"] == 3 and counts["categories"] == {"plants": 1, "vehicles": 1, "animals": 1}


def test_datasets_reads_what_was_written(tmp_path: Path, source: Path) -> None:
    """`load_dataset` finds the splits of a folder of shards, and of an imagefolder, with their pictures."""
    import datasets

    run(source, tmp_path / "shards")
    run(source, tmp_path / "folder", write="imagefolder")
    run(source, tmp_path / "tars", write="webdataset")
    put(tmp_path / "shards" / "failures.jsonl", "{}")
    pixels = list_pixels(source)
    for loaded in (
        datasets.load_dataset(str(tmp_path / "shards")),
        datasets.load_dataset(
            "parquet", data_files={s: f"{tmp_path}/shards/{s}-*.parquet" for s in ("train", "test")}
        ),
        datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "folder")),
    ):
        assert {name: len(rows) for name, rows in loaded.items()} == {"train": 7, "test": 2}
        assert set(loaded["train"].column_names) == {*TEXTS, *PICTURES}
        assert all(isinstance(loaded["train"].features[name], datasets.Image) for name in PICTURES)
        for row in loaded["train"]:
            assert np.array_equal(np.asarray(row["tar_image"]), pixels["train", row["id"]].tar_rgb)
            assert np.array_equal(np.asarray(row["ref_mask"]) == 255, pixels["train", row["id"]].ref_mask)
    tars = datasets.load_dataset(
        "webdataset", data_files={"test": f"{tmp_path}/tars/test-*.tar"}, split="test"
    )
    assert [row["json"]["id"] for row in tars] == ["a", "b"]
    assert np.array_equal(np.asarray(tars[0]["ref_image.png"]), pixels["test", "a"].ref_rgb)


@pytest.mark.parametrize("layout", ["parquet", "imagefolder"])
def test_a_run_opens_what_was_written(tmp_path: Path, source: Path, layout: str) -> None:
    run(source, tmp_path / "out", write=layout)
    table = open_table(str(tmp_path / "out"), "test")
    pairs = [table.reader.read(row) for row in table.rows]
    assert [pair.id for pair in pairs] == ["a", "b"] and pairs[1].prompt == "a cat, no. 42"


def test_tars_are_a_function_of_their_records(tmp_path: Path, source: Path) -> None:
    names = []
    for out in ("one", "two"):
        files, _ = run(source, tmp_path / out, write="webdataset", shard_size=3)
        names.append([(file.path.name, file.path.read_bytes()) for file in files])
    assert names[0] == names[1] and len(names[0]) == 4
    with tarfile.open(tmp_path / "one" / "train-00000.tar") as tar:
        members = tar.getmembers()
    assert [m.name for m in members[:5]] == [
        "a.json",
        "a.ref_image.png",
        "a.ref_mask.png",
        "a.tar_image.png",
        "a.tar_mask.png",
    ]
    assert members[5].name == "a%2Eb%2Fc.json" and members[6].name == "a%2Eb%2Fc.ref_image.jpg"
    assert all((m.mtime, m.uid, m.gid, m.uname, m.gname) == (0, 0, 0, "", "") for m in members)


def test_names_of_ids_are_short_safe_and_of_one_id_each() -> None:
    ids = [*IDS, "a%2Eb%2Fc", "a.b%2Fc", "A", "", "\ud800", *(chr(n) for n in range(256))]
    stems = [get_stem(id) for id in ids]
    assert len(set(stems)) == len(set(ids)) and max(map(len, stems)) == STEM_LENGTH
    assert all(
        stem.isascii() and not set(stem) & set("./\\ *?[") and not stem.startswith("-") for stem in stems
    )


def test_any_insertion_folders_hold_what_the_trainer_reads(tmp_path: Path, source: Path) -> None:
    """InsertAnything lists `ref_mask` and takes the files of that name from the other three folders, by OpenCV."""
    import cv2

    files, failed = run(source, tmp_path / "there", write="anyinsertion")
    places = {str(file.path.parent.relative_to(tmp_path / "there")): file.records for file in files}
    assert places == {
        "train/accessory": 2,  # an accessory and a garment
        "train/object": 4,
        "train/person": 1,
        "test/garment": 1,
        "test/object": 1,
    }
    pixels, read = list_pixels(source), 0
    for place in places:
        folder = tmp_path / "there" / place
        labels = json.loads((folder / "labels.json").read_text())
        texts = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
        ids = {text["name"]: (text["split"], text["id"]) for text in texts}
        for name in sorted(file.name for file in (folder / "ref_mask").iterdir()):
            pair = pixels[ids[name]]
            for column, array in (("ref_image", pair.ref_rgb), ("tar_image", pair.tar_rgb)):
                assert np.array_equal(cv2.imread(str(folder / column / name))[..., ::-1], array)
                assert (folder / column / name).read_bytes().startswith(b"\x89PNG")
            for column, mask in (("ref_mask", pair.ref_mask), ("tar_mask", pair.tar_mask)):
                assert np.array_equal((cv2.imread(str(folder / column / name)) > 128)[..., 0], mask)
            assert labels[name] == "cat"
            read += 1
    assert read == 9 and not failed


def test_any_insertion_there_and_back_keeps_pixels_and_texts(tmp_path: Path, source: Path) -> None:
    run(source, tmp_path / "there", write="anyinsertion")
    run(tmp_path / "there", tmp_path / "back")
    before, after = list_pixels(source), list_pixels(tmp_path / "back")
    assert set(before) == set(after) and len(after) == 9
    for key, pair in before.items():
        for name in ("ref_rgb", "ref_mask", "tar_rgb", "tar_mask"):
            assert np.array_equal(getattr(pair, name), getattr(after[key], name))
        for name in ("category", "subcategory", "prompt", "provenance"):
            assert getattr(pair, name) == getattr(after[key], name)


def test_split_category_and_limit_choose(tmp_path: Path, source: Path) -> None:
    for number, (settings, ids) in enumerate(
        [
            ({"split": "test"}, {("test", "a"), ("test", "b")}),
            ({"category": "garments"}, {("train", "a.b/c"), ("test", "b")}),
            ({"split": "train", "category": "animals"}, {("train", "a"), ("train", "-rf")}),
            ({"split": "train", "limit": 2}, {("train", "a"), ("train", "a.b/c")}),
        ]
    ):
        run(source, tmp_path / str(number), **settings)
        assert set(list_records(tmp_path / str(number))) == ids


def test_a_saved_data_set_and_a_minimal_one(tmp_path: Path, source: Path) -> None:
    """`save_to_disk` with class numbers for categories and no optional column; prompts are what a run would take."""
    from datasets import ClassLabel, Dataset, load_dataset

    rows: Dataset = load_dataset("parquet", data_files=str(source / "test-*.parquet"), split="train")
    rows = rows.remove_columns(["subcategory", "prompt", "provenance"])
    rows.cast_column("category", ClassLabel(names=["garments", "animals"])).save_to_disk(
        str(tmp_path / "saved")
    )
    _, failed = run(tmp_path / "saved", tmp_path / "out")
    records = list_records(tmp_path / "out")
    assert not failed and list(records) == [("test", "a"), ("test", "b")]
    assert [record["category"] for record in records.values()] == ["animals", "garments"]
    assert records["test", "b"]["prompt"] == "a photo of garments"


def test_masks_are_made_plain_and_other_pictures_kept(tmp_path: Path) -> None:
    mask, rgb = make_mask(1), make_rgb(1)
    soft = np.where(mask, 200, 30).astype(np.uint8)
    row = make_row(1, "x")
    for name, data in (
        ("ref_image", encode(np.dstack([rgb, np.full(mask.shape, 128, np.uint8)]))),
        ("ref_mask", encode(np.dstack([rgb, soft // 200 * 255]))),  # a cut-out: what is opaque is the subject
        ("tar_mask", encode(soft, "JPEG")),
    ):
        row[name] = {"bytes": data, "path": None}
    write_rows(tmp_path / "in", [row], split="train")
    run(tmp_path / "in", tmp_path / "out")
    [after] = list_records(tmp_path / "out").values()
    assert after["ref_image"] == row["ref_image"]["bytes"]
    for name in ("ref_mask", "tar_mask"):
        image = Image.open(put(tmp_path / "mask.png", after[name]))
        assert (image.format, image.mode) == ("PNG", "L")
        assert np.array_equal(np.asarray(image), mask * np.uint8(255))


def test_wrong_use_is_named_before_anything_is_written(tmp_path: Path, source: Path) -> None:
    put(tmp_path / "full" / "train-00000.parquet", b"")
    put(tmp_path / "notes" / "a.txt", "x")
    for settings, message in (
        ({"read": "webdatset"}, r"--from 'webdatset' is unknown \(did you mean 'webdataset'\?\)"),
        ({"write": "parkett"}, "--to 'parkett' is unknown .*did you mean 'parquet'"),
        ({"write": "viton-hd"}, "viton-hd is read, not written"),
        ({"write": "magicbrush"}, "magicbrush is read, not written"),
        ({"limit": 0}, "--limit must be 1 or more"),
        ({"shard_size": 0}, "--shard-size must be 1 or more"),
        ({"unpaired": True}, "--unpaired is for viton-hd, this is parquet"),
        ({"read": "imagefolder"}, "this is parquet, not imagefolder .*--from parquet"),
        ({"read": "viton-hd"}, "no train or test with image/ and cloth/"),
        ({"read": "anyinsertion", "split": "x/y"}, "cannot name a split"),
        ({"out": tmp_path / "full"}, "full: is not empty"),
        ({"out": source / "out"}, "lies in the source"),
        ({"split": "validation"}, "there is no split 'validation'"),
        ({"source": str(tmp_path / "nowhere")}, "nowhere: no such file or folder"),
        ({"source": str(tmp_path / "notes")}, "notes: holds no data set"),
        ({"source": "some/hub-id"}, "some/hub-id: no such file or folder"),
    ):
        with pytest.raises((ConfigError, DataError), match=message) as caught:
            list(convert(ConvertConfig(**{"source": str(source), "out": tmp_path / "out", **settings})))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("[!.]*"))


def test_the_command_prints_files_and_fails_with_3(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["dataset", "convert", str(source), "-o", str(out), "--split", "test", "--json"]) == 0
    printed, said = capsys.readouterr()
    assert json.loads(printed) == {
        "path": str(out / "test-00000.parquet"),
        "split": "test",
        "records": 2,
        "categories": {"animals": 1, "garments": 1},
    }
    assert said == ""
    assert main(["dataset", "convert", str(source), "-o", str(out)]) == 2
    assert capsys.readouterr().err == f"a2: {out}: is not empty (name another folder or clear it)\n"
    row = make_row(1, "b")
    rows = [make_row(0, "a"), {**row, "tar_image": {"bytes": row["tar_image"]["bytes"][:90], "path": None}}]
    write_rows(tmp_path / "bad", rows, split="train")
    assert (
        main(
            ["dataset", "convert", str(tmp_path / "bad"), "-o", str(tmp_path / "rest"), "--to", "webdataset"]
        )
        == 3
    )
    printed, said = capsys.readouterr()
    assert printed == f"{tmp_path}/rest/train-00000.tar\n"
    assert said.count("\n") == 1 and "record b: tar_image: picture: cannot be decoded" in said
    [failure] = map(json.loads, (tmp_path / "rest" / "failures.jsonl").read_text().splitlines())
    assert failure["id"] == "b" and failure["stage"] == "read" and failure["detail"] in said
