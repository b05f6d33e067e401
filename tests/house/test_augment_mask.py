"""a2 augment-mask on real mask files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def draw_disc(path: Path, size: tuple[int, int] = (96, 128), radius: int = 20) -> np.ndarray:
    rows, columns = np.ogrid[: size[0], : size[1]]
    mask = (rows - 48) ** 2 + (columns - 60) ** 2 <= radius**2
    Image.fromarray(np.uint8(mask * 255)).save(path)
    return mask


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "a2cli", "augment-mask", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L")) > 127


@pytest.mark.parametrize("stage", ["fine", "rough", "box"])
def test_one_mask_lands_beside_its_source(tmp_path: Path, stage: str) -> None:
    fine = draw_disc(tmp_path / "disc.png")
    done = run(tmp_path / "disc.png", "--stage", stage, "--seed", 3)
    target = tmp_path / f"disc.{stage}.png"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{target}\n", "")
    moved = read(target)
    assert moved.shape == fine.shape
    if stage == "fine":
        assert np.array_equal(moved, fine)
    else:
        assert moved.sum() > fine.sum() and (moved & fine).sum() > 0.9 * fine.sum()
    if stage == "box":
        rows, columns = np.nonzero(moved)
        assert moved.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_a_name_that_is_not_utf8_is_printed_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"caf\xe9.png")
    draw_disc(source)
    command = [sys.executable, "-m", "a2cli", "augment-mask", str(source), "--stage", "box"]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.stdout == os.fsencode(tmp_path) + b"/caf\xe9.box.png\n"
    assert (tmp_path / os.fsdecode(b"caf\xe9.box.png")).is_file()


def test_the_seed_decides(tmp_path: Path) -> None:
    draw_disc(tmp_path / "disc.png")
    masks = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert (
            run(
                tmp_path / "disc.png", "--stage", "rough", "--seed", seed, "-o", tmp_path / f"{name}.png"
            ).returncode
            == 0
        )
        masks.append(read(tmp_path / f"{name}.png"))
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])


def test_several_masks_go_on_past_a_bad_one(tmp_path: Path) -> None:
    draw_disc(tmp_path / "one.png")
    draw_disc(tmp_path / "two words.png")
    (tmp_path / "bad.png").write_text("no picture")
    Image.new("L", (20, 20)).save(tmp_path / "empty.png")
    inputs = [tmp_path / f"{name}.png" for name in ("one", "bad", "empty", "two words")]
    done = run(*inputs, "--stage", "box", "-o", tmp_path / "out")
    assert done.returncode == 3
    assert done.stdout.splitlines() == [str(tmp_path / "out" / f"{n}.box.png") for n in ("one", "two words")]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["one.box.png", "two words.box.png"]
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and "bad.png" in lines[0] and "empty.png" in lines[1]


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    draw_disc(tmp_path / "a.png")
    draw_disc(tmp_path / "x" / "a.png")
    done = run(tmp_path / "a.png", tmp_path / "x" / "a.png", "--stage", "box", "-o", tmp_path)
    assert done.returncode == 2 and "one name" in done.stderr
    (tmp_path / "a.bmp").write_bytes((tmp_path / "a.png").read_bytes())
    done = run(tmp_path / "a.png", tmp_path / "a.bmp", "--stage", "box")
    assert done.returncode == 2 and "one name" in done.stderr


def test_masks_are_not_replaced_and_places_are_checked(tmp_path: Path) -> None:
    draw_disc(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for out, message in (
        ("a.png", "replace a mask"),
        ("b.jpg", "saved as PNG"),
        ("a.png/b.png", "cannot be"),
    ):
        done = run(tmp_path / "a.png", "--stage", "box", "-o", tmp_path / out)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (
            2,
            "",
            1,
        ) and message in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"] and (tmp_path / "a.png").read_bytes() == before
