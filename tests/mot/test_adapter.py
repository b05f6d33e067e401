from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_flux import build_tiny_flux, run, wake_experts
from torch import Tensor

from a2cli.backbones.blocks import get_blocks
from a2cli.errors import CheckpointError
from a2cli.mot import MotConfig, hash_base, inject_mot, load_adapter, read_adapter, save_adapter
from a2cli.mot.header import read_header

CONFIG = MotConfig(num_experts=4, rank=2, alpha=4.0, targets="attention")
RECIPE = {"steps": 6000, "stages": ["fine", "rough", "box"], "seed": 1}
NAME = "transformer_blocks.1.attn.to_q.A"


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, str, Tensor]:
    """An adapter folder, its base's hash, and the output it must give."""
    flux = build_tiny_flux()
    base_hash = hash_base(flux)
    handle = inject_mot(flux, get_blocks(flux), CONFIG)
    wake_experts(handle)
    folder = tmp_path / "adapter"
    save_adapter(handle, folder, backbone="nano", base_id="tiny/flux", base_hash=base_hash, recipe=RECIPE)
    return folder, base_hash, run(flux)


def test_round_trip(saved: tuple[Path, str, Tensor]) -> None:
    folder, base_hash, expected = saved
    flux = build_tiny_flux()
    handle, info = load_adapter(flux, get_blocks(flux), folder, base_hash=base_hash)
    assert torch.equal(run(flux), expected)
    assert handle.config == info.config == CONFIG
    assert (info.backbone, info.base_id, info.base_hash) == ("nano", "tiny/flux", base_hash)
    assert info.recipe == RECIPE and info.dtype == "F32" and read_adapter(folder) == info


def test_folder_holds_the_three_files_and_no_other(saved: tuple[Path, str, Tensor]) -> None:
    folder, base_hash, _ = saved
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["format"] == "a2-mot" and config["version"] == 1 and config["base_hash"] == base_hash
    assert config["config"]["num_experts"] == 4 and config["attention"] == "two_pass"
    card = (folder / "README.md").read_text()
    assert base_hash[:16] in card and '"steps": 6000' in card


def test_the_weights_file_alone_is_the_adapter(saved: tuple[Path, str, Tensor]) -> None:
    """Stopped between two of its writes, a save leaves one whole adapter: the weights file decides which."""
    folder, base_hash, expected = saved
    info = read_adapter(folder)
    (folder / "adapter_config.json").write_text("{")
    assert read_adapter(folder) == info
    (folder / "adapter_config.json").unlink()
    flux = build_tiny_flux()
    load_adapter(flux, get_blocks(flux), folder, base_hash=base_hash)
    assert torch.equal(run(flux), expected)


def test_bf16_file_loads_into_float32(tmp_path: Path, saved: tuple[Path, str, Tensor]) -> None:
    _, base_hash, expected = saved
    flux = build_tiny_flux()
    handle, _ = load_adapter(flux, get_blocks(flux), saved[0], base_hash=base_hash)
    arguments: dict[str, Any] = {"backbone": "nano", "base_id": "t", "base_hash": base_hash, "recipe": {}}
    info = save_adapter(handle, tmp_path / "half", dtype=torch.bfloat16, **arguments)
    assert info.dtype == "BF16"
    handle.remove()
    narrow, _ = load_adapter(flux, get_blocks(flux), tmp_path / "half", base_hash=base_hash)
    assert all(p.dtype == torch.float32 for p in narrow.trainable_parameters())
    torch.testing.assert_close(run(flux), expected, rtol=0.1, atol=0.1)


def test_base_hash_ignores_experts_and_sees_everything_else() -> None:
    flux = build_tiny_flux()
    plain = hash_base(flux)
    assert plain == hash_base(build_tiny_flux()) != hash_base(build_tiny_flux(1))
    handle = inject_mot(flux, get_blocks(flux), CONFIG)
    wake_experts(handle)
    assert hash_base(flux) == plain
    run(flux, batch=1)
    handle.merge()
    with pytest.raises(CheckpointError, match="merged"):
        hash_base(flux)
    handle.remove()
    assert hash_base(flux) == plain
    with torch.no_grad():
        flux.proj_out.bias[0] += 1e-7
    assert hash_base(flux) != plain
    assert hash_base(flux.bfloat16()) != plain
    with pytest.raises(CheckpointError, match="not loaded"):
        hash_base(flux.to("meta"))


def _drop(tensors: dict[str, Tensor]) -> None:
    del tensors[NAME]


def _add(tensors: dict[str, Tensor]) -> None:
    tensors["transformer_blocks.7.attn.to_q.A"] = tensors[NAME].clone()


def _reshape(tensors: dict[str, Tensor]) -> None:
    tensors[NAME] = tensors[NAME].T.contiguous()


