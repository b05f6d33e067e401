"""A folder with an edit's inputs, an edit made of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

if TYPE_CHECKING:
    from a2cli.config.edit import EditConfig
    from a2cli.engine.edit import Editor

Edit = Callable[..., Path]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photo.png, cat.png and mask.png, which is not the current one."""
    from edits import encode_mask, make_reference
    from pictures import encode, make_scene

    folder = tmp_path / "desk of Ana"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    scene = make_scene()
    marked = scene[..., 0] < 0
    marked[12:26, 20:38] = True
    for name, data in (
        ("photo.png", encode(scene, "PNG")),
        ("cat.png", encode(make_reference(), "PNG")),
        ("mask.png", encode_mask(marked)),
    ):
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def config(desk: Path, tiny_model: Path) -> EditConfig:
    """An edit of what lies on the desk, by the tiny model."""
    from a2cli.config.edit import EditConfig

    return EditConfig(
        sources=(str(desk / "photo.png"),),
        refs=(str(desk / "cat.png"),),
        mask=str(desk / "mask.png"),
        prompt="a striped cup, seen: from above",
        out=str(desk / "out.png"),
        model=str(tiny_model),
        adapter=("none",),
        device="cpu",
        seed=3,
    )


@pytest.fixture(scope="session")
def editor(tiny_model: Path) -> Editor:
    """An editor with the tiny model."""
    from a2cli.config.edit import EditConfig
    from a2cli.engine.edit import Editor

    return Editor(EditConfig((), ("-",), mask="box:", model=str(tiny_model), adapter=("none",), device="cpu"))


@pytest.fixture
def edit(config: EditConfig, editor: Editor) -> Edit:
    """Run that edit with some settings changed; returns the (first) picture written."""

    def run(**changed: Any) -> Path:
        results = list(editor.edit(replace(config, **changed)))
        return Path(results[0].path)

    return run
