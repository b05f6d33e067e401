"""Items that a text names: JSONL manifests and imagefolder tables."""

from __future__ import annotations

import json
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_folders import draw_mask, draw_picture, film, load, load_bad, read, save, save_lines, save_video

from a2cli.building.config import InputConfig
from a2cli.building.readers import list_inputs, load_item
from a2cli.building.records import Input, Item, Reject
from a2cli.data.folder import write_pair
from a2cli.data.records import Pair
from a2cli.errors import DataError
from a2cli.urls import fetch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures 0 to 5, a mask of any of them, a video."""
    for number in range(6):
        save(tmp_path / "p" / f"{number}.png", draw_picture(number))
    save(tmp_path / "p" / "mask.png", draw_mask())
    save_video(tmp_path / "v.mp4", film(8))
    return tmp_path


def test_a_manifest_names_pictures_pairs_and_videos(folder: Path) -> None:
    mine = {
        "category": "animals",
        "licence": "CC0-1.0",
        "permission": "asked",
        "source": "shelf",
        "author": "Ann",
    }
    lines = [
        {"id": "one", "image": "p/0.png", "masks": ["p/mask.png"], "boxes": [[1, 2, 30, 40]], **mine},
        {
            "id": "many",
            "images": ["p/0.png", "p/1.png", "p/2.png"],
            "masks": [None, "p/mask.png", None],
            "group": "g",
        },
        {
            "id": "pair",
            "reference": "p/3.png",
            "target": "p/4.png",
            "boxes": [None, [[0, 0, 9, 9]]],
            "license": "MIT",
        },
        {"id": "film", "video": "v.mp4", "prompt": "it moves"},
        {"image": "p/5.png"},
        {"id": "single", "image": "p/1.png", "boxes": [[[1, 2, 3, 4], [2, 2, 9, 9]]], "mask": "p/mask.png"},
    ]
    file = save_lines(folder / "list.jsonl", lines)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n\r\n"))
    inputs, rejects = read(file, clip_seconds=0.4, category="plants")
    assert rejects == []
    assert [one.id for one in inputs] == ["one", "many", "pair", "film", "film#2", "p/5", "single"]
    items = {one.id: load(one, file, frames=2) for one in inputs}
    assert items["one"].category == "animals" and items["many"].category == "plants"
    assert vars(items["one"].rights) == {
        key: mine[key] for key in ("source", "author", "licence", "permission")
    }
    (view,) = items["one"].views
    assert view.given and view.mask is not None and (view.boxes[0].x1, len(view.boxes)) == (30, 1)
    assert [view.given for view in items["many"].views] == [False, True, False]
    assert items["many"].group == "g"
    assert [view.role for view in items["pair"].views] == ["reference", "target"]
    assert [view.given for view in items["pair"].views] == [False, True]
    assert items["pair"].rights.licence == "MIT"
    assert (items["film#2"].group, items["film#2"].prompt) == ("film", "it moves")
    assert all(view.time is not None and view.neighbours for view in items["film"].views)
    assert len(items["single"].views[0].boxes) == 2
    again = [one.id for one in list_inputs(InputConfig(str(file), clip_seconds=0.4), 3)]
    assert again == ["film", "film#2", "p/5", "single"]


def test_many_images_of_a_line_are_chunked(folder: Path) -> None:
    file = save_lines(folder / "list.jsonl", [{"id": "a", "images": [f"p/{n}.png" for n in range(5)]}])
    inputs, _ = read(file, views=2)
    assert [(one.id, len(one.paths), one.group) for one in inputs] == [("a", 2, "a"), ("a#2", 3, "a")]


BAD_LINES: list[tuple[Any, str, str]] = [
    ("{", "bad record", "line 2: not JSON"),
    ("[]", "bad record", "line 2: not a JSON object"),
    ('{"id": "x", "image": "p/0.png", "score": NaN}', "bad record", "line 2: not JSON: NaN is no number"),
    ('{"id": "x", "id": "y"}', "bad record", "a key stands twice"),
    ({"id": "good", "image": "p/0.png"}, "bad record", "line 2: the id 'good' stands twice"),
    ({"id": "x", "imgae": "p/0.png"}, "bad record", "line 2: unknown key 'imgae' (did you mean 'image'?)"),
    ({"id": "x"}, "bad record", "line 2: names no file"),
    ({"prompt": "x"}, "bad record", "line 2: names neither an id nor a file"),
    ({"id": "x", "image": "p/0.png", "video": "v.mp4"}, "bad record", "line 2: names image and video"),
    ({"id": "x", "reference": "p/0.png"}, "bad record", "line 2: names reference"),
    ({"id": "x", "image": ["p/0.png"]}, "bad record", "is no file name"),
    ({"id": "x", "images": []}, "bad record", "an empty list"),
    ({"id": "x", "image": 7}, "bad record", "7 is no file name"),
    (
        {"id": "x", "images": ["p/0.png", "p/1.png"], "masks": ["p/mask.png"]},
        "bad record",
        "not one entry a picture",
    ),
    (
        {"id": "x", "images": ["p/0.png", "p/1.png"], "boxes": [[1, 2, 3, 4]]},
        "bad record",
        "not one entry a picture",
    ),
    (
        {"id": "x", "video": "v.mp4", "masks": ["p/mask.png"]},
        "bad record",
        "masks and boxes are for pictures",
    ),
    ({"id": "x", "image": "p/0.png", "category": ["a"]}, "bad record", "category is no text"),
    ({"id": "x", "image": "p/0.png", "text": "a"}, "bad record", "unknown key 'text'"),
    ({"id": "x", "image": "p/gone.png"}, "no such file", "line 2: p/gone.png: no such file"),
    ({"id": "x", "image": "../p/0.png"}, "outside the source", "leads outside"),
    ({"id": "x", "image": "p/../../x.png"}, "outside the source", "leads outside"),
    ({"id": "x", "image": "/etc/hostname"}, "outside the source", "/etc/hostname: leads outside"),
    ({"id": "x", "image": "link.png"}, "outside the source", "link.png: leads outside"),
    ({"id": "x", "image": "linked/secret.png"}, "outside the source", "leads outside"),
    ({"id": "x", "image": "p/0.png", "masks": ["link.png"]}, "outside the source", "link.png"),
    ({"id": "x", "image": "pipe.png"}, "not a regular file", "pipe.png: not a regular file"),
    ({"id": "x", "image": "p"}, "not a regular file", "p: not a regular file"),
    ({"id": "x", "video": "https://example.org/v.mp4"}, "outside the source", "addresses are not opened"),
    ({"id": "x", "image": "FILE:///etc/hostname"}, "outside the source", "addresses are not opened"),
    ({"id": "x", "image": "data:image/png;base64,AA"}, "outside the source", "addresses are not opened"),
    ({"id": "x", "image": "a" * 5000}, "no such file", "cannot be opened"),
    ({"id": "x", "image": "a\u0000b.png"}, "no such file", "cannot be opened"),
    ('{"id": "' + "x" * (1 << 20) + '"}', "bad record", "line 2: longer than 1 MiB"),
]


@pytest.mark.parametrize(("line", "reason", "words"), BAD_LINES, ids=[words for _, _, words in BAD_LINES])
def test_a_bad_line_costs_itself_only_faults_15_16_18(
    folder: Path, line: Any, reason: str, words: str
) -> None:
    outside = save(folder.parent / f"{folder.name}-out" / "secret.png", draw_picture())
    (folder / "link.png").symlink_to(outside)
    (folder / "linked").symlink_to(outside.parent)
    os.mkfifo(folder / "pipe.png")
    good = {"id": "good", "image": "p/0.png"}
    file = save_lines(folder / "list.jsonl", [good, line, "", {"id": "last", "image": "p/1.png"}])
    inputs, rejects = read(file)
    assert [one.id for one in inputs] == ["good", "last"]
    (reject,) = rejects
    assert (reject.stage, reject.reason) == ("read", reason)
    assert words in reject.detail and "list.jsonl, line 2: " in reject.detail
    assert "\n" not in reject.detail
    assert load(inputs[1], file).views[0].rgb.shape == (48, 64, 3)


def test_addresses_are_fetched_only_when_allowed_and_never_from_here_fault_18(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/p"
        line = {"id": "x", "image": f"{url}/0.png", "mask": f"{url}/mask.png"}
        file = save_lines(folder / "list.jsonl", [line, {"id": "gone", "image": f"{url}/none.png"}])
        assert [reject.reason for reject in list_inputs(InputConfig(str(file)))] == ["outside the source"] * 2
        config = InputConfig(str(file), allow_urls=True)
        inputs = [one for one in list_inputs(config) if isinstance(one, Input)]
        assert [one.id for one in inputs] == ["x", "gone"]
        refused = load_item(inputs[0], config)
        assert isinstance(refused, Reject) and "which is not of the open internet" in refused.detail
        here = partial(fetch, allowed=lambda address: address.is_loopback)
        monkeypatch.setattr("a2cli.building.readers.pictures.fetch", here)
        item, gone = (load_item(one, config) for one in inputs)
        server.shutdown()
    assert isinstance(item, Item) and np.array_equal(item.views[0].rgb, draw_picture(0))
    assert item.views[0].mask is not None and item.views[0].name == f"{url}/0.png"
    assert isinstance(gone, Reject) and "answers 404" in gone.detail


def test_a_line_of_other_bytes_than_utf8_and_a_clip_named_before(folder: Path) -> None:
    file = save_lines(
        folder / "list.jsonl", [{"id": "v#2", "image": "p/0.png"}, {"id": "v", "video": "v.mp4"}]
    )
    file.write_bytes(file.read_bytes() + b'{"id": "\xff", "image": "p/0.png"}\n')
    inputs, rejects = read(file, clip_seconds=0.4)
    assert [one.id for one in inputs] == ["v#2"]
    assert [one.detail.split(": ")[0] for one in rejects] == ["list.jsonl, line 2", "list.jsonl, line 3"]


def test_a_picture_swapped_for_a_link_after_listing_is_refused(folder: Path) -> None:
    file = save_lines(folder / "list.jsonl", [{"id": "a", "image": "p/0.png"}])
    (one,), _ = read(file)
    (folder / "p" / "0.png").unlink()
    (folder / "p" / "0.png").symlink_to("/etc/hostname")
    assert load_bad(one, file).reason == "outside the source"


def make_table(folder: Path, rows: list[dict[str, Any]], kind: str) -> Path:
    if kind == "jsonl":
        return save_lines(folder / "metadata.jsonl", rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[row.get(key, "") for key in columns] for row in rows]
    text = [
        [str(cell if isinstance(cell, str) else json.dumps(cell)) for cell in line]
        for line in [columns, *cells]
    ]
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in text]
    path = folder / "metadata.csv"
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_table_has_pictures_groups_and_pairs(folder: Path, kind: str) -> None:
    rows: list[dict[str, Any]] = [
        {"file_name": "p/0.png", "text": "a cat", "license": "MIT", "boxes": [[1, 2, 3, 4]], "label": "3"},
        {"file_name": "p/1.png", "group": "cup", "category": "furniture", "mask_file_name": "p/mask.png"},
        {
            "id": "pair",
            "ref_image_file_name": "p/2.png",
            "tar_image_file_name": "p/3.png",
            "tar_mask_file_name": "p/mask.png",
            "provenance": json.dumps({"licence": "CC-BY-4.0", "author": "Bob", "group": "bob"}),
            "author": "Ann",
        },
        {"file_name": "p/4.png", "group": "cup", "category": "furniture", "id": "second"},
    ]
    make_table(folder, rows, kind)
    inputs, rejects = read(folder)
    assert rejects == []
    assert [(one.id, one.group) for one in inputs] == [("p/0", "p/0"), ("cup", "cup"), ("pair", "bob")]
    cat, cup, pair = (load(one, folder) for one in inputs)
    assert (cat.prompt, cat.rights.licence, cat.views[0].boxes[0].y1) == ("a cat", "MIT", 4)
    assert [view.name for view in cup.views] == ["p/1.png", "p/4.png"]
    assert [view.given for view in cup.views] == [True, False]
    assert (pair.rights.licence, pair.rights.author) == ("CC-BY-4.0", "Ann")
    assert [(view.role, view.given) for view in pair.views] == [("reference", False), ("target", True)]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_bad_rows_of_a_table_faults_15_16(folder: Path, kind: str) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "file_name": "p/0.png"},
        {"id": "a", "file_name": "p/1.png"},
        {"id": "b", "file_name": "../x.png"},
        {"id": "c", "ref_image_file_name": "p/2.png"},
        {"id": "d", "file_name": "p/3.png", "boxes": [[1, 2]]},
        {"file_name": "p/4.png", "group": "g", "licence": "MIT"},
        {"file_name": "p/5.png", "group": "g", "licence": "CC0-1.0"},
    ]
    make_table(folder, rows, kind)
    first = 1 if kind == "jsonl" else 2
    inputs, rejects = read(folder)
    assert [one.id for one in inputs] == ["a", "g"]
    assert [one.reason for one in rejects] == ["bad record", "outside the source", *["bad record"] * 3]
    for reject, line, words in zip(
        rejects,
        (1, 2, 3, 4, 6),
        (
            "the id 'a' stands twice",
            "leads outside",
            "neither file_name nor",
            "four numbers",
            "its group otherwise",
        ),
        strict=True,
    ):
        assert f"line {first + line}: " in reject.detail or "../x.png" in reject.detail
        assert words in reject.detail


def test_a_misspelt_column_and_a_ragged_row(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,licnce\np/0.png,MIT\n")
    assert "did you mean 'licence'?" in read(folder)[1][0].detail
    (folder / "metadata.csv").write_text("file_name,split\np/0.png\np/1.png,a\np/2.png,a,b\n")
    inputs, rejects = read(folder)
    assert [one.id for one in inputs] == ["p/1"]
    assert [one.detail for one in rejects] == [
        f"metadata.csv, line {n}: not as many cells as columns" for n in (2, 4)
    ]


def test_a_table_that_is_no_text_is_an_error(folder: Path) -> None:
    (folder / "metadata.csv").write_bytes(b"file_name\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"metadata\.csv: cannot be read"):
        read(folder)


def test_the_imagefolder_that_a2_writes_is_read_back_split_by_split(tmp_path: Path) -> None:
    mask = draw_mask()
    for split in ("train", "test"):
        pair = Pair(f"{split}-1", "animals", "cat", "a cat", draw_picture(1), mask, draw_picture(2), mask)
        (tmp_path / split).mkdir()
        save_lines(tmp_path / split / "metadata.jsonl", [write_pair(tmp_path / split, pair, split)])
    inputs, rejects = read(tmp_path)
    assert rejects == []
    assert [one.id for one in inputs] == ["test/test-1", "train/train-1"]
    item = load_item(inputs[1], InputConfig(str(tmp_path)))
    assert isinstance(item, Item)
    assert (item.category, item.subcategory, item.prompt) == ("animals", "cat", "a cat")
    for view, role, seed in zip(item.views, ("reference", "target"), (1, 2), strict=True):
        assert view.role == role and view.given
        assert np.array_equal(view.rgb, draw_picture(seed))
        assert view.mask is not None and np.array_equal(view.mask, mask)
    (one,), _ = read(tmp_path / "train" / "metadata.jsonl")
    assert one.id == "train-1"
