"""`--from`: the same bytes from the same files, one line for what differs, options that change the edit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edits import read_pixels
from pictures import encode, make_scene

from a2cli.config.batch import BatchConfig
from a2cli.config.edit import EditConfig
from a2cli.engine.edit import Editor, run_edit
from a2cli.errors import CheckpointError, ConfigError, DataError
from a2cli.provenance import build_config, read_recipe

Edit = Callable[..., Path]


class Repeat:
    """`a2 edit --from PICTURE` with the tiny model, named and loaded before; keeps the notes."""

    def __init__(self, model: Path, editor: Editor) -> None:
        self.model, self.editor, self.notes = model, editor, list[str]()

    def plan(self, picture: Path, **given: Any) -> EditConfig:
        self.notes.clear()
        given = {"model": str(self.model)} | given
        given = {name: value for name, value in given.items() if value is not ...}
        return build_config(read_recipe(picture), given, picture=picture, note=self.notes.append)

    def __call__(self, picture: Path, **given: Any) -> Path:
        run = run_edit if "model" in given else self.editor.edit
        results = list(run(self.plan(picture, **given)))
        return Path(results[0].path)


@pytest.fixture
def repeat(tiny_model: Path, editor: Editor) -> Repeat:
    return Repeat(tiny_model, editor)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"out": "out.jpg", "num_images": 2, "steps": 1, "guidance": 2.5, "feather": 3.0},
        {"out": "out.webp", "mask": "box:20,12,38,26", "ref_mask": "box:2,2,38,44"},
        {"out": "out.tiff", "localize": "mask", "keyword": "cup"},
    ],
    ids=["png", "jpg, two images", "webp, boxes", "tiff, narrowed"],
)
def test_the_same_bytes(edit: Edit, repeat: Repeat, desk: Path, changed: dict[str, Any]) -> None:
    changed = changed | {"out": str(desk / changed.get("out", "out.png"))}
    first = edit(**changed)
    again = repeat(first)
    assert again.parent == desk and ".again" in again.name and repeat.notes == []
    assert again.read_bytes() == first.read_bytes()


def test_a_region_that_was_found_is_found_again(edit: Edit, repeat: Repeat, desk: Path) -> None:
    first = edit(mask=None, prompt="replace the cup", threshold=0.3)
    recipe = read_recipe(first)
    assert recipe.asked.localize == "attention" and recipe.asked.threshold == 0.3
    assert repeat(first).read_bytes() == first.read_bytes()
    boxed = repeat.plan(first, mask="box:1,1,20,20")
    assert (boxed.mask, boxed.localize, boxed.way) == ("box:1,1,20,20", None, "off")


def test_a_mask_that_is_the_photo(edit: Edit, repeat: Repeat, desk: Path) -> None:
    scene = make_scene()
    alpha = np.full(scene.shape[:2], 255, np.uint8)
    alpha[12:26, 20:38] = 0
    (desk / "holed.png").write_bytes(encode(np.dstack([scene, alpha]), "PNG"))
    first = edit(sources=(), mask=str(desk / "holed.png"))
    recipe = read_recipe(first)
    assert recipe.inputs.source is None
    assert repeat(first).read_bytes() == first.read_bytes()


def test_files_are_found_beside_the_picture_here_and_where_given(
    edit: Edit, repeat: Repeat, desk: Path
) -> None:
    first = edit()
    wanted = first.read_bytes()
    moved = Path(shutil.move(desk / "cat.png", Path.cwd() / "cat.png"))
    assert repeat(first).read_bytes() == wanted and repeat.notes == []
    kept = Path(shutil.move(moved, desk / "kept cat.png"))
    with pytest.raises(DataError, match=r"cat\.png: neither beside the picture nor here") as caught:
        repeat.plan(first)
    assert caught.value.hint == "give --ref FILE"
    again = repeat(first, refs=(str(kept),))
    assert repeat.notes == [] and np.array_equal(read_pixels(again), read_pixels(first))


def test_a_file_that_changed_is_named(edit: Edit, repeat: Repeat, desk: Path) -> None:
    first = edit()
    (desk / "photo.png").write_bytes(encode(make_scene(seed=1), "PNG"))
    with pytest.raises(DataError, match=r"photo\.png: not the file the picture was made from"):
        repeat.plan(first)
    again = repeat(first, sources=(str(desk / "photo.png"),))
    assert len(repeat.notes) == 1 and "photo.png: not the photo.png that" in repeat.notes[0]
    assert not np.array_equal(read_pixels(again), read_pixels(first))


def test_options_change_the_edit(edit: Edit, repeat: Repeat, desk: Path) -> None:
    first = edit()
    assert repeat(first, seed=4, out=str(desk / "b.png")) == desk / "b.png"
    assert read_recipe(desk / "b.png") == replace(read_recipe(first), seed=4)
    assert not np.array_equal(read_pixels(desk / "b.png"), read_pixels(first))
    assert repeat(desk / "b.png", seed=3, out=str(desk / "c.png")).read_bytes() == first.read_bytes()


def test_another_reference_leaves_the_old_ones_mask(edit: Edit, repeat: Repeat, desk: Path) -> None:
    first = edit(ref_mask="box:2,2,38,44")
    assert repeat.plan(first).ref_mask == "box:2,2,38,44"
    assert repeat.plan(first, refs=(str(desk / "photo.png"),)).ref_mask is None


def test_what_came_through_a_pipe_has_to_be_given(
    edit: Edit, repeat: Repeat, desk: Path, tmp_path: Path
) -> None:
    import io
    import sys

    stream = io.TextIOWrapper(io.BytesIO((desk / "photo.png").read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stream)
        first = edit(sources=("-",))
    assert read_recipe(first).inputs.source.name == ""  # type: ignore[union-attr]
    with pytest.raises(DataError, match="came through a pipe"):
        repeat.plan(first)
    again = repeat(first, sources=(str(desk / "photo.png"),))
    assert repeat.notes == [] and np.array_equal(read_pixels(again), read_pixels(first))


def test_the_model_is_found_by_name_and_checked(
    edit: Edit, repeat: Repeat, desk: Path, tiny_model: Path, config: EditConfig
) -> None:
    first = edit()
    with pytest.raises(ConfigError, match="the folder tiny nano, which is neither beside"):
        repeat.plan(first, model=...)
    shutil.copytree(tiny_model, desk / "tiny nano")
    assert repeat(first, model=...).read_bytes() == first.read_bytes()
    _disturb(desk / "tiny nano")
    with pytest.raises(CheckpointError) as caught:
        repeat(first, model=...)
    assert (
        f"({read_recipe(first).base_hash})" in caught.value.message and "at hand is" in caught.value.message
    )
    assert repeat(first, model=str(desk / "tiny nano")).is_file()  # the user's own choice


def _disturb(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = next((folder / "transformer").glob("*.safetensors"))
    weights = load_file(path)
    name = sorted(weights)[0]
    save_file(weights | {name: weights[name] + 1}, path)


def test_what_is_no_single_edit_is_refused(edit: Edit, repeat: Repeat, desk: Path) -> None:
    first = edit()
    photo, ref = str(desk / "photo.png"), str(desk / "cat.png")
    for given in (
        {"sources": (photo, ref)},
        {"refs": (ref, photo)},
        {"batch": BatchConfig(manifest="jobs.jsonl")},
    ):
        with pytest.raises(ConfigError, match="--from repeats one edit"):
            repeat.plan(first, **given)
    with pytest.raises(ConfigError, match="would replace the picture"):
        repeat.plan(first, out=str(first))
    many = edit(steps=1, num_images=2)
    recipe = replace(read_recipe(many), steps=5000)
    with pytest.raises(ConfigError, match="--steps 5000"):
        build_config(recipe, {}, picture=many)


def test_a_hub_model_is_not_downloaded_for_a_picture(edit: Edit, repeat: Repeat) -> None:
    first = edit()
    recipe = replace(read_recipe(first), model="someone/huge-model")
    with pytest.raises(ConfigError, match="not on this machine") as caught:
        build_config(recipe, {}, picture=first)
    assert caught.value.hint == "--model someone/huge-model downloads it"
    assert build_config(recipe, {"model": "someone/huge-model"}, picture=first).model == "someone/huge-model"


def test_another_version_and_another_device_are_told(edit: Edit, tiny_model: Path) -> None:
    first = edit()
    notes: list[str] = []
    recipe = replace(read_recipe(first), a2="0.0.1", device="mps")
    config = build_config(recipe, {"model": str(tiny_model)}, picture=first, note=notes.append)
    assert config.device == "auto" and len(notes) == 2
    assert "made with a2 0.0.1" in notes[0] and "made on mps" in notes[1]
