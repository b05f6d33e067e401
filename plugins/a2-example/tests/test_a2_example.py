"""The template conforms, and is found by its name once installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from a2_example import ExampleBackbone
from a2cli.backbones.registry import list_backbones, load_backbone_class
from a2cli.errors import BackboneError
from a2cli.testing import check_backbone


def test_conforms() -> None:
    check_backbone(ExampleBackbone)


def test_is_found_by_name() -> None:
    info = next(info for info in list_backbones() if info.name == "example")
    assert info.source == f"a2-example {version('a2-example')}"
    assert load_backbone_class("example") is ExampleBackbone


def test_weights_are_the_same_every_time() -> None:
    first, second = (ExampleBackbone.load().transformer.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_refuses_a_model() -> None:
    with pytest.raises(BackboneError, match="leave out --model"):
        ExampleBackbone.load("somewhere")


def test_edits_a_photo_from_the_command_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (90, 120, 3), np.uint8)
    subject = np.full((60, 60, 3), 255, np.uint8)
    subject[15:45, 20:40] = (200, 30, 30)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(subject).save(tmp_path / "cup.png")
    command = [
        sys.executable,
        "-m",
        "a2cli",
        "edit",
        "photo.png",
        "--ref",
        "cup.png",
        "--backbone",
        "example",
    ]
    command += ["--mask", "box:40,30,80,60", "--save-region", "region.png", "-o", "out.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out.png\n", "")
    edited, region = (np.asarray(Image.open(tmp_path / name)) for name in ("out.png", "region.png"))
    assert edited.shape == photo.shape
    assert np.array_equal(edited[region == 0], photo[region == 0])
    assert (region > 0).sum() >= 40 * 30 and not np.array_equal(edited[30:60, 40:80], photo[30:60, 40:80])
