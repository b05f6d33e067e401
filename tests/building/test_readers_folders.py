"""Folders of pictures: `images`, `views`, `worn`; names, links, sidecars, masks, sizes."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_folders import draw_mask, draw_picture, load, load_bad, read, save, save_json

from a2cli.building.config import InputConfig
from a2cli.building.readers import list_inputs, load_item
from a2cli.building.records import Input, Item, Kind, Reject
from a2cli.errors import ConfigError, DataError


def test_every_picture_is_an_item_with_what_lies_beside_it(tmp_path: Path) -> None:
    rgb, mask = draw_picture(1), draw_mask()
    save(tmp_path / "cats" / "tom.png", rgb)
    save(tmp_path / "cats" / "tom.mask.png", mask)
    told = {
        "category": "animals",
        "subcategory": "cat",
        "prompt": "a cat",
        "license": "CC0-1.0",
        "author": "Ann",
        "group": "tom",
        "width": 64,
    }
    save_json(tmp_path / "cats" / "tom.json", told)
    save(tmp_path / "top.png", draw_picture(2))
    inputs, rejects = read(tmp_path, category="plants", licence="MIT", source="mine")
    assert [one.id for one in inputs] == ["top", "cats/tom"]
    assert rejects == []
    top, tom = inputs
    assert (top.category, top.group, top.rights.licence, top.rights.source) == (
        "plants",
        "top",
        "MIT",
        "mine",
    )
    assert (tom.category, tom.subcategory, tom.prompt, tom.group) == ("animals", "cat", "a cat", "tom")
    assert (tom.rights.licence, tom.rights.author, tom.rights.source) == ("CC0-1.0", "Ann", "mine")
    item = load(tom, tmp_path)
    (view,) = item.views
    assert view.name == "cats/tom.png"
    assert np.array_equal(view.rgb, rgb)
    assert view.mask is not None and np.array_equal(view.mask, mask)
    assert view.given and (view.boxes[0].x0, view.boxes[0].y1) == (8, 24)
    (plain,) = load(top, tmp_path).views
    assert not plain.given and plain.mask is None and plain.boxes == ()


def test_masks_below_and_boxes_are_scaled_with_their_picture(tmp_path: Path) -> None:
    size = (128, 192)
    save(tmp_path / "a.png", draw_picture(3, size))
    save(tmp_path / "masks" / "a.png", draw_mask(size))
    save_json(tmp_path / "a.json", {"boxes": [[20, 10.5, 90, 80], [-5, 100, 30, 500]]})
    (one,), rejects = read(tmp_path, "images")
    assert rejects == []
    (view,) = load(one, tmp_path, max_side=96).views
    assert view.rgb.shape == (64, 96, 3)
    assert view.mask is not None and np.array_equal(view.mask, draw_mask((64, 96)))
    assert [(b.x0, b.y0, b.x1, b.y1) for b in view.boxes] == [(10, 5.25, 45, 40), (0, 50, 15, 64)]


def test_two_files_with_one_stem_and_numbered_names_have_ids_of_their_own_fault_14(tmp_path: Path) -> None:
    names = [
        "a.jpg",
        "a.png",
        "a.png.jpg",
        "a#2.jpg",
        "b c.png",
        "ünï.png",
        "new\nline.png",
        "-rf.png",
        "x" * 251,
    ]
    names[-1] += ".png"
    for number, name in enumerate(names):
        Image.fromarray(draw_picture(number)).save(tmp_path / name)
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes((tmp_path / "a.png").read_bytes())
    inputs, rejects = read(tmp_path)
    assert rejects == []
    assert [one.id for one in inputs] == [
        "-rf", "a#2.jpg", "a", "a.png", "a.png.jpg", "b c", "new\\nline", "x" * 251, "ünï", "\\udcff",
    ]  # fmt: skip
    for one in inputs:
        assert load(one, tmp_path).views[0].rgb.shape == (48, 64, 3)
    assert [one.id for one in read(tmp_path)[0]] == [one.id for one in inputs]


def test_damaged_pictures_are_rejects_of_their_own_faults_1_2_3_8(tmp_path: Path) -> None:
    save(tmp_path / "good.png", draw_picture())
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    whole = save(tmp_path / "cut.jpg", draw_picture(1, (200, 300))).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000)))):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    frames = [Image.fromarray(draw_picture(n)) for n in range(3)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "notes.txt").write_text("no picture, no reject")
    inputs, rejects = read(tmp_path)
    assert rejects == []
    details = {}
    for one in inputs:
        found = load_item(one, InputConfig(str(tmp_path)))
        if isinstance(found, Reject):
            assert (found.id, found.reason) == (one.id, "unreadable picture")
            details[found.id] = found.detail
    assert set(details) == {"empty", "text", "cut", "huge", "film"}
    for id, words in {
        "empty": "empty.png: the file is empty",
        "cut": "truncated",
        "huge": "400 megapixels",
        "film": "several frames",
        "text": "text.png: not a picture",
    }.items():
        assert words in details[id]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_turned_photo_meets_its_upright_mask_fault_6(tmp_path: Path, orientation: int) -> None:
    upright = draw_picture(4, (64, 48))
    turns = {3: 2, 6: 1, 8: 3}[orientation]  # quarter turns that undo what the camera's note tells to do
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a.png", np.ascontiguousarray(np.rot90(upright, turns)), exif=exif)
    save(tmp_path / "a.mask.png", draw_mask((64, 48)))
    (view,) = load(read(tmp_path)[0][0], tmp_path).views
    assert np.array_equal(view.rgb, upright)
    assert view.mask is not None and view.mask.sum() == 24 * 18


def test_masks_of_other_sizes_and_empty_ones_are_refused_faults_9_10(tmp_path: Path) -> None:
    for name in ("other", "empty", "text"):
        save(tmp_path / f"{name}.png", draw_picture())
    save(tmp_path / "other.mask.png", draw_mask((24, 32)))
    save(tmp_path / "empty.mask.png", np.zeros((48, 64), bool))
    (tmp_path / "text.mask.png").write_text("?")
    empty, other, text = (load_bad(one, tmp_path) for one in read(tmp_path)[0])
    assert (empty.reason, other.reason, text.reason) == ("empty mask", "unusable mask", "unusable mask")
    assert other.detail.startswith("other.mask.png: the mask is 32 x 24, the source is 64 x 48")
    assert text.detail.startswith("text.mask.png: not a picture")


def test_a_cut_out_is_shown_on_white_and_is_its_own_mask(tmp_path: Path) -> None:
    rgb, mask = draw_picture(5), draw_mask()
    save(tmp_path / "cut.png", np.dstack([rgb, mask * np.uint8(255)]))
    nearly = np.full((48, 64), 255, np.uint8)
    nearly[0, 0] = 0
    save(tmp_path / "round.png", np.dstack([rgb, nearly]))
    cut, corners = (load(one, tmp_path).views[0] for one in read(tmp_path)[0])
    assert cut.given and cut.mask is not None and np.array_equal(cut.mask, mask)
    assert np.array_equal(cut.rgb[mask], rgb[mask]) and (cut.rgb[~mask] == 255).all()
    assert corners.mask is None and not corners.given
    assert (corners.rgb[0, 0] == 255).all() and np.array_equal(corners.rgb[1:], rgb[1:])


def test_links_devices_and_hidden_files_fault_15(tmp_path: Path) -> None:
    outside = save(tmp_path / "outside" / "secret.png", draw_picture())
    root = tmp_path / "root"
    save(root / "a.png", draw_picture(1))
    (root / "inside.png").symlink_to("a.png")
    (root / "leads.png").symlink_to(outside)
    (root / "lost.png").symlink_to("nowhere.png")
    (root / "folder").symlink_to(outside.parent)
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    os.mkfifo(root / "pipe")
    (root / "b.json").symlink_to(outside)
    save(root / "b.png", draw_picture(2))
    for litter in (".hidden.png", "__MACOSX/x.png", ".git/x.png", "Thumbs.db"):
        save(root / litter, draw_picture(), format="PNG")
    inputs, rejects = read(root, "images")
    assert [one.id for one in inputs] == ["a", "inside"]
    assert {one.id: one.reason for one in rejects} == {
        "folder/": "link to a folder",
        "loop/": "link to a folder",
        "b": "outside the source",
        "leads": "outside the source",
        "lost": "no such file",
        "pipe": "not a regular file",
    }
    assert load(inputs[1], root).views[0].rgb.shape == (48, 64, 3)
    (root / "a.png").unlink()
    (root / "a.png").symlink_to(outside)  # after it was listed
    assert load_bad(inputs[0], root).reason == "outside the source"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "a.json: not JSON"),
        ("[1]", "not a JSON object"),
        ('{"catgory": "animals"}', "unknown key 'catgory' (did you mean 'category'?)"),
        ('{"licens": "CC0"}', "unknown key 'licens' (did you mean 'license'?)"),
        ('{"License": "CC0"}', "unknown key 'License' (did you mean 'license'?)"),
        ('{"box": [1, 2, 3, 4]}', "unknown key 'box' (did you mean 'boxes'?)"),
        ('{"sub_category": "cat"}', "unknown key 'sub_category' (did you mean 'subcategory'?)"),
        ('{"captoin": "a cat"}', "unknown key 'captoin' (did you mean 'caption'?)"),
        ('{"licence": ["MIT"]}', "licence is no text"),
        ('{"prompt": "\\ud800"}', "prompt is no valid Unicode"),
        ('{"boxes": [[1, 2, 3]]}', "boxes: not four numbers"),
        ('{"boxes": [[1, 2, NaN, 4]]}', "boxes: not four numbers"),
        ('{"boxes": [[5, 2, 3, 4]]}', "an empty box"),
        ('{"group": "a", "group": "b"}', "a key stands twice"),
        ("[" * 100_000, "not JSON"),
        ('{"x": "' + "a" * (1 << 20) + '"}', "larger than 1 MiB"),
    ],
)
def test_a_bad_sidecar_costs_its_picture_only_fault_16(tmp_path: Path, text: str, words: str) -> None:
    save(tmp_path / "a.png", draw_picture())
    save(tmp_path / "b.png", draw_picture())
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "b.json").write_bytes(b'\xef\xbb\xbf{"similarity": NaN, "group": 7}')
    inputs, rejects = read(tmp_path)
    assert [one.group for one in inputs] == ["7"]
    assert [(one.id, one.reason) for one in rejects] == [("a", "bad record")]
    assert words in rejects[0].detail


def test_a_box_beside_the_picture_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", draw_picture())
    save_json(tmp_path / "a.json", {"boxes": [[64, 0, 90, 40]]})
    assert "outside the 64 x 48 picture" in load_bad(read(tmp_path)[0][0], tmp_path).detail


def test_a_folder_called_masks_without_pictures_beside_it_holds_photos(tmp_path: Path) -> None:
    save(tmp_path / "accessories" / "masks" / "a.png", draw_picture())
    assert [one.id for one in read(tmp_path)[0]] == ["accessories/masks/a"]


def test_views_are_chunked_by_object(tmp_path: Path) -> None:
    for number in range(9):
        save(tmp_path / "chair" / "red" / f"{number}.png", draw_picture(number))
    for number in range(5):
        save(tmp_path / "cup" / "images" / f"{number}.jpg", draw_picture(number))
        save(tmp_path / "cup" / "depths" / f"{number}.png", draw_picture(number))
        save(tmp_path / "cup" / "masks" / f"{number}.png", draw_mask())
    save_json(
        tmp_path / "cup" / "about.json", {"category": "furniture", "group": "mug", "licence": "CC0-1.0"}
    )
    save(tmp_path / "lone" / "1.png", draw_picture())
    inputs, rejects = read(tmp_path, "views", views=4)
    assert rejects == []
    assert [(one.id, len(one.paths), one.group) for one in inputs] == [
        ("chair/red", 4, "chair/red"),
        ("chair/red#2", 5, "chair/red"),
        ("cup", 5, "mug"),
        ("lone", 1, "lone"),
    ]
    cup = load(inputs[2], tmp_path)
    assert (cup.category, cup.rights.licence) == ("furniture", "CC0-1.0")
    assert [view.name for view in cup.views] == [f"cup/images/{n}.jpg" for n in range(5)]
    assert all(view.mask is not None and view.given for view in cup.views)


def test_a_bad_view_is_left_out_and_counted(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path / "cup" / f"{number}.png", draw_picture(number))
    (tmp_path / "cup" / "1.png").write_text("no")
    save(tmp_path / "cup" / "2.mask.png", np.zeros((48, 64), bool))
    save_json(tmp_path / "cup" / "3.json", {"licence": "secret"})
    inputs, rejects = read(tmp_path, "views")
    assert [(one.id, one.reason) for one in rejects] == [("cup/3.png", "bad record")]
    item = load(inputs[0], tmp_path)
    assert [view.name for view in item.views] == ["cup/0.png", "cup/4.png"]
    assert item.dropped == {"unreadable picture": 1, "empty mask": 1}
    (tmp_path / "cup" / "0.png").write_text("no")
    bad = load_bad(inputs[0], tmp_path)
    assert bad.dropped == {"unreadable picture": 2, "empty mask": 1}


def test_one_object_folder_is_called_by_its_own_name(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "cup" / f"{number}.png", draw_picture(number))
    assert [one.id for one in read(tmp_path / "cup", "views")[0]] == ["cup"]


@pytest.mark.parametrize("sides", [("item", "worn"), ("cloth", "image"), ("product", "model")])
def test_item_and_worn_photo_make_a_pair_with_roles(tmp_path: Path, sides: tuple[str, str]) -> None:
    item, worn = sides
    for place in ("train", "test"):
        save(tmp_path / place / item / "07.jpg", draw_picture(1))
        save(tmp_path / place / worn / "07.png", draw_picture(2))
        save(tmp_path / place / f"{item}-mask" / "07.jpg", draw_mask())
    save(tmp_path / "train" / item / "08.jpg", draw_picture(3))
    save(tmp_path / "train" / worn / "09.jpg", draw_picture(3))
    save_json(tmp_path / "train" / item / "07.json", {"author": "shop", "licence": "CC0-1.0"})
    save_json(tmp_path / "train" / worn / "07.json", {"licence": "CC0-1.0", "boxes": [[1, 2, 30, 40]]})
    inputs, rejects = read(tmp_path)
    assert [(one.id, one.kind) for one in inputs] == [("test/07", "worn"), ("train/07", "worn")]
    assert [(one.id, one.reason) for one in rejects] == [
        ("train/08", "no partner"),
        ("train/09", "no partner"),
    ]
    pair = load(inputs[1], tmp_path)
    assert [view.role for view in pair.views] == ["reference", "target"]
    assert pair.views[0].mask is not None and pair.views[0].mask.sum() == 24 * 18
    assert pair.views[1].boxes[0].y1 == 40
    assert (pair.rights.author, pair.rights.licence) == ("shop", "CC0-1.0")
    (tmp_path / "test" / worn / "07.png").write_text("no")
    assert load_bad(inputs[0], tmp_path).reason == "unreadable picture"


def test_two_licences_for_one_pair_are_a_contradiction(tmp_path: Path) -> None:
    for side, licence in (("item", "CC0-1.0"), ("worn", "CC-BY-4.0")):
        save(tmp_path / side / "1.png", draw_picture())
        save_json(tmp_path / side / "1.json", {"licence": licence})
    inputs, rejects = read(tmp_path)
    assert inputs == []
    assert "licence: 'CC0-1.0' of the item, 'CC-BY-4.0' of the worn photo" in rejects[0].detail


def test_listing_goes_on_from_any_number(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / f"{name}.png", draw_picture())
    (tmp_path / "b.json").write_text("{")
    config = InputConfig(str(tmp_path))
    assert [one.id for one in list_inputs(config, 1)] == ["b", "c"]
    assert list(list_inputs(config, 9)) == []
    assert [one.id for one in list_inputs(InputConfig(str(tmp_path / "c.png")))] == ["c"]


def test_generated_items_have_no_views() -> None:
    config = InputConfig(
        kind="generated", category="animals", subcategory="sports car", count=2, licence="CC0"
    )
    inputs = [one for one in list_inputs(config) if isinstance(one, Input)]
    assert [one.id for one in inputs] == [
        "generated/animals/sports car/0001",
        "generated/animals/sports car/0002",
    ]
    item = load_item(inputs[0], config)
    assert isinstance(item, Item)
    assert (item.views, item.category, item.rights.licence) == ((), "animals", "CC0")
    assert next(iter(list_inputs(InputConfig(kind="generated", count=1)))).id == "generated/any/any/0001"


@pytest.mark.parametrize(
    "kind", ["images", "views", "worn", "videos", "webdataset", "imagefolder", "manifest"]
)
def test_a_place_without_items_is_an_error_not_silence(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        list(list_inputs(InputConfig(str(tmp_path / "empty"), kind=kind)))
    with pytest.raises(DataError, match="missing"):
        list(list_inputs(InputConfig(str(tmp_path / "missing"), kind=kind)))


def test_a_source_needs_a_path() -> None:
    with pytest.raises(ConfigError):
        InputConfig(kind="images")
