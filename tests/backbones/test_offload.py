"""Weights brought when they are needed: the same numbers, and only what is needed on the device.

Moves between a GPU and main memory need a GPU; here the device is the CPU itself, or "meta", which shows what was
brought but cannot give it back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from a2cli.backbones.flux import FluxFillBackbone
from a2cli.backbones.offload import Turns, get_largest_layer, get_parts, offload_parts
from a2cli.backbones.quantize import load_quantized
from a2cli.context import TwoPass
from a2cli.errors import BackboneError
from a2cli.mot import MotConfig, inject_mot

CPU = torch.device("cpu")


def load(folder: Path, *, experts: bool = False) -> tuple[FluxFillBackbone, Any]:
    backbone = FluxFillBackbone.load(str(folder))
    if not experts:
        return backbone, None
    generator = torch.Generator().manual_seed(4)
    model = inject_mot(
        backbone.transformer, backbone.get_blocks(), MotConfig(num_experts=3, rank=2), generator=generator
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters().items():
            if name.endswith(".B"):
                parameter.normal_(generator=generator)
    return backbone, model


@torch.no_grad()
def run(backbone: Any, experts: Any = None) -> list[torch.Tensor]:
    """All that is computed for one fixed edit."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 16:48, 16:40] = 1
    condition = backbone.build_condition(pixels * (1 - mask), mask, pixels, ["a red cup"])
    noisy = torch.randn(condition.masked.shape, generator=generator).to(condition.masked)
    passes = TwoPass(backbone.transformer, experts=experts)
    cache = passes.encode_context(condition)
    region = condition.get_region()
    velocity = [passes.predict_velocity(noisy[:, region], s, condition, cache, region) for s in (0.9, 0.4)]
    pictures = backbone.decode_tokens(noisy, condition.grid)
    return [condition.text, condition.pooled, condition.masked, condition.reference, *velocity, pictures]


@pytest.mark.parametrize("how", ["none", "model", "sequential"])
@pytest.mark.parametrize("experts", [False, True])
def test_the_numbers_are_the_same(folder: Path, how: Any, experts: bool) -> None:
    expected = run(*load(folder, experts=experts))
    backbone, model = load(folder, experts=experts)
    offload_parts(backbone, how, CPU)
    assert backbone.device == CPU
    for _ in range(2):
        found = run(backbone, model)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    held = {p.device.type for part in get_parts(backbone).values() for p in part.parameters()}
    assert held == {"meta" if how == "sequential" else "cpu"}


@pytest.mark.parametrize(
    ("call", "brought"),
    [
        (lambda b: b.encode_pixels(torch.zeros(1, 3, 32, 32, device="meta")), {"vae"}),
        (lambda b: b.decode_tokens(torch.zeros(1, 4, 16, device="meta"), (2, 2)), {"vae"}),
        (lambda b: b._read_text("_2", ["a cup"], 8)[0], {"text_encoder_2"}),
        (
            lambda b: b.components["image_encoder"](torch.zeros(1, 3, 32, 32)).last_hidden_state,
            {"image_encoder"},
        ),
    ],
)
@torch.no_grad()
def test_what_is_called_is_brought_and_nothing_else(folder: Path, call: Any, brought: set[str]) -> None:
    backbone, _ = load(folder)
    offload_parts(backbone, "model", torch.device("meta"))
    assert call(backbone).device.type == "meta"
    there = {
        name for name, part in get_parts(backbone).items() if next(part.parameters()).device.type == "meta"
    }
    assert there == brought


def test_one_module_is_there_at_a_time() -> None:
    log: list[tuple[str, str]] = []

    class Part(nn.Linear):
        def __init__(self, name: str) -> None:
            super().__init__(1, 1)
            self.name = name

        def to(self, device: Any) -> Any:
            log.append((self.name, str(device)))
            if (self.name, str(device)) == ("huge", "cuda:1"):
                raise torch.OutOfMemoryError("no room")
            return self

    turns = Turns(torch.device("cuda:1"))
    first, second, huge = Part("first"), Part("second"), Part("huge")
    for part in (first, first, second, second, first):
        turns.bring(part)
    assert log == [
        ("first", "cuda:1"),
        ("first", "cpu"),
        ("second", "cuda:1"),
        ("second", "cpu"),
        ("first", "cuda:1"),
    ]
    with pytest.raises(torch.OutOfMemoryError):
        turns.bring(huge)
    assert turns.present is None
    turns.bring(second)
    assert log[-1] == ("second", "cuda:1")


def test_fewer_bits_go_with_one_part_at_a_time(folder: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="pip install 'a2cli[quant]'")
    expected = run(load_quantized(FluxFillBackbone, str(folder), quantize="nf4"))
    backbone = load_quantized(FluxFillBackbone, str(folder), quantize="nf4")
    offload_parts(backbone, "model", CPU)
    assert all(torch.equal(a, b) for a, b in zip(run(backbone), expected, strict=True))


def test_the_largest_layer(folder: Path) -> None:
    backbone, _ = load(folder)
    assert get_largest_layer(nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))) == 4 * (3 * 5 + 5)
    assert get_largest_layer(nn.MultiheadAttention(4, 2)) == 4 * (
        3 * 4 * 4 + 3 * 4 + 4 * 4 + 4
    )  # comes as one
    whole = sum(p.nbytes for p in backbone.transformer.parameters())
    assert 0 < get_largest_layer(backbone.transformer) < whole


def test_a_backbone_that_does_not_name_its_parts_is_refused() -> None:
    class Plain:
        name = "plain"

    with pytest.raises(BackboneError, match=r"'plain' keeps all its weights on one device \(leave --offload"):
        offload_parts(Plain(), "model", CPU)