def _retype(tensors: dict[str, Tensor]) -> None:
    tensors[NAME] = tensors[NAME].half()


def _poison(tensors: dict[str, Tensor]) -> None:
    tensors[NAME][0, 0] = float("nan")


def _explode(tensors: dict[str, Tensor]) -> None:
    tensors[NAME][1, 1] = float("inf")


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (_drop, "missing"),
        (_add, "transformer_blocks.7"),
        (_reshape, "shape"),
        (_retype, "F16"),
        (_poison, "NaN"),
        (_explode, "infinite"),
    ],
)
def test_a_wrong_tensor_is_named(
    saved: tuple[Path, str, Tensor], damage: Callable[[dict[str, Tensor]], None], word: str
) -> None:
    folder, base_hash, _ = saved
    path = folder / "adapter_model.safetensors"
    metadata, _ = read_header(path)
    tensors = load_file(path)
    damage(tensors)
    save_file(tensors, path, metadata=metadata)
    flux = build_tiny_flux()
    before, keys = run(flux), list(flux.state_dict())
    with pytest.raises(CheckpointError, match=word) as caught:
        load_adapter(flux, get_blocks(flux), folder, base_hash=base_hash)
    assert NAME in str(caught.value) or "transformer_blocks.7" in str(caught.value)
    assert list(flux.state_dict()) == keys and torch.equal(run(flux), before)
    assert all(p.requires_grad for p in flux.parameters())


def test_another_base_is_refused(saved: tuple[Path, str, Tensor]) -> None:
    flux = build_tiny_flux(1)
    with pytest.raises(CheckpointError, match="made for tiny/flux"):
        load_adapter(flux, get_blocks(flux), saved[0], base_hash=hash_base(flux))


def _read(saved: tuple[Path, str, Tensor]) -> tuple[Path, bytes]:
    path = saved[0] / "adapter_model.safetensors"
    return path, path.read_bytes()


def test_every_truncation_is_noticed(saved: tuple[Path, str, Tensor]) -> None:
    path, data = _read(saved)
    header = int.from_bytes(data[:8], "little")
    for size in (0, 4, 8, 100, 8 + header - 1, 8 + header, 8 + header + 10, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(CheckpointError) as caught:
            read_adapter(path.parent)
        assert str(path) in str(caught.value)
        if size >= 8 + header:
            assert "tensor" in str(caught.value) and "truncated" in str(caught.value)


def _with_header(data: bytes, change: Callable[[dict], None]) -> bytes:
    length = int.from_bytes(data[:8], "little")
    content = json.loads(data[8 : 8 + length])
    change(content)
    header = json.dumps(content).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c[NAME].update(shape=[2**40, 2**40]),
        lambda c: c[NAME].update(shape=[-1, -1]),
        lambda c: c[NAME].update(data_offsets=[0, 2**60]),
        lambda c: c[NAME].update(data_offsets=[0.0, 1.5]),
        lambda c: c[NAME].update(dtype="F1024"),
        lambda c: c.update({NAME: "tensor"}),
        lambda c: c[NAME].pop("shape"),
    ],
)
def test_a_lying_header_names_its_tensor(
    saved: tuple[Path, str, Tensor],
    change: Callable[[dict], None],
) -> None:
    path, data = _read(saved)
    path.write_bytes(_with_header(data, change))
    with pytest.raises(CheckpointError, match=NAME):
        read_adapter(path.parent)


def test_other_lies(saved: tuple[Path, str, Tensor]) -> None:
    path, data = _read(saved)
    lies = [
        (2**62).to_bytes(8, "little") + data[8:],
        b"\xff" * 64,
        (2).to_bytes(8, "little") + b"[]",
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        data + b"more",
        _with_header(data, lambda c: c.pop("__metadata__")),
        _with_header(data, lambda c: c.update(__metadata__={"a2": 3})),
        _with_header(data, lambda c: c["__metadata__"].update(a2="{")),
        _with_header(data, lambda c: c["__metadata__"].update(a2="[]")),
    ]
    for lie in lies:
        path.write_bytes(lie)
        with pytest.raises(CheckpointError) as caught:
            read_adapter(path.parent)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "lora"},
        {"version": 2},
        {"config": {"num_experts": 1}},
        {"config": {"rank": "2"}},
        {"config": {"ranks": 2}},
        {"recipe": []},
        {"dtype": "I8"},
    ],
)
def test_an_unknown_configuration_is_refused(
    saved: tuple[Path, str, Tensor], change: dict[str, object]
) -> None:
    path, data = _read(saved)

    def edit(content: dict) -> None:
        metadata = content["__metadata__"]
        metadata["a2"] = json.dumps({**json.loads(metadata["a2"]), **change})

    path.write_bytes(_with_header(data, edit))
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
        read_adapter(path.parent)


