"""A quantised frozen base: near the original, anchored in the libraries' own loading, and fit to train experts on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel, TorchAoConfig
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig, T5EncoderModel

from a2cli.backbones.base import Quantize
from a2cli.backbones.flux import FluxFillBackbone
from a2cli.backbones.quantize import get_quantizable, get_quantized_bytes, load_quantized
from a2cli.context import TwoPass
from a2cli.errors import BackboneError, CheckpointError
from a2cli.mot import MotConfig, inject_mot

bnb = pytest.importorskip("bitsandbytes", reason="pip install 'a2cli[quant]'")
torchao = pytest.importorskip("torchao.quantization", reason="pip install 'a2cli[quant]'")

# The relative error of a random linear: half a step of 4-bit normal floats, of 127 steps a row.
TOLERANCE: dict[Quantize, float] = {"nf4": 0.12, "int8": 0.012, "torchao-int8": 0.01}
WAYS = list(TOLERANCE)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """bitsandbytes brings threads of its own, which wait for torch's on every small product."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def load(folder: Path, quantize: Quantize, dtype: str = "float32") -> Any:
    return load_quantized(FluxFillBackbone, str(folder), dtype=dtype, quantize=quantize)


def predict(backbone: Any, experts: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The text tokens and the velocity of one fixed edit."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    mask = torch.zeros(2, 1, 64, 64)
    mask[:, :, 16:48, 16:40] = 1
    with torch.no_grad():
        condition = backbone.build_condition(pixels * (1 - mask), mask, pixels, ["a red cup", ""])
    noisy = torch.randn(condition.masked.shape, generator=generator).to(condition.masked)
    passes = TwoPass(backbone.transformer, experts=experts)
    try:
        cache = passes.encode_context(condition, full_grid=True)
        return condition.text, passes.predict_velocity(noisy, 0.7, condition, cache)
    finally:
        passes.remove()


def get_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).float().norm() / wanted.float().norm())


def dequantize(linear: Any) -> torch.Tensor:
    weight = linear.weight
    if isinstance(linear, bnb.nn.Linear4bit):
        return bnb.functional.dequantize_4bit(weight.data, weight.quant_state)
    if isinstance(linear, bnb.nn.Linear8bitLt):
        scales = linear.state.SCB if weight.SCB is None else weight.SCB
        return weight.data.float() * scales[:, None] / 127
    return weight.dequantize()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("way", WAYS)
@torch.no_grad()
def test_a_quantised_base_answers_nearly_as_the_original(folder: Path, way: Quantize, dtype: str) -> None:
    plain = FluxFillBackbone.load(str(folder), dtype=dtype)
    quantised = load(folder, way, dtype)
    for found, wanted in zip(predict(quantised), predict(plain), strict=True):
        assert found.dtype == wanted.dtype and 0 < get_error(found, wanted) < TOLERANCE[way]
    assert quantised.base_hash == plain.base_hash
    assert quantised.transformer.dtype == plain.transformer.dtype and quantised.device == plain.device
    assert not any(p.requires_grad for p in quantised.transformer.parameters())


def test_blocks_are_quantised_and_what_surrounds_them_is_not(folder: Path) -> None:
    backbone = load(folder, "nf4")
    linears = {n: m for n, m in backbone.transformer.named_modules() if isinstance(m, torch.nn.Linear)}
    quantised = {n for n, m in linears.items() if isinstance(m, bnb.nn.Linear4bit)}
    assert quantised == {n for n in linears if "transformer_blocks." in n}
    assert {"x_embedder", "context_embedder", "norm_out.linear", "proj_out"} <= linears.keys() - quantised
    layer = backbone.components["text_encoder_2"].encoder.block[0].layer[1].DenseReluDense
    assert type(layer.wo) is torch.nn.Linear and isinstance(layer.wi, bnb.nn.Linear4bit)
    assert not any(isinstance(m, bnb.nn.Linear4bit) for m in backbone.components["text_encoder"].modules())


@pytest.mark.parametrize("way", ["nf4", "int8"])
def test_bitsandbytes_weights_are_those_transformers_makes(folder: Path, way: Quantize) -> None:
    config = (
        BitsAndBytesConfig(load_in_8bit=True)
        if way == "int8"
        else BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    )
    theirs = T5EncoderModel.from_pretrained(
        folder / "text_encoder_2", quantization_config=config, dtype=torch.float32, device_map="cpu"
    ).state_dict()
    ours = load(folder, way).components["text_encoder_2"].state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_torchao_weights_are_those_diffusers_makes(folder: Path) -> None:
    ours = load(folder, "torchao-int8").transformer
    config = TorchAoConfig(torchao.Int8WeightOnlyConfig())
    theirs = FluxTransformer2DModel.from_pretrained(
        folder / "transformer", quantization_config=config, torch_dtype=torch.float32
    )
    linears: dict[str, Any] = {**get_quantizable(ours)}
    assert len(linears) == 20
    for name, linear in linears.items():
        other = theirs.get_submodule(name)
        assert torch.equal(linear.weight.qdata, other.weight.qdata)


