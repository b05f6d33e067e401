"""Which masks a command line names, and which files they become."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from a2cli.config.augment import AugmentConfig, parse_changes
from a2cli.engine.augment_jobs import Job, find_masks, get_out_folder, plan_jobs
from a2cli.errors import A2Error, ConfigError, DataError

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with masks/a.png, masks/sub/b.PNG and what is none."""
    monkeypatch.chdir(tmp_path)
    touch("masks/a.png", "masks/sub/b.PNG", "masks/notes.txt", "masks/.hidden.png", "masks/.git/c.png")
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(PNG)


def plan(*masks: str, stdin: bytes = b"", **settings: Any) -> list[Job]:
    config = AugmentConfig(masks, **{"stage": None if "changes" in settings else "box", **settings})
    return [job for jobs in plan_jobs(config, lambda: stdin) for job in jobs]


def list_targets(*masks: str, stdin: bytes = b"", **settings: Any) -> list[str]:
    return [str(job.target) for job in plan(*masks, stdin=stdin, **settings)]


def list_ids(*masks: str, stdin: bytes = b"") -> list[str]:
    return [source.id for source in find_masks(AugmentConfig(masks, stage="box"), lambda: stdin)]


def test_a_folder_is_mirrored() -> None:
    assert list_targets("masks", out="out") == ["out/a.box.png", "out/sub/b.box.png"]
    assert list_targets("masks") == ["masks/a.box.png", "masks/sub/b.box.png"]
    assert list_targets("masks/sub", out="out") == ["out/b.box.png"]  # one mask: a folder all the same
    assert list_ids("masks", "masks/a.png") == ["a.png", "sub/b.PNG", "a.png"]


def test_a_pattern_is_expanded_and_mirrored_from_its_first_wildcard() -> None:
    touch("masks/0001/m.png", "masks/0002/m.png")
    assert list_targets("masks/0*/m.png", out="out") == ["out/0001/m.box.png", "out/0002/m.box.png"]
    assert list_ids("masks/**/*.[pP]*") == ["0001/m.png", "0002/m.png", "a.png", "sub/b.PNG"]
    assert list_ids("mask?/a.png") == ["masks/a.png"]
    touch("masks/x[1].png")
    assert list_ids("masks/x[1].png") == ["x[1].png"]  # a file of that very name
    assert list_ids("*/../masks/a.png") == ["masks/a.png"]
    touch("outside.png")
    os.chdir("masks")
    assert list_targets("s*/../../outside.png", out="out") == [
        "out/outside.box.png"
    ]  # never above the folder


def test_nothing_found_is_said() -> None:
    Path("bare").mkdir()
    for name, message in (("bare", "bare: no pictures"), ("masks/*.tif", "no picture matches")):
        with pytest.raises(ConfigError, match=message):
            plan(name)


@pytest.mark.parametrize("null", [False, True])
def test_a_list_on_stdin(null: bool) -> None:
    touch("with\nnewline.png", "BMW.png")
    names = ["BMW.png", "masks", *(["with\nnewline.png"] if null else [])]
    stdin = (("\0" if null else "\n").join(names) + ("\0" if null else "\n")).encode()
    targets = list_targets("-", stdin=stdin, null=null, out="out")
    expected = ["out/BMW.box.png", "out/a.box.png", "out/sub/b.box.png", "out/with\nnewline.box.png"]
    assert targets == expected[: 3 + null]


def test_a_list_of_one_still_fills_a_folder_and_windows_lines_are_read() -> None:
    assert list_targets("-", stdin=b"\xef\xbb\xbfmasks/a.png\r\n\r\n", out="out") == ["out/a.box.png"]


def test_a_picture_on_stdin() -> None:
    (job,) = plan("-", stdin=PNG, out="-")
    assert job.source.data == PNG and job.target is None and job.source.id == "stdin"
    assert list_targets("-", stdin=PNG, out="out/") == ["out/stdin.box.png"]
    assert list_targets("-", stdin=PNG, out="x.png") == ["x.png"]
    with pytest.raises(ConfigError, match="no name to build on"):
        plan("-", stdin=PNG)


