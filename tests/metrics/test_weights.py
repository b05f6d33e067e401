"""Weights are found where they are said to be, checked tensor by tensor, and told apart by their hash."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from random_weights import make_tensors, write_tensors
from torch import Tensor, nn

from a2cli.errors import BackboneError, CheckpointError
from a2cli.metrics.measure import Weights
from a2cli.metrics.weights import fill_network, find_weights, get_shapes, hash_tensors, load_tensors

WANTED: dict[str, tuple[int, ...]] = {"conv.weight": (4, 3, 1, 1), "conv.bias": (4,)}


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return make_tensors(WANTED)


def test_the_folder_goes_before_the_single_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one / "lpips" / "alexnet.safetensors", one / "inception.safetensors"):
        write_tensors(path, {"a": torch.zeros(1)})
    for path in (
        other / "alexnet.safetensors",
        other / "vgg16.safetensors",
        other / "pt_inception.safetensors",
    ):
        write_tensors(path, {"a": torch.zeros(1)})
    both = Weights(folder=str(one), lpips=str(other), inception=str(other / "pt_inception.safetensors"))
    assert find_weights(both, "alexnet") == one / "lpips" / "alexnet.safetensors"
    assert find_weights(both, "vgg16") == other / "vgg16.safetensors"
    assert find_weights(both, "inception") == one / "inception.safetensors"
    alone = Weights(inception=str(other / "pt_inception.safetensors"))
    assert find_weights(alone, "inception") == other / "pt_inception.safetensors"


@pytest.mark.parametrize("name", ["alexnet", "lpips_alex", "inception"])
def test_what_is_not_there_is_named_with_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "new\nline").mkdir()
    for weights in (Weights(), Weights(folder=str(tmp_path / "new\nline"))):
        with pytest.raises(BackboneError, match=rf"{name}\.safetensors.*convert_weights\.py") as caught:
            find_weights(weights, name)
        assert "\n" not in str(caught.value)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "pt_inception.pth"
    path.write_bytes(b"not even looked at")
    with pytest.raises(BackboneError, match=r"pt_inception\.pth: pickled weights are never opened"):
        find_weights(Weights(inception=str(path)), "inception")


def test_spare_tensors_and_counters_are_passed_over(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    more = {"classifier.1.weight": torch.zeros(2, 2), "bn.num_batches_tracked": torch.tensor(7)}
    path = write_tensors(tmp_path / "w.safetensors", tensors | more)
    loaded = load_tensors(path, WANTED, spare=("classifier.",))
    assert loaded.keys() == WANTED.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in WANTED)
    with pytest.raises(CheckpointError, match=r"tensor classifier\.1\.weight belongs to no part"):
        load_tensors(path, WANTED)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_read_as_float32(
    tmp_path: Path, tensors: dict[str, Tensor], kind: torch.dtype
) -> None:
    path = write_tensors(tmp_path / "w.safetensors", {n: t.to(kind) for n, t in tensors.items()})
    for name, tensor in load_tensors(path, WANTED).items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, tensors[name].to(kind).float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv.bias": None}, r"tensor conv\.bias is missing"),
        ({"conv.bias": torch.zeros(5)}, r"tensor conv\.bias has shape \(5,\), not \(4,\)"),
        ({"conv.bias": torch.zeros(4, dtype=torch.int64)}, r"tensor conv\.bias is I64, not floating"),
        ({"conv.bias": torch.tensor([0.0, torch.nan, 0, 0])}, r"tensor conv\.bias holds NaN or infinite"),
        ({"conv.bias": torch.tensor([0.0, 0, 0, torch.inf])}, r"tensor conv\.bias holds NaN or infinite"),
        ({"extra": torch.zeros(1)}, r"tensor extra belongs to no part"),
    ],
)
def test_a_tensor_at_fault_is_named(
    tmp_path: Path, tensors: dict[str, Tensor], change: dict[str, Tensor | None], message: str
) -> None:
    content = {name: tensor for name, tensor in (tensors | change).items() if tensor is not None}
    path = write_tensors(tmp_path / "w.safetensors", content)
    with pytest.raises(CheckpointError, match=rf"w\.safetensors: {message}"):
        load_tensors(path, WANTED)


def test_a_damaged_file_is_named(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = write_tensors(tmp_path / "w.safetensors", tensors)
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[:-1], whole[: len(whole) // 2], b"\xff" * 64):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"w\.safetensors: damaged weights"):
            load_tensors(path, WANTED)


def test_the_hash_is_that_of_the_tensors_however_packed(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    digest = hash_tensors(tensors)
    turned = dict(reversed(tensors.items()))
    path = write_tensors(tmp_path / "w.safetensors", turned | {"classifier.x": torch.ones(3)})
    assert hash_tensors(load_tensors(path, WANTED, spare=("classifier.",))) == digest
    assert len(digest) == 16 and int(digest, 16)
    changed = {name: tensor.clone() for name, tensor in tensors.items()}
    changed["conv.bias"][2] = torch.nextafter(changed["conv.bias"][2], torch.tensor(9.0))
    moved = {**tensors, "conv.weight": tensors["conv.weight"].reshape(3, 4, 1, 1)}
    assert len({digest, hash_tensors(changed), hash_tensors(moved)}) == 3


def test_a_network_on_the_meta_device_is_filled_and_frozen(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    content = make_tensors(get_shapes(network))
    digest = fill_network(network, write_tensors(tmp_path / "w.safetensors", content))
    assert digest == hash_tensors(content) and not network.training
    assert not any(tensor.is_meta or tensor.requires_grad for tensor in network.state_dict().values())
    x = torch.rand(1, 3, 2, 2)
    weight, bias = content["0.weight"], content["0.bias"]
    hidden = torch.einsum("oi,nihw->nohw", weight[..., 0, 0], x) + bias[:, None, None]
    mean, var = (content[f"1.running_{name}"][:, None, None] for name in ("mean", "var"))
    scaled = (hidden - mean) / (var + 1e-5).sqrt()
    expected = scaled * content["1.weight"][:, None, None] + content["1.bias"][:, None, None]
    torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-5)
