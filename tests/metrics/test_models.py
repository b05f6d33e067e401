"""Models are opened safely: what is wrong with a folder is said in one line, and no pickle or code is touched."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import build_dinov2, build_vit
from transformers import AutoModel, Dinov2Model

from a2cli.errors import A2Error, BackboneError, CheckpointError, DataError
from a2cli.metrics.models import get_device, get_model_name, get_reach, load_model, name_view


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(build_dinov2(tmp_path_factory.mktemp("models") / "dinov2"))


@pytest.fixture
def folder(dinov2: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dinov2, tmp_path / "tiny"))


def alter(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Save the weights again, changed."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def refuse(folder: Path | str, kind: type[A2Error] = BackboneError) -> str:
    with pytest.raises(kind) as caught:
        load_model(AutoModel, str(folder), "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_opened_frozen_and_in_evaluation_mode(folder: Path) -> None:
    model = load_model(AutoModel, str(folder), "cpu")
    assert isinstance(model, Dinov2Model) and not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.parameters())
    assert get_model_name(model, str(folder)) == "Dinov2Model tiny"
    direct = Dinov2Model.from_pretrained(folder).state_dict()
    assert direct.keys() == model.state_dict().keys()
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in direct.items())


def test_half_precision_weights_become_float32(folder: Path) -> None:
    def halve(weights: dict[str, torch.Tensor]) -> None:
        weights.update({name: tensor.bfloat16() for name, tensor in weights.items()})

    alter(folder, halve)
    model = load_model(AutoModel, str(folder), "cpu")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_pickled_weights_are_never_opened(folder: Path) -> None:
    """FAULTS 19."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert "pytorch_model.bin: pickled weights are never opened" in refuse(folder)


def test_a_folder_with_code_of_its_own_is_refused(folder: Path) -> None:
    """FAULTS 21."""
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    assert "code of its own" in refuse(folder)
    del config["auto_map"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('was run')")
    assert "evil.py" in refuse(folder)


def test_damaged_weights_are_named(folder: Path) -> None:
    """FAULTS 20: truncated, missing, of another shape, not finite."""
    whole = (folder / "model.safetensors").read_bytes()
    name = "encoder.layer.0.norm1.weight"
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "model.safetensors: damaged weights" in refuse(folder, CheckpointError)
    (folder / "model.safetensors").write_bytes(whole)
    alter(folder, lambda weights: weights.pop(name))
    assert f"tensor {name} is missing" in refuse(folder, CheckpointError)
    (folder / "model.safetensors").write_bytes(whole)
    alter(folder, lambda weights: weights.update({name: torch.ones(3)}))
    assert f"tensor {name} has shape (3,), not (16,)" in refuse(folder, CheckpointError)
    (folder / "model.safetensors").write_bytes(whole)
    alter(folder, lambda weights: weights[name][5:6].fill_(torch.nan))
    assert f"tensor {name} holds NaN" in refuse(folder, CheckpointError)


def test_what_nothing_uses_may_lack(tmp_path: Path) -> None:
    vit = build_vit(tmp_path / "vit")
    assert "tensor pooler.dense.bias is missing" in refuse(vit, CheckpointError)
    assert load_model(AutoModel, vit, "cpu", spare=("pooler.",)).config.model_type == "vit"


@pytest.mark.parametrize("broken", ["", "[1]", "{"])
def test_a_broken_configuration_is_refused(folder: Path, broken: str) -> None:
    (folder / "config.json").write_text(broken)
    assert "config.json" in refuse(folder)


def test_missing_models_are_refused_with_a_remedy(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such model folder" in refuse(tmp_path / "nowhere")
    (folder / "model.safetensors").unlink()
    assert "tiny: cannot be loaded" in refuse(folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    said = refuse("somebody/some-model")
    assert said.startswith("somebody/some-model: cannot be loaded") and "name a folder" in said


def test_a_hub_that_does_not_answer_is_given_up_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's client alone tries for 23 s; what lies in its cache still opens."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    start = time.monotonic()
    assert refuse("somebody/some-model").startswith("somebody/some-model: cannot be loaded")
    place = tmp_path / "hub" / "models--somebody--some-model"
    shutil.copytree(folder, place / "snapshots" / "0123abcd4567")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0123abcd4567")
    model = load_model(AutoModel, "somebody/some-model", "cpu")
    assert get_model_name(model, "somebody/some-model") == "Dinov2Model somebody/some-model@0123abcd"
    assert time.monotonic() - start < 10


def test_a_hub_that_answers_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it says: here that it cannot do it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # 501 for every HEAD
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert get_reach("somebody/some-model") == {}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert get_reach("somebody/some-model") == {"local_files_only": True}


def test_devices_there_are_not_are_refused() -> None:
    assert get_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert get_device("cpu") == "cpu"
    for device in ("cuda:99", "abacus"):
        with pytest.raises(BackboneError, match=f"device {device}"):
            get_device(device)


def test_a_picture_the_model_fails_on_is_named() -> None:
    with (
        pytest.raises(DataError, match=r"cat\.jpg: the model fails on it: out of memory") as caught,
        name_view("cat.jpg"),
    ):
        raise torch.OutOfMemoryError("out of memory\nand much more")
    assert "and much more" not in str(caught.value)
