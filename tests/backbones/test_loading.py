"""Model folders are not trusted: FAULTS 19 to 21, each error naming the tensor or the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, SiglipVisionModel, T5EncoderModel

from a2cli.backbones.flux import FluxFillBackbone
from a2cli.backbones.loading import check_folder, fetch_folder, hash_weights, load_component
from a2cli.errors import BackboneError, CheckpointError

PARTS: dict[str, Any] = {
    "transformer": FluxTransformer2DModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": T5EncoderModel,
}


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Path:
    """A copy of one component's folder; its name tells the class."""
    return shutil.copytree(folder / request.param, tmp_path / request.param)


def load(part: Path) -> Any:
    return load_component(PARTS[part.name], str(part.parent), part.name)


def get_weights(part: Path) -> Path:
    return next(part.glob("*.safetensors"))


def change(part: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(get_weights(part))
    edit(tensors)
    save_file(tensors, get_weights(part), metadata={"format": "pt"})


def get_matrix(part: Path) -> str:
    return next(k for k, v in sorted(load_file(get_weights(part)).items()) if v.ndim == 2)


def test_a_sound_component_loads(part: Path) -> None:
    component = load(part)
    assert not component.training and not any(p.requires_grad for p in component.parameters())
    stored, loaded = load_file(get_weights(part)), component.state_dict()
    shared = set(stored) & set(loaded)
    assert shared and all(torch.equal(stored[k], loaded[k]) for k in shared)


@pytest.mark.parametrize(
    ("name", "cls"), [("text_encoder", CLIPTextModel), ("image_encoder", SiglipVisionModel)]
)
def test_towers_are_read_under_their_published_names_too(
    folder: Path, tmp_path: Path, name: str, cls: Any
) -> None:
    """FLUX.1's CLIP and Redux's SigLIP were saved when their classes still wrapped an inner model."""
    part = shutil.copytree(folder / name, tmp_path / name)
    prefix = {"text_encoder": "text_model.", "image_encoder": "vision_model."}[name]
    tensors = load_file(get_weights(part))
    bare = {key.removeprefix(prefix): value for key, value in tensors.items()}
    loaded = []
    for named in (bare, {prefix + key: value for key, value in bare.items()}):
        save_file(named, get_weights(part), metadata={"format": "pt"})
        loaded.append(load_component(cls, str(tmp_path), name).state_dict())
    assert loaded[0].keys() == loaded[1].keys()
    assert all(torch.equal(value, loaded[1][key]) for key, value in loaded[0].items())


def test_damaged_files_are_refused_by_name(part: Path) -> None:
    path = get_weights(part)
    sound = path.read_bytes()
    length = int.from_bytes(sound[:8], "little")
    header = json.loads(sound[8 : 8 + length])
    name = next(k for k in header if k != "__metadata__")
    header[name]["data_offsets"][1] += 4
    lying = json.dumps(header).encode()
    for damaged in (
        b"",
        b"text",
        sound[: len(sound) // 2],
        sound[:-1],
        sound + b"\0",
        (1 << 40).to_bytes(8, "little") + sound[8:],
        len(lying).to_bytes(8, "little") + lying + sound[8 + length :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=path.name.replace(".", r"\.")):
            load(part)


def test_every_tensor_is_accounted_for(part: Path) -> None:
    name = get_matrix(part)
    change(part, lambda tensors: tensors.update({"zzz.extra": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=r"unexpected keys: zzz\.extra"):
        load(part)
    change(part, lambda tensors: (tensors.pop("zzz.extra"), tensors.pop(name)))
    with pytest.raises(CheckpointError, match=f"{part.name}: missing keys: .*{name.split('.', 1)[1]}"):
        load(part)


def test_wrong_shapes_kinds_and_values_are_refused_by_name(part: Path) -> None:
    name = get_matrix(part)
    sound = load_file(get_weights(part))[name]
    for wrong, message in (
        (torch.zeros(3, 5), rf"has shape \(3, 5\), not \({sound.shape[0]}, {sound.shape[1]}\)"),
        (sound.to(torch.int8), "is I8, not floating"),
        (torch.full_like(sound, float("nan")), "holds NaN"),
        (torch.full_like(sound, float("inf")), "holds NaN or infinite"),
    ):
        change(part, lambda tensors, wrong=wrong: tensors.update({name: wrong}))  # type: ignore[misc]
        with pytest.raises(CheckpointError, match=f"tensor {name} {message}"):
            load(part)


def test_a_config_that_asks_for_more_or_says_nothing_is_refused(part: Path) -> None:
    path = part / "config.json"
    config = json.loads(path.read_text())
    key = {"transformer": "num_single_layers", "vae": "layers_per_block"}.get(part.name, "num_hidden_layers")
    key = "num_layers" if part.name == "text_encoder_2" else key
    path.write_text(json.dumps({**config, key: 3}))
    with pytest.raises(CheckpointError, match="missing keys: "):
        load(part)
    path.write_text("{")
    with pytest.raises(BackboneError, match=f"{part.name}: cannot be loaded"):
        load(part)


def test_absent_weights_are_said_to_be_absent(part: Path) -> None:
    get_weights(part).unlink()
    with pytest.raises(BackboneError, match=f"{part.name}: cannot be loaded"):
        load(part)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "a.pth", "vae.CKPT", "notes.pkl"])
def test_pickles_are_refused_unopened(folder: Path, tmp_path: Path, name: str) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    trap = tmp_path / "sprung"
    (model / "vae" / name).write_bytes(b"cos\nsystem\n(S'touch " + str(trap).encode() + b"'\ntR.")
    with pytest.raises(BackboneError, match=f"{name}: pickled weights are never opened.*safetensors"):
        FluxFillBackbone.load(str(model))
    assert not trap.exists()


@pytest.mark.parametrize(
    "file", ["transformer/config.json", "tokenizer/tokenizer_config.json", "model_index.json"]
)
def test_folders_with_code_of_their_own_are_refused(folder: Path, tmp_path: Path, file: str) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    config = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Mine"}}))
    with pytest.raises(BackboneError, match=f"{file}: asks for code of its own"):
        FluxFillBackbone.load(str(model))
    (model / file).write_text(json.dumps(config))
    check_folder(model)
    (model / "transformer" / "modeling.py").write_text("raise SystemExit")
    with pytest.raises(BackboneError, match=r"modeling\.py: model folders with code"):
        FluxFillBackbone.load(str(model))
    shutil.move(model / "transformer", tmp_path / "elsewhere")
    (model / "transformer").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackboneError, match=r"modeling\.py: model folders with code"):
        FluxFillBackbone.load(str(model))


def test_configs_that_are_no_objects_are_refused(tmp_path: Path) -> None:
    for text in ("[1]", "{", "\x00"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(BackboneError, match=r"config\.json: not a model configuration"):
            check_folder(tmp_path)


def test_folders_are_found_without_the_hub(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetch_folder(str(folder)) == folder
    for source in ("./here", "/not/there", "~/nor/there", "one", "a/b/c"):
        with pytest.raises(BackboneError, match="no such model folder"):
            fetch_folder(source)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BackboneError, match=r"nobody/nothing: the hub does not deliver it.*works offline"):
        fetch_folder("nobody/nothing")


def test_the_hash_is_of_every_byte_of_a_small_file(part: Path) -> None:
    path = get_weights(part)
    before = hash_weights(part)
    assert before == hash_weights(part) and len(before) == 64
    change(part, lambda tensors: tensors.update({k: v.clone() for k, v in tensors.items()}))
    same = hash_weights(part)
    change(part, lambda tensors: tensors[get_matrix(part)].view(-1)[-1:].add_(1e-3))
    assert len({same, hash_weights(part)}) == 2
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    last = hash_weights(part)
    path.rename(path.with_name("other.safetensors"))
    assert hash_weights(part) != last
    (part / "config.json").write_text("{}")
    assert hash_weights(part) == hash_weights(part)


def test_the_hash_of_a_large_file_sees_its_header_its_end_and_its_length(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    size = 40 << 20

    def put(where: int, length: int = size) -> str:
        with open(path, "wb") as file:
            file.truncate(length)
            if where >= 0:
                file.seek(where)
                file.write(b"\1")
        return hash_weights(tmp_path)

    hashes = [put(-1), put(0), put(size - 1), put(-1, size + 1)]
    assert len(set(hashes)) == len(hashes)
