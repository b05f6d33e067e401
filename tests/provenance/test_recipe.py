"""What a picture says of its making: all that repeats it, nothing of its maker's disk; and recipes not to trust."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import make_scene
from PIL import Image

from a2cli import __version__
from a2cli.errors import DataError
from a2cli.images import build_photo, save_photo
from a2cli.images.metadata import Metadata
from a2cli.provenance import InputFile, read_recipe
from a2cli.provenance.parameters import get_parameters

Edit = Callable[..., Path]
DIGEST = "0" * 64
SOUND: dict[str, Any] = {
    "a2": "1.0",
    "backbone": "nano",
    "model": "default",
    "base_hash": "ab12",
    "adapter_hash": "",
    "prompt": "",
    "seed": 1,
    "steps": 4,
    "guidance": 1,
    "feather": 8.0,
    "dtype": "float32",
    "device": "cpu",
    "mask_sha256": "00",
    "inputs": {"ref": {"name": "cat.png", "sha256": DIGEST}, "source": {"name": "p.png", "sha256": DIGEST}},
}


def store(path: Path, text: str) -> Path:
    scene = make_scene(8, 8)
    save_photo(build_photo(scene), scene, path, metadata=Metadata({"a2": text}))
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".avif"])
def test_a_recipe_is_complete_in_every_format(edit: Edit, desk: Path, suffix: str) -> None:
    out = edit(out=str(desk / f"out{suffix}"))
    recipe = read_recipe(out)
    assert (recipe.a2, recipe.backbone, recipe.model, recipe.adapter) == (
        __version__,
        "nano",
        "tiny nano",
        ("none",),
    )
    assert (recipe.seed, recipe.steps, recipe.guidance, recipe.dtype, recipe.device) == (
        3,
        2,
        1.0,
        "float32",
        "cpu",
    )
    assert len(recipe.base_hash) == 16 and recipe.adapter_hash == ""
    for role, name in (("source", "photo.png"), ("ref", "cat.png"), ("mask", "mask.png")):
        digest = hashlib.sha256((desk / name).read_bytes()).hexdigest()
        assert getattr(recipe.inputs, role) == InputFile(name, digest)
    assert str(desk.parent).encode() not in out.read_bytes() and b"desk of" not in out.read_bytes()


def test_boxes_stand_literally_and_parameters_are_readable(edit: Edit, desk: Path) -> None:
    out = edit(mask="box:20,12,38,26")
    recipe = read_recipe(out)
    assert recipe.inputs.mask == "box:20,12,38,26"
    with Image.open(out) as image:
        text = image.info["parameters"]
    prompt, line = text.split("\n")
    assert prompt == "a striped cup, seen: from above"
    assert line == (
        "Steps: 2, Sampler: Euler, CFG scale: 1, Seed: 3, Size: 56x40, "
        f"Model hash: {recipe.base_hash[:10]}, Model: tiny nano, Version: a2 {__version__}"
    )


def test_parameters_quote_what_would_break_them(tmp_path: Path) -> None:
    recipe = read_recipe(store(tmp_path / "a.png", json.dumps(SOUND | {"model": "a, b: c", "base_hash": ""})))
    text = get_parameters(recipe, 10, 20)
    assert text == (
        'Steps: 4, Sampler: Euler, CFG scale: 1, Seed: 1, Size: 10x20, Model: "a, b: c", Version: a2 1.0'
    )


def test_no_metadata_leaves_everything_out(edit: Edit) -> None:
    out = edit(metadata=False)
    with Image.open(out) as image:
        assert not image.info.keys() & {"a2", "parameters", "xmp", "XML:com.adobe.xmp"}
    with pytest.raises(DataError, match=r"out\.png: carries no recipe"):
        read_recipe(out)


def change(**changes: Any) -> str:
    return json.dumps(SOUND | changes)


def name(own: str) -> str:
    return change(
        inputs={"ref": {"name": own, "sha256": DIGEST}, "source": {"name": "p.png", "sha256": DIGEST}}
    )


HOSTILE = {
    "no JSON": ("{", "no JSON"),
    "a list": ("[]", "no JSON object"),
    "huge": (change(prompt="x" * (1 << 19)), "longer than"),
    "deep": ("[" * 100_000, "no JSON"),
    "a number of many digits": ('{"seed": ' + "9" * 10_000 + "}", "no JSON"),
    "NaN": (change(feather=float("nan")), "NaN is no number"),
    "infinite": (change(feather=1).replace('"feather": 1', '"feather": 1e999'), "finite"),
    "an unknown key": (change(sead=2), "unknown key 'sead'"),
    "a missing key": (json.dumps({"a2": "1.0"}), "is missing (written by a2 1.0)"),
    "a wrong type": (change(seed="1"), "seed: expected a whole number"),
    "a path": (name("../../etc/passwd"), "is no file name"),
    "an absolute path": (name("/etc/passwd"), "is no file name"),
    "the folder above": (name(".."), "is no file name"),
    "a NUL": (name("a\0b"), "is no file name"),
    "a name too long": (name("x" * 256), "is no file name"),
    "half a character": (name("\ud800"), "no file system"),
    "newlines": (name("a/\n\x1b[31mb"), "is no file name"),
    "no digest": (change(inputs={"ref": {"name": "a", "sha256": "zz"}}), "64 hex digits"),
    "no photo": (change(inputs={"ref": {"name": "a", "sha256": DIGEST}}), "there is no photo"),
    "a mask that is no box": (
        change(inputs=SOUND["inputs"] | {"mask": "/etc/passwd"}),
        "is no box",
    ),
    "a model that is a path": (change(model="../model"), "is no file name"),
    "an adapter that is a path": (change(adapter=["/a"]), "is no file name"),
    "an image that is none": (change(image=4), "image 4 of 1"),
    "a device that is none": (change(device="cuda; rm"), "device"),
}


@pytest.mark.parametrize(("text", "cause"), HOSTILE.values(), ids=HOSTILE)
def test_a_recipe_no_edit_wrote_is_refused_in_one_line(tmp_path: Path, text: str, cause: str) -> None:
    path = store(tmp_path / "bad.png", text)
    with pytest.raises(DataError) as caught:
        read_recipe(path)
    message = caught.value.message
    assert "bad.png: " in message and cause in message, message
    assert message.isprintable() and len(message) < 500


def test_a_sound_recipe_is_read(tmp_path: Path) -> None:
    """The counterpart of the above: nothing but the change is what is refused."""
    assert read_recipe(store(tmp_path / "a.jpg", json.dumps(SOUND))).guidance == 1.0
