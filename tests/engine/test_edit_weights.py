"""Model folders and adapters nobody should trust: refused with the tensor's or the file's name, old output intact."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from edits import Done, Studio, read_pixels
from safetensors.torch import load_file, save_file

from a2cli.backbones.flux import NanoBackbone
from a2cli.mot import MotConfig, inject_mot, save_adapter

BOX = "box:20,12,38,26"
WEIGHTS = {
    "transformer": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder_2": "model.safetensors",
    "image_encoder": "model.safetensors",
    "image_embedder": "diffusion_pytorch_model.safetensors",
}
CONFIG = MotConfig(num_experts=3, rank=2, alpha=2.0)


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def model(studio: Studio) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(studio.model, studio.folder.parent / "model"))


@pytest.fixture
def adapter(studio: Studio) -> Path:
    """An adapter of the tiny model whose experts do something."""
    backbone = NanoBackbone.load(str(studio.model))
    handle = inject_mot(backbone.transformer, backbone.get_blocks(), CONFIG)
    with torch.no_grad():
        for name, parameter in handle.named_parameters().items():
            if name.endswith(".B"):
                parameter.normal_(std=0.2)
    folder = studio.folder.parent / "adapter"
    save_adapter(
        handle, folder, backbone="nano", base_id="tiny", base_hash=backbone.base_hash, recipe={"steps": 0}
    )
    return folder


def run(studio: Studio, model: Path, adapter: Path | str = "none", *arguments: object) -> Done:
    paths = ("--model", model, "--adapter", adapter, "--mask", BOX, "-o", "out.png")
    return studio.run(studio.photo, "--ref", studio.ref, *paths, *arguments)


def refuse(studio: Studio, model: Path, adapter: Path | str = "none", *, names: str) -> str:
    """Run, expect one line with `names` and a remedy, and everything left as it was."""
    old = studio.write("out.png", b"the old output")
    before = studio.list_files()
    done = run(studio, model, adapter, "--save-region", "region.png")
    assert (done.code, done.stdout) == (2, b""), done.stderr
    assert done.stderr.startswith("a2: ") and done.stderr.count("\n") == 1, done.stderr
    assert names in done.stderr and done.stderr.rstrip().endswith(")"), done.stderr
    assert old.read_bytes() == b"the old output" and studio.list_files() == before
    return done.stderr


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".ckpt", ".pth", ".pkl"])
def test_pickled_model_weights_are_never_opened(studio: Studio, model: Path, suffix: str) -> None:
    """FAULTS 19."""
    trap = studio.folder / "opened"
    (model / "vae" / f"weights{suffix}").write_bytes(pickle.dumps(Bomb(trap)))
    line = refuse(studio, model, names=f"weights{suffix}")
    assert "never opened" in line and "safetensors" in line and not trap.exists()


def test_pickled_adapters_are_never_opened(studio: Studio, tmp_path: Path) -> None:
    """FAULTS 19."""
    trap = studio.folder / "opened"
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(trap)))
    (tmp_path / "single.ckpt").write_bytes(pickle.dumps(Bomb(trap)))
    for given, name in ((folder, "adapter_model.bin"), (tmp_path / "single.ckpt", "single.ckpt")):
        assert "never opened" in refuse(studio, studio.model, given, names=name)
    assert not trap.exists()


def rewrite(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Load a safetensors file, change its tensors, write it back with its metadata."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=metadata)


def first_matrix(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name in sorted(tensors) if tensors[name].ndim >= 2)


def drop(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[first_matrix(tensors)]


def add(tensors: dict[str, torch.Tensor]) -> None:
    tensors["one.too.many"] = torch.zeros(3)


def reshape(tensors: dict[str, torch.Tensor]) -> None:
    name = first_matrix(tensors)
    tensors[name] = tensors[name].repeat(2, *([1] * (tensors[name].ndim - 1)))


def retype(tensors: dict[str, torch.Tensor]) -> None:
    name = first_matrix(tensors)
    tensors[name] = tensors[name].to(torch.int32)


def poison(tensors: dict[str, torch.Tensor]) -> None:
    tensors[first_matrix(tensors)].view(-1)[3] = float("nan")


def explode(tensors: dict[str, torch.Tensor]) -> None:
    tensors[first_matrix(tensors)].view(-1)[3] = float("inf")


CHANGES = [drop, add, reshape, retype, poison, explode]


@pytest.mark.parametrize("part", WEIGHTS)
@pytest.mark.parametrize("change", CHANGES)
def test_wrong_model_tensors_are_named(
    studio: Studio, model: Path, part: str, change: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    """FAULTS 20."""
    path = model / part / WEIGHTS[part]
    name = "one.too.many" if change is add else first_matrix(load_file(path))
    rewrite(path, change)
    assert part in refuse(studio, model, names=name)


@pytest.mark.parametrize("part", WEIGHTS)
def test_damaged_model_files_are_refused(studio: Studio, model: Path, part: str) -> None:
    """FAULTS 20: truncated, a header that lies about its size, no safetensors at all, gone."""
    path = model / part / WEIGHTS[part]
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    entry = header[next(name for name in header if name != "__metadata__")]
    entry["shape"] = [2**40, *entry["shape"][1:]]
    lying = json.dumps(header).encode()
    for data in (
        whole[: len(whole) // 2],
        whole[:-1],
        struct.pack("<Q", 2**62) + whole[8:],
        struct.pack("<Q", len(lying)) + lying + whole[8 + length :],
        b"<html>not found</html>",
        b"",
    ):
        path.write_bytes(data)
        assert "unexpected" not in refuse(studio, model, names=part)
    path.unlink()
    refuse(studio, model, names=part)
    shutil.rmtree(model / part)
    refuse(studio, model, names=part)


@pytest.mark.parametrize("change", CHANGES)
def test_wrong_adapter_tensors_are_named(
    studio: Studio, adapter: Path, change: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    """FAULTS 20."""
    path = adapter / "adapter_model.safetensors"
    name = "one.too.many" if change is add else first_matrix(load_file(path))
    rewrite(path, change)
    refuse(studio, studio.model, adapter, names=name)


def test_damaged_adapters_are_refused(studio: Studio, adapter: Path) -> None:
    """FAULTS 20."""
    path = adapter / "adapter_model.safetensors"
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:100], struct.pack("<Q", 2**62) + whole[8:], b""):
        path.write_bytes(data)
        refuse(studio, studio.model, adapter, names="adapter_model.safetensors")
    path.unlink()
    refuse(studio, studio.model, adapter, names=str(adapter))
    refuse(studio, studio.model, "no such folder", names="no such folder")


def test_an_adapter_of_another_base_is_refused(studio: Studio, model: Path, adapter: Path) -> None:
    """FAULTS 20: one changed weight makes another base."""

    def nudge(tensors: dict[str, torch.Tensor]) -> None:
        tensors[first_matrix(tensors)].view(-1)[0] += 1

    rewrite(model / "transformer" / WEIGHTS["transformer"], nudge)
    line = refuse(studio, model, adapter, names="adapter_model.safetensors")
    assert "made for tiny" in line


def test_an_adapter_that_fits_changes_the_edit_and_its_recipe(studio: Studio, adapter: Path) -> None:
    from PIL import Image

    assert run(studio, studio.model).code == 0
    bare = read_pixels(studio.folder / "out.png")
    done = run(studio, studio.model, adapter)
    assert (done.code, done.stderr) == (0, "")
    assert not (read_pixels(studio.folder / "out.png") == bare).all()
    recipe = json.loads(Image.open(studio.folder / "out.png").info["a2"])
    assert len(recipe["adapter_hash"]) == 16


@pytest.mark.parametrize("name", ["config.json", "model_index.json", "tokenizer_2/tokenizer_config.json"])
def test_a_model_that_asks_for_its_own_code_is_refused(studio: Studio, model: Path, name: str) -> None:
    """FAULTS 21: nothing of it runs, and nobody is asked whether it may."""
    path = model / ("transformer/config.json" if name == "config.json" else name)
    path.parent.mkdir(exist_ok=True)
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(config | {"auto_map": {"AutoModel": "own.Model", "AutoTokenizer": "own.T"}}))
    assert "code of its own" in refuse(studio, model, names=path.name)


def test_a_model_that_brings_code_is_refused(studio: Studio, model: Path) -> None:
    """FAULTS 21."""
    trap = studio.folder / "ran"
    (model / "transformer" / "own.py").write_text(f"import os\nos.mkdir({str(trap)!r})\n")
    assert "code of their own" in refuse(studio, model, names="own.py")
    assert not trap.exists()


@pytest.mark.parametrize("name", ["transformer/config.json", "vae/config.json", "a2_traits.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", '{"no_such_setting": 1, "in_channels": "many"}'])
def test_damaged_configurations_are_refused(studio: Studio, model: Path, name: str, text: str) -> None:
    (model / name).write_text(text)
    refuse(studio, model, names=name.split("/")[0])


def test_a_model_that_is_not_there(studio: Studio) -> None:
    refuse(studio, studio.folder / "nowhere", names="nowhere")
    refuse(studio, studio.photo, names="photo.png")