def test_a_huge_rank_asks_for_no_memory(saved: tuple[Path, str, Tensor]) -> None:
    path, data = _read(saved)

    def edit(content: dict) -> None:
        metadata = json.loads(content["__metadata__"]["a2"])
        metadata["config"]["rank"] = 10**12
        content["__metadata__"]["a2"] = json.dumps(metadata)

    path.write_bytes(_with_header(data, edit))
    flux = build_tiny_flux()
    with pytest.raises(CheckpointError, match=r"transformer_blocks\.0\.attn\.to_q\.A has shape"):
        load_adapter(flux, get_blocks(flux), path.parent, base_hash=saved[1])


class _Trap:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter.pt", "adapter.ckpt"])
def test_pickles_are_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes(pickle.dumps(_Trap()))
    for place in (tmp_path / "a", tmp_path / "a" / name):
        with pytest.raises(CheckpointError, match="pickle"):
            read_adapter(place)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(CheckpointError, match="no adapter_model"):
        read_adapter(tmp_path)
    with pytest.raises(CheckpointError, match="no adapter_model"):
        read_adapter(tmp_path / "nowhere")


def test_nan_is_not_saved_and_the_old_adapter_stays(saved: tuple[Path, str, Tensor]) -> None:
    folder, base_hash, _ = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    flux = build_tiny_flux()
    handle, _ = load_adapter(flux, get_blocks(flux), folder, base_hash=base_hash)
    with torch.no_grad():
        handle.linears["transformer_blocks.1.attn.to_q"].A[0, 0] = float("nan")
    arguments: dict[str, Any] = {"backbone": "nano", "base_id": "t", "base_hash": base_hash}
    with pytest.raises(CheckpointError, match=NAME):
        save_adapter(handle, folder, recipe={}, **arguments)
    with torch.no_grad():
        handle.linears["transformer_blocks.1.attn.to_q"].A[0, 0] = 0
    for recipe in ({"loss": float("nan")}, {"path": Path()}):
        with pytest.raises(CheckpointError, match="JSON"):
            save_adapter(handle, folder, recipe=recipe, **arguments)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_half_precision_that_overflows_is_not_saved(saved: tuple[Path, str, Tensor], tmp_path: Path) -> None:
    folder, base_hash, _ = saved
    flux = build_tiny_flux()
    handle, _ = load_adapter(flux, get_blocks(flux), folder, base_hash=base_hash)
    with torch.no_grad():
        handle.linears["transformer_blocks.1.attn.to_q"].A[0, 0] = 1e6
    arguments: dict[str, Any] = {"backbone": "nano", "base_id": "t", "base_hash": base_hash, "recipe": {}}
    with pytest.raises(CheckpointError, match=NAME):
        save_adapter(handle, tmp_path / "half", dtype=torch.float16, **arguments)
    save_adapter(handle, tmp_path / "wide", dtype=torch.bfloat16, **arguments)


def test_a_folder_that_cannot_be_made_is_refused(saved: tuple[Path, str, Tensor], tmp_path: Path) -> None:
    folder, base_hash, _ = saved
    flux = build_tiny_flux()
    handle, _ = load_adapter(flux, get_blocks(flux), folder, base_hash=base_hash)
    (tmp_path / "plain").write_bytes(b"old")
    with pytest.raises(CheckpointError, match="cannot be made"):
        save_adapter(
            handle, tmp_path / "plain" / "x", backbone="nano", base_id="t", base_hash=base_hash, recipe={}
        )
    assert (tmp_path / "plain").read_bytes() == b"old"


@pytest.mark.slow
def test_the_same_adapter_is_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Two header keys come in an order that differs from process to process: there is one."""
    code = (
        "import sys, torch; sys.path.insert(0, sys.argv[2])\n"
        "from tiny_flux import build_tiny_flux\n"
        "from a2cli.backbones.blocks import get_blocks\n"
        "from a2cli.mot import MotConfig, inject_mot, save_adapter\n"
        "torch.manual_seed(0); flux = build_tiny_flux()\n"
        "handle = inject_mot(flux, get_blocks(flux), MotConfig(num_experts=2, rank=2))\n"
        "save_adapter(handle, sys.argv[1], backbone='n', base_id='b', base_hash='h', recipe={'steps': 1})\n"
    )
    places = [tmp_path / name for name in "abc"]
    commands = [[sys.executable, "-c", code, str(place), str(Path(__file__).parent)] for place in places]
    running = [subprocess.Popen(command) for command in commands]
    assert [process.wait(timeout=300) for process in running] == [0, 0, 0]
    files = [{p.name: p.read_bytes() for p in place.iterdir()} for place in places]
    assert files[0] == files[1] == files[2]
    assert list(read_header(tmp_path / "a" / "adapter_model.safetensors")[0]) == ["a2"]
