"""Published layouts into ours: which file becomes which column, what masks mark, what is known of a pair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from published import (
    SIZE,
    encode,
    get_pair_files,
    hash_of,
    make_hole,
    make_labels,
    make_mask,
    make_parse,
    make_rgb,
    put,
    write_any_insertion,
    write_any_insertion_shards,
    write_magic_brush,
    write_magic_brush_shards,
    write_shard,
    write_viton_hd,
)

from a2cli.curation.convert import ConvertConfig, convert
from a2cli.curation.layouts.detect import detect_layout
from a2cli.curation.layouts.records import Failure
from a2cli.curation.layouts.viton_hd import load_indices
from a2cli.data.browse import browse
from a2cli.data.provenance import parse_provenance
from a2cli.data.records import Pair
from a2cli.data.rows import PICTURES
from a2cli.data.tables import open_table
from a2cli.errors import DataError


@pytest.fixture(autouse=True)
def arrow_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `datasets` copies stays with the test."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    return tmp_path / "arrow"


def run(source: Path, **settings: Any) -> tuple[dict[str, Pair], list[Failure]]:
    """Convert into shards beside the source; the pairs by id, and what failed."""
    out = source.with_name(f"{source.name}-out-{len(list(source.parent.iterdir()))}")
    outcomes = list(convert(ConvertConfig(str(source), out, **settings)))
    pairs = {entry.get_text("id"): entry.read() for entry in browse(str(out))}
    assert all(entry.split == parse_split(entry.get_text("id"), entry.split) for entry in browse(str(out)))
    return pairs, [outcome for outcome in outcomes if isinstance(outcome, Failure)]


def parse_split(id: str, split: str) -> str:
    """The split that an id names, where it names one."""
    return id.split("/")[0] if "/" in id else split


def load_rgb(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def load_bytes(source: Path, id: str, out: Path) -> dict[str, bytes]:
    list(convert(ConvertConfig(str(source), out)))
    [entry] = [entry for entry in browse(str(out)) if entry.get_text("id") == id]
    return {name: entry.reader.load_bytes(entry.row, name) for name in PICTURES}


def test_every_layout_is_recognised(tmp_path: Path) -> None:
    for name, folder in (
        ("anyinsertion", write_any_insertion(tmp_path / "a")),
        ("anyinsertion", tmp_path / "a" / "train"),
        ("anyinsertion", tmp_path / "a" / "train" / "object"),
        ("anyinsertion", write_any_insertion_shards(tmp_path / "b")),
        ("anyinsertion", write_any_insertion_shards(tmp_path / "c", "label")),
        ("anyinsertion", write_any_insertion_shards(tmp_path / "bare", "")),
        ("viton-hd", write_viton_hd(tmp_path / "d")),
        ("magicbrush", write_magic_brush(tmp_path / "e")),
        ("magicbrush", tmp_path / "e" / "test"),
        ("magicbrush", write_magic_brush_shards(tmp_path / "f")),
        ("magicbrush", tmp_path / "f" / "data" / "dev-*.parquet"),
    ):
        assert detect_layout(str(folder)) == name, folder


@pytest.mark.parametrize("write", [write_any_insertion, write_any_insertion_shards])
def test_any_insertion(tmp_path: Path, write: Any) -> None:
    pairs, failed = run(write(tmp_path / "source"))
    assert not failed
    assert {id: (pair.category, pair.subcategory) for id, pair in pairs.items()} == {
        "train/accessory/9": ("garments", "trousers"),  # the label knows better than the folder
        "train/accessory/10": ("accessories", "hat"),
        "train/object/9": ("furniture", "pillow"),
        "train/object/10": ("object", "momordica charantia"),
        "train/object/11": ("plants", "fruit"),
        "train/person/9": ("portraits", ""),
        "test/garment/9": ("garments", "dress"),
    }
    for id, pair in pairs.items():
        split, word, number = id.split("/")
        seed = hash_of(split, word, int(number))
        assert np.array_equal(pair.ref_rgb, make_rgb(seed)) and np.array_equal(
            pair.tar_rgb, make_rgb(seed + 1000)
        )
        assert np.array_equal(pair.ref_mask, make_mask(seed)) and np.array_equal(
            pair.tar_mask, make_mask(seed + 3)
        )
        assert parse_provenance(pair.provenance).rights.source == "AnyInsertion"
    assert parse_provenance(pairs["train/accessory/9"].provenance).tools == {
        "label": "AnyInsertion accessory Trousers"
    }
    assert pairs["train/object/11"].prompt == "a photo of banana"
    assert pairs["train/person/9"].prompt == "a photo of person"


def test_any_insertion_keeps_bytes_and_its_numbers(tmp_path: Path) -> None:
    """Into ours the files of the hub go as they are; from ours into folders they get their names back."""
    source = write_any_insertion_shards(tmp_path / "source")
    assert load_bytes(source, "train/object/10", tmp_path / "ours") == get_pair_files(
        hash_of("train", "object", 10)
    )
    list(convert(ConvertConfig(str(source), tmp_path / "folders", write="anyinsertion")))
    made = {str(file.relative_to(tmp_path / "folders")) for file in (tmp_path / "folders").rglob("*.png")}
    published = {
        str(file.relative_to(tmp_path / "same"))
        for file in write_any_insertion(tmp_path / "same").rglob("*.png")
    }
    assert made == published and len(made) == 4 * 7


def test_any_insertion_without_labels_goes_by_its_words(tmp_path: Path) -> None:
    pairs, failed = run(write_any_insertion_shards(tmp_path / "source", ""))
    assert not failed
    assert {id: pair.category for id, pair in pairs.items() if id.endswith("/9")} == {
        "train/accessory/9": "accessories",
        "train/object/9": "object",
        "train/person/9": "portraits",
        "test/garment/9": "garments",
    }


def test_any_insertion_prompts_and_lists_without_labels(tmp_path: Path) -> None:
    folder = write_any_insertion(tmp_path / "source") / "train" / "object"
    put(folder / "prompts.json", '\ufeff{"9.png": "a red pillow on the chair"}')
    put(folder / "labels.json", "{")
    pairs, failed = run(tmp_path / "source", split="train")
    assert pairs["train/object/9"].prompt == "a red pillow on the chair"
    assert (
        pairs["train/object/9"].category == "object" and pairs["train/accessory/10"].category == "accessories"
    )
    assert [failure.reason for failure in failed] == ["labels cannot be read"]
    assert "train/object/labels.json: cannot be read" in failed[0].detail


def test_missing_partners_are_named(tmp_path: Path) -> None:
    source = write_any_insertion(tmp_path / "source")
    (source / "train/object/tar_mask/10.png").unlink()
    put(source / "train/person/ref_image/77.png", encode(make_rgb(1)))
    pairs, failed = run(source)
    assert len(pairs) == 6
    assert [failure.id for failure in failed] == ["train/object/10", "train/person/77"]
    assert "tar_mask/10.png: cannot be opened: No such file" in failed[0].detail
    assert "ref_mask/77.png" in failed[1].detail


def test_viton_hd_paired(tmp_path: Path) -> None:
    """Person and garment share a name, whatever the test file pairs; the target mask is the agnostic one."""
    source = write_viton_hd(tmp_path / "source")
    pairs, failed = run(source)
    assert not failed
    assert list(pairs) == [
        *(f"test/{name}" for name in ("00006_00", "00008_00", "00013_00")),
        *(f"train/{name}" for name in ("00000_00", "00001_00")),
    ]
    for id, number in (("train/00001_00", 1), ("test/00013_00", 2)):
        pair, provenance = pairs[id], parse_provenance(pairs[id].provenance)
        split, name = id.split("/")
        assert np.array_equal(pair.ref_rgb, load_rgb(source / split / "cloth" / f"{name}.jpg"))
        assert np.array_equal(pair.tar_rgb, load_rgb(source / split / "image" / f"{name}.jpg"))
        assert np.array_equal(pair.ref_mask, make_mask(number))
        assert np.array_equal(pair.tar_mask, make_mask(number + 2))
        assert pair.category == "garments" and provenance.rights.licence == "CC-BY-NC-4.0"
        assert provenance.group == f"viton-hd/{id.split('/')[1]}"
        assert provenance.tools == {"mask": "agnostic-mask", "pairing": "paired"}


def test_viton_hd_pictures_keep_their_bytes(tmp_path: Path) -> None:
    source = write_viton_hd(tmp_path / "source")
    found = load_bytes(source, "train/00001_00", tmp_path / "out")
    assert found["ref_image"] == (source / "train/cloth/00001_00.jpg").read_bytes()
    assert found["tar_image"] == (source / "train/image/00001_00.jpg").read_bytes()
    assert found["tar_mask"] == (source / "train/agnostic-mask/00001_00_mask.png").read_bytes()


def test_viton_hd_unpaired(tmp_path: Path) -> None:
    pairs, failed = run(write_viton_hd(tmp_path / "source"), unpaired=True, split="test")
    assert not failed
    assert list(pairs) == ["test/00006_00+00008_00", "test/00008_00+00013_00", "test/00013_00+00006_00"]
    pair = pairs["test/00013_00+00006_00"]
    assert np.array_equal(pair.ref_mask, make_mask(0)) and np.array_equal(pair.tar_mask, make_mask(4))
    assert parse_provenance(pair.provenance).tools["pairing"] == "unpaired"


def test_viton_hd_masks_from_the_parse_are_labels_not_colours(tmp_path: Path) -> None:
    """Labels 5 and 7 of the palette picture; the trousers, 9, have the colour of 5."""
    pairs, failed = run(write_viton_hd(tmp_path / "source", agnostic=False), split="train")
    assert not failed
    for number, pair in enumerate(pairs.values()):
        labels = make_labels(number)
        assert np.array_equal(pair.tar_mask, (labels == 5) | (labels == 7)) and (labels == 9).any()
        assert parse_provenance(pair.provenance).tools["mask"] == "image-parse labels 5, 6, 7"
    assert np.array_equal(load_indices(make_parse(1)), make_labels(1))
    assert np.array_equal(load_indices(encode(make_labels(1))), make_labels(1))
    for data, message in (
        (encode(make_rgb(1)), "the parse is PNG RGB, not one index a pixel"),
        (encode(make_labels(1) * 9), r"the parse has the label 117, LIP has 20"),
    ):
        with pytest.raises(DataError, match=message):
            load_indices(data)


def test_viton_hd_faults_leave_one_pair_out(tmp_path: Path) -> None:
    source = write_viton_hd(tmp_path / "source")
    put(tmp_path / "outside.jpg", encode(make_rgb(1), "JPEG"))
    lines = [
        "../../../outside.jpg x.jpg",
        "",
        "one.jpg",
        "00000_00.jpg 00000_00.jpg",
        "00404_00.jpg 00404_00.jpg",
    ]
    put(source / "train_pairs.txt", "\n".join(lines))
    (source / "test/cloth-mask/00008_00.jpg").unlink()
    put(source / "test/image/00013_00.jpg", "no picture")
    pairs, failed = run(source)
    assert set(pairs) == {"train/00000_00", "test/00006_00"}
    said = {failure.id: failure.detail for failure in failed}
    assert "lies outside" in said["train/../../../outside"]
    assert "train_pairs.txt: line 3: not two names" in said["train_pairs.txt:3"]
    assert "00404_00" in said["train/00404_00"] and "No such file" in said["train/00404_00"]
    assert "cloth-mask/00008_00.jpg: cannot be opened: No such file" in said["test/00008_00"]
    assert "tar_image: picture: not a picture a2 reads" in said["test/00013_00"]
    (source / "test_pairs.txt").unlink()
    pairs, failed = run(source, split="test", unpaired=False)
    assert set(pairs) == {"test/00006_00"} and len(failed) == 2


@pytest.mark.parametrize("write", [write_magic_brush, write_magic_brush_shards])
def test_magic_brush(tmp_path: Path, write: Any) -> None:
    """The region is the transparent part of the mask; the reference is the target under it."""
    pairs, failed = run(write(tmp_path / "source"))
    assert not failed and set(pairs) == {"139306-1", "139306-2", "242679-1"}
    for id, pair in pairs.items():
        image, turn = map(int, id.split("-"))
        assert np.array_equal(pair.tar_rgb, make_rgb(image + turn))
        assert np.array_equal(pair.tar_mask, make_mask(image + turn))
        assert np.array_equal(pair.ref_rgb, pair.tar_rgb) and np.array_equal(pair.ref_mask, pair.tar_mask)
        provenance = parse_provenance(pair.provenance)
        assert provenance.group == f"magicbrush/{image}" and provenance.rights.licence == "CC-BY-4.0"
        assert provenance.generated == {"model": "DALL-E 2", "prompt": pair.prompt}
    assert pairs["242679-1"].prompt == "Put a cat on the fence"
    assert (pairs["242679-1"].category, pairs["242679-1"].subcategory) == ("animals", "cat")
    assert pairs["139306-2"].category == "object"


def test_magic_brush_splits(tmp_path: Path) -> None:
    source = write_magic_brush_shards(tmp_path / "source")
    list(convert(ConvertConfig(str(source), tmp_path / "out")))
    for split, ids in (("train", ["139306-1", "139306-2"]), ("dev", ["242679-1"])):
        table = open_table(str(tmp_path / "out"), split)
        assert [row["id"] for row in table.rows] == ids
    assert set(run(source, split="dev")[0]) == {"242679-1"}


def test_magic_brush_masks_in_every_published_form(tmp_path: Path) -> None:
    """Mostly transparent, without alpha (black over the source, over the target), and black and white."""
    large = np.ones(SIZE[::-1], bool)
    large[:3] = False
    small, source, target = make_mask(5), make_rgb(70), make_rgb(71)
    rows = []
    for turn, (data, _) in enumerate(
        forms := [
            (make_hole(70, large), large),
            (encode(np.where(small[..., None], np.uint8(0), source)), small),
            (encode(np.where(small[..., None], np.uint8(0), target)), small),
            (encode(np.where(small[..., None], np.uint8(255), source)), small),
            (encode(small), small),
            (encode(source), None),
            (encode(cv2.blur(source, (3, 3))), None),
        ],
        start=1,
    ):
        pictures = {"source_img": encode(source), "mask_img": data, "target_img": encode(target)}
        rows.append({"img_id": "7", "turn_index": turn, "instruction": "x", **pictures})
    write_shard(tmp_path / "source" / "train-0.parquet", rows)
    pairs, failed = run(tmp_path / "source")
    for turn, (_, mask) in enumerate(forms, start=1):
        if mask is not None:
            assert np.array_equal(pairs[f"7-{turn}"].tar_mask, mask), turn
    assert [failure.id for failure in failed] == ["7-6", "7-7"]
    assert "marks no region" in failed[0].detail


def test_magic_brush_sessions_that_are_none(tmp_path: Path) -> None:
    source = write_magic_brush(tmp_path / "source")
    file = source / "test" / "edit_sessions.json"
    sessions = json.loads(file.read_text())
    turn = sessions["242679"][0]
    sessions |= {
        "a": 7,
        "b": [{"input": "x"}],
        "../../..": [turn],
        "139306": [{**turn, "mask": "/etc/passwd"}],
    }
    put(file, json.dumps(sessions))
    pairs, failed = run(source)
    assert set(pairs) == {"242679-1"}
    said = {failure.id: failure.detail for failure in failed}
    assert "it needs input, mask, output, instruction" in said["a-1"] and "session b-1" in said["b-1"]
    assert "lies outside" in said["../../..-1"]
    assert set(said) == {"a-1", "b-1", "../../..-1", "139306-1"}
    put(file, "[1]")
    with pytest.raises(DataError, match="none of its records can be used"):
        run(source)