@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_of_the_dequantised_weights(folder: Path, way: Quantize) -> None:
    linear = get_quantizable(load(folder, way).transformer)["single_transformer_blocks.0.proj_out"]
    x = torch.randn(2, 5, linear.in_features, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        linear(x)  # a call without gradients must not spoil the next one
    results = []
    for layer in (linear, lambda x: torch.nn.functional.linear(x, dequantize(linear), linear.bias)):
        inputs = x.clone().requires_grad_()
        out = layer(inputs)
        results.append((out.detach(), *torch.autograd.grad(out.square().sum(), inputs)))
    for found, wanted in zip(*results, strict=True):
        assert get_error(found, wanted) < (0.02 if way == "int8" else 1e-4)  # int8 rounds activations too


@pytest.mark.parametrize("way", WAYS)
def test_experts_train_on_a_quantised_base(folder: Path, way: Quantize) -> None:
    backbone = load(folder, way, "bfloat16")
    before = {n: dequantize(m).clone() for n, m in get_quantizable(backbone.transformer).items()}
    with torch.no_grad():
        plain = predict(backbone)[1]
    experts = inject_mot(backbone.transformer, backbone.get_blocks(), MotConfig(num_experts=3, rank=2))
    with torch.no_grad():
        assert torch.equal(predict(backbone, experts)[1], plain)
        for expert in experts.linears.values():
            expert.B.normal_(std=0.1)
    parameters = experts.named_parameters()
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-2)
    losses = []
    for _ in range(2):
        loss = predict(backbone, experts)[1].float().square().mean()
        loss.backward()
        losses.append(loss.item())
        without = {n for n, p in parameters.items() if p.grad is None or not p.grad.any()}
        assert not without, without
        optimizer.step()
        optimizer.zero_grad()
    assert losses[1] < losses[0]
    experts.remove()
    for name, linear in get_quantizable(backbone.transformer).items():
        assert torch.equal(dequantize(linear), before[name]), name


@pytest.mark.parametrize("way", WAYS)
def test_the_bytes_of_a_weight_are_known_beforehand(folder: Path, way: Quantize) -> None:
    backbone = load(folder, way, "bfloat16")
    linear: Any
    for name, linear in get_quantizable(backbone.transformer).items():
        if way == "torchao-int8":
            held = [linear.weight.qdata, linear.weight.scale]
        else:
            held = [t for n, t in linear.state_dict().items() if n != "bias" and "quant_state" not in n]
        size = sum(t.nbytes for t in held if t.ndim)
        shape = (linear.out_features, linear.in_features)
        assert get_quantized_bytes(shape, way) == size, name


def test_damaged_weights_are_refused_before_they_are_quantised(folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    path = next((model / "transformer").glob("*.safetensors"))
    tensors = load_file(path)
    name = "transformer_blocks.0.attn.to_q.weight"
    save_file({**tensors, name: torch.full_like(tensors[name], float("nan"))}, path)
    with pytest.raises(CheckpointError, match=f"tensor {name} holds NaN"):
        load(model, "nf4")


@pytest.mark.parametrize("way", WAYS)
def test_a_missing_package_is_named_with_its_remedy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, way: Quantize
) -> None:
    package = "torchao" if way == "torchao-int8" else "bitsandbytes"
    monkeypatch.setitem(sys.modules, package, None)
    wanted = rf"^quantize {way} needs {package} \(pip install 'a2cli\[quant\]'\)$"
    with pytest.raises(BackboneError, match=wanted):
        load(folder, way)
    with pytest.raises(BackboneError, match=wanted):
        FluxFillBackbone.load("nobody/nothing", quantize=way)


def test_unknown_ways_and_classes_that_cannot_are_refused() -> None:
    class Plain:
        name = "plain"

        @classmethod
        def load(cls, model: str | None = None, *, device: str = "cpu", dtype: str = "float32") -> str:
            return f"{model} on {device} as {dtype}"

    with pytest.raises(BackboneError, match=r"quantize: unknown 'nf5' \(did you mean 'nf4'\?\)"):
        load_quantized(Plain, quantize="nf5")
    with pytest.raises(BackboneError, match=r"backbone 'plain' cannot load quantised.*leave quantize out"):
        load_quantized(Plain, quantize="nf4")
    assert load_quantized(Plain, "m", dtype="bfloat16", quantize=None) == "m on cpu as bfloat16"