def test_stdin_that_is_neither_is_refused() -> None:
    for stdin, message in ((b"", "nothing came"), (b"\n\n", "nothing came"), (b"a.png\0b.png\0", "--null")):
        with pytest.raises(DataError, match=message):
            plan("-", stdin=stdin)


def test_outputs_of_an_earlier_run_are_no_masks(caplog: pytest.LogCaptureFixture) -> None:
    for change in ("rough", "rough.1", "box", "dilate-16", "erode-8pct", "shift--8_4pct", "shift-32.1"):
        touch(f"masks/a.{change}.png")
    touch("masks/other.box.png", "masks/a.boxer.png")  # no mask of that stem; no name of ours
    with caplog.at_level(logging.WARNING):
        found = list_ids("masks")
    assert found == ["a.boxer.png", "a.png", "other.box.png", "sub/b.PNG"]
    assert "masks: 7 outputs of an earlier run are left out" in caplog.text
    assert list_ids("masks/*.png") == found[:3]
    assert list_ids("masks/a.box.png") == ["a.box.png"]  # named itself, it is taken


def test_the_output_folder_inside_the_input_is_left_out() -> None:
    touch("masks/out/z.png")
    assert list_targets("masks", out="masks/out") == ["masks/out/a.box.png", "masks/out/sub/b.box.png"]
    assert "masks/out/z.box.png" in list_targets("masks", out="masks")


def test_names_too_long_are_cut_and_stay_apart() -> None:
    names = [f"masks/{'x' * 246}{i}.png" for i in range(2)]
    touch(*names)
    targets = [Path(target).name for target in list_targets(*names, out="out")]
    assert len(set(targets)) == 2 and all(
        len(os.fsencode(t)) <= 255 and t.endswith(".box.png") for t in targets
    )


def test_two_masks_with_one_name_are_refused() -> None:
    touch("a.png", "masks/a.bmp")
    for masks, out in ((("a.png", "masks/a.png"), "out"), (("masks",), None), (("a.png", "a.png"), None)):
        with pytest.raises(ConfigError, match=r"one name: a\.box\.png"):
            plan(*masks, out=out)


def test_nothing_replaces_an_input() -> None:
    touch("a.png", "a.box.png")
    for settings in ({"out": "a.png"}, {"preview": "a.png"}, {"out": "b.png", "preview": "./b.png"}):
        with pytest.raises(ConfigError, match="would replace a mask"):
            plan("a.png", **settings)
    with pytest.raises(ConfigError, match="would replace a mask"):
        plan("a.png", "a.box.png")
    os.symlink("a.png", "link.png")
    with pytest.raises(ConfigError, match="would replace a mask"):
        plan("a.png", out="link.png")


@pytest.mark.parametrize(
    ("masks", "settings", "message"),
    [
        (("masks/a.png",), {"out": "b.jpg"}, "saved as PNG"),
        (("masks",), {"out": "-"}, "here are 2 masks"),
        (("masks",), {"out": "masks/notes.txt"}, "a file, several masks need a folder"),
        (("masks/a.png",), {"preview": "sheet.xyz"}, "not a picture's name"),
        (("masks/a.png",), {"preview": "masks"}, "is a folder"),
    ],
)
def test_impossible_places_are_refused(
    masks: tuple[str, ...], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(A2Error, match=message):
        plan(*masks, **settings)


def test_the_output_folder_is_known() -> None:
    for masks, settings, folder in (
        (("masks",), {"out": "out"}, Path("out")),
        (("masks/a.png",), {"out": "out/"}, Path("out")),
        (("masks/a.png",), {"out": "out"}, None),
        (("masks/a.png",), {"out": "-"}, None),
        (("masks",), {}, None),
    ):
        config = AugmentConfig(masks, stage="box", **settings)
        assert get_out_folder(config, plan_jobs(config, bytes)) == folder


def test_only_what_is_drawn_has_variants() -> None:
    changes = parse_changes("4", ["shift:3"])
    jobs = plan("masks/a.png", changes=changes, variants=3)
    assert [job.variant for job in jobs] == [0, 0, 1, 2]
    assert list_targets("masks/a.png", changes=changes, out="out") == [
        "out/a.dilate-4.png",
        "out/a.shift-3.png",
    ]
