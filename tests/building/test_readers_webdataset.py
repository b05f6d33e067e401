"""WebDataset shards: samples by key, read in place; what an archive must not do; damage."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from raw_folders import draw_mask, draw_picture, encode, film, load, load_bad, read, save_tar, save_video

from a2cli.building.config import InputConfig
from a2cli.building.readers import list_inputs
from a2cli.building.records import Reject

PICTURE = encode(draw_picture(1))
MASK = encode(draw_mask())


def test_samples_are_read_in_place(tmp_path: Path) -> None:
    video = save_video(tmp_path / "raw" / "v.mp4", film(20, step=4)).read_bytes()
    told = {
        "category": "animals",
        "caption": "a cat",
        "url": "https://example.org/1",
        "similarity": float("nan"),
    }
    jpeg = encode(draw_picture(2), "JPEG")
    members = [
        ("./a/one.png", PICTURE),
        ("./a/one.mask.png", MASK),
        ("./a/one.json", json.dumps(told).encode()),
        ("two.0.png", PICTURE),
        ("two.1.webp", jpeg),
        ("two.1.mask.png", MASK),
        ("two.txt", "two of them\n".encode("utf-8-sig")),
        ("two.cls", b"cat"),
        ("three.ref.png", PICTURE),
        ("three.tar.jpg", jpeg),
        ("three.ref_mask.png", MASK),
        ("three.cls", b"7"),
        ("film.mp4", video),
        ("film.jpg", jpeg),
        ("x" * 150 + "/long.jpg", jpeg),
        ("notes.txt", b"no picture"),
        ("depth.depth.png", PICTURE),
        ("._a.png", b"litter"),
        ("__MACOSX/a.png", b"litter"),
        ("two.jpg", jpeg),
    ]
    shard = save_tar(tmp_path / "shards" / "s 1.tar", members)
    before = sorted(tmp_path.rglob("*"))
    inputs, rejects = read(tmp_path / "shards", clip_seconds=1.0, licence="MIT")
    ids = ["a/one", "two", "three", "film", "film#2", "x" * 150 + "/long"]
    assert [one.id for one in inputs] == [f"s 1/{id}" for id in ids]
    assert [(one.id, one.reason) for one in rejects] == [("s 1/two~", "bad record")]
    one, two, three, clip, second, long = (load(one, tmp_path / "shards", frames=3) for one in inputs)
    assert (one.category, one.prompt, one.rights.source) == ("animals", "a cat", "https://example.org/1")
    assert one.rights.licence == "MIT"
    (view,) = one.views
    assert view.name == "s 1.tar/a/one.png"
    assert np.array_equal(view.rgb, draw_picture(1))
    assert view.mask is not None and np.array_equal(view.mask, draw_mask())
    assert (two.prompt, two.subcategory) == ("two of them", "cat")
    assert [view.given for view in two.views] == [False, True]
    assert [(view.role, view.given) for view in three.views] == [("reference", True), ("target", False)]
    assert three.subcategory == ""
    assert clip.group == second.group == "s 1/film"
    assert all(0.9 < view.time < 2 and view.neighbours for view in second.views if view.time is not None)
    assert long.views[0].rgb.shape == (48, 64, 3)
    assert sorted(tmp_path.rglob("*")) == before
    for place in (shard, shard.parent / "s*.tar"):
        assert [found.id for found in list_inputs(InputConfig(str(place), clip_seconds=1.0))][:2] == [
            "s 1/a/one",
            "s 1/two",
        ]
    copy = load(inputs[0], shard)
    assert np.array_equal(copy.views[0].rgb, view.rgb)


def add(archive: tarfile.TarFile, name: str, type: bytes = tarfile.REGTYPE, link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type, link
    info.size = len(PICTURE) if type == tarfile.REGTYPE else 0
    archive.addfile(info, io.BytesIO(PICTURE) if info.size else None)


def test_links_devices_and_names_that_lead_outside_are_rejects_fault_15(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "good.png")
        add(archive, "../up.png")
        add(archive, "/abs.png")
        add(archive, "sym.png", tarfile.SYMTYPE, "/etc/hostname")
        add(archive, "hard.png", tarfile.LNKTYPE, "good.png")
        add(archive, "device.png", tarfile.CHRTYPE)
        add(archive, "pipe.png", tarfile.FIFOTYPE)
        add(archive, "folder", tarfile.DIRTYPE)
        add(archive, "line\nbreak.png")
    inputs, rejects = read(tmp_path)
    assert [one.id for one in inputs] == ["a/good", "a/line\\nbreak"]
    assert [one.reason for one in rejects] == ["outside the source"] * 2 + ["not a regular file"] * 4
    assert "a.tar/sym.png: a link" in rejects[2].detail


@pytest.mark.parametrize(("end", "whole"), [(0.3, 2), (0.5, 3), (0.74, 5), (0.9, 7)])
def test_a_truncated_archive_gives_the_samples_before_the_damage_fault_2(
    tmp_path: Path, end: float, whole: int
) -> None:
    """Cut at 0.5, it ends between two samples: whether the fourth has another part cannot be known."""
    shard = save_tar(tmp_path / "a.tar", [(f"{n}.{kind}.png", PICTURE) for n in range(8) for kind in "01"])
    data = shard.read_bytes()
    used = 16 * (512 + -(-len(PICTURE) // 512) * 512)
    shard.write_bytes(data[: int(used * end)])
    inputs, rejects = read(tmp_path)
    assert len(inputs) == whole
    assert all(len(load(one, tmp_path).views) == 2 for one in inputs)
    (reject,) = rejects
    assert (reject.id, reject.reason) == ("a.tar", "damaged archive")


def test_a_broken_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    shard = save_tar(tmp_path / "a.tar", [(f"{n}.png", PICTURE) for n in range(4)])
    data = bytearray(shard.read_bytes())
    place = 2 * (512 + -(-len(PICTURE) // 512) * 512)
    data[place : place + 300] = b"\xff" * 300
    shard.write_bytes(bytes(data))
    inputs, rejects = read(tmp_path)
    assert [one.id for one in inputs] == ["a/0"]  # the one before the damage may lack a part
    assert rejects[0].reason == "damaged archive" and "its last sample, 1," in rejects[0].detail


@pytest.mark.parametrize("data", [b"", b"no archive" * 200, b"\x1f\x8b" + bytes(2000)])
def test_what_is_no_archive_is_a_reject_fault_1(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    save_tar(tmp_path / "b.tar", [("x.png", PICTURE)])
    inputs, rejects = read(tmp_path)
    assert [one.id for one in inputs] == ["b/x"]
    assert [(one.id, one.reason) for one in rejects] == [("a.tar", "damaged archive")]


def test_bad_samples_cost_themselves_only(tmp_path: Path) -> None:
    members = [
        ("a.png", b"no picture"),
        ("b.png", PICTURE),
        ("b.json", b"{"),
        ("c.png", PICTURE),
        ("c.jpg", PICTURE),
        ("d.0.png", PICTURE),
        ("d.1.mask.png", MASK),
        ("e.0.png", PICTURE),
        ("e.1.png", PICTURE),
        ("e.json", b'{"boxes": [[1, 2, 3, 4]]}'),
        ("f.png", PICTURE),
        ("f.mask.png", encode(np.zeros((48, 64), bool))),
        ("g.mp4", b"no video"),
        ("h.png", PICTURE),
        ("i.png", PICTURE),
        ("h.png", PICTURE),
        ("i#2.png", PICTURE),
    ]
    save_tar(tmp_path / "s.tar", members)
    config = InputConfig(str(tmp_path))
    found = list(list_inputs(config))
    assert [one.id for one in found] == [f"s/{key}" for key in (*"abcdefghi", "h~", "i#2~")]
    reasons = {one.id: one.reason for one in found if isinstance(one, Reject)}
    assert reasons == {
        "s/b": "bad record",
        "s/c": "bad record",
        "s/d": "no partner",
        "s/e": "bad record",
        "s/g": "not a video",
        "s/h~": "bad record",
    }
    inputs = {one.id: one for one in found if not isinstance(one, Reject)}
    assert load_bad(inputs["s/a"], tmp_path).detail.startswith("s.tar/a.png: not a picture")
    assert load_bad(inputs["s/f"], tmp_path).reason == "empty mask"


def test_archives_outside_the_source_and_changed_ones(tmp_path: Path) -> None:
    outside = save_tar(tmp_path / "out" / "x.tar", [("x.png", PICTURE)])
    root = tmp_path / "root"
    shard = save_tar(root / "a.tar", [("x.png", PICTURE)])
    (root / "b.tar").symlink_to(outside)
    for place in (root, root / "*.tar"):
        inputs, rejects = read(place)
        assert [one.id for one in inputs] == ["a/x"]
        assert [(one.id, one.reason) for one in rejects] == [("b", "outside the source")]
    os.truncate(shard, 700)
    assert load_bad(inputs[0], root).reason == "damaged archive"
