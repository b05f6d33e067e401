"""An Editor: one pipeline for many edits, each as if it were alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edits import Studio, read_pixels

from a2cli.backbones.flux import NanoBackbone
from a2cli.config.edit import EditConfig
from a2cli.engine.edit import Editor, Look, run_edit
from a2cli.errors import BackboneError, DataError

BOX = "box:20,12,38,26"


@pytest.fixture
def config(studio: Studio) -> EditConfig:
    """An edit of the studio's photo."""
    return EditConfig(
        (str(studio.photo),),
        (str(studio.ref),),
        mask=BOX,
        out="out.png",
        model=str(studio.model),
        adapter=("none",),
        device="cpu",
    )


def test_the_model_is_loaded_once_and_edits_do_not_touch_each_other(
    config: EditConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"seed": 3},
        {"prompt": "a cat", "steps": 3, "guidance": 4.0},
        {"num_images": 2},
    ]
    wanted = []
    for changes in (*ways, {}):
        results = list(run_edit(replace(config, **changes)))
        wanted.append([Path(result.path).read_bytes() for result in results])
    load, loads = NanoBackbone.load.__func__, []  # type: ignore[attr-defined]
    monkeypatch.setattr(
        NanoBackbone,
        "load",
        classmethod(lambda cls, *a, **k: loads.append(1) or load(cls, *a, **k)),  # type: ignore[func-returns-value]
    )
    editor = Editor(config)
    made = []
    for changes in (*ways, {}):
        made.append([Path(result.path).read_bytes() for result in editor.edit(replace(config, **changes))])
    assert made == wanted and made[0] == made[-1] != made[1] and len(loads) == 1
    editor.unload()
    assert [Path(result.path).read_bytes() for result in editor.edit(config)] == made[0] and len(loads) == 2


def test_bad_inputs_are_told_from_a_model_that_cannot_be_loaded(config: EditConfig, studio: Studio) -> None:
    editor = Editor(config)
    broken = studio.write("broken.png", b"")
    with pytest.raises(DataError, match=r"broken\.png"):
        list(editor.edit(replace(config, sources=(str(broken),))))
    assert not editor.failed
    assert len(list(editor.edit(config))) == 1
    without = Editor(replace(config, model="/no/such/model"))
    with pytest.raises(BackboneError, match="no such model folder"):
        list(without.edit(config))
    assert without.failed


def test_a_smaller_working_size_is_for_one_edit(config: EditConfig) -> None:
    editor = Editor(config)
    pictures = []
    for working in (None, 32, None):
        (result,) = editor.edit(config, working=working)
        pictures.append(read_pixels(Path(result.path)))
    assert np.array_equal(pictures[0], pictures[2]) and not np.array_equal(pictures[0], pictures[1])
    assert editor.load().backbone.traits.resolution == 64


def test_who_looks_sees_what_was_written(config: EditConfig) -> None:
    looks: list[Look] = []
    results = list(Editor(config).edit(replace(config, num_images=2), look=looks.append))
    (look,) = looks
    assert [Path(result.path).read_bytes() for result in results] == list(look.files)
    assert look.inputs.photo.size == look.weight.shape == (40, 56)
    assert (look.weight[12:26, 20:38] == 1).all() and look.weight[0, 0] == 0
