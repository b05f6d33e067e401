"""check_backbone finds what is wrong: the template backbone with one fault at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from a2_example import ExampleBackbone
from a2cli.context import Condition
from a2cli.errors import BackboneError
from a2cli.testing import check_backbone


class OldApi(ExampleBackbone):
    api_version = 0


class NoHash(ExampleBackbone):
    @classmethod
    def load(cls, *arguments: Any, **options: Any) -> ExampleBackbone:
        backbone = super().load(*arguments, **options)
        del backbone.base_hash
        return backbone


class NoBlocks(ExampleBackbone):
    def get_blocks(self) -> list[Any]:
        return []


class TwinBlocks(ExampleBackbone):
    def get_blocks(self) -> list[Any]:
        return [replace(block, name="block") for block in super().get_blocks()]


class ForeignLinear(ExampleBackbone):
    def get_blocks(self) -> list[Any]:
        first, *rest = super().get_blocks()
        return [replace(first, linears={"attn.to_q": torch.nn.Linear(2, 2)}), *rest]


class NoisyEncoder(ExampleBackbone):
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        tokens = super().encode_pixels(pixels)
        return tokens + torch.randn_like(tokens)


class NeighbourlyEncoder(ExampleBackbone):
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        return super().encode_pixels(pixels - pixels.mean())


class Overshoot(ExampleBackbone):
    def decode_tokens(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        return super().decode_tokens(tokens, grid) * 1.5


class SwappedGrid(ExampleBackbone):
    def build_condition(self, *arguments: Any) -> Condition:
        condition = super().build_condition(*arguments)
        return replace(condition, grid=condition.grid[::-1])


class SeesThroughMask(ExampleBackbone):
    def build_condition(self, *arguments: Any) -> Condition:
        condition = super().build_condition(*arguments)
        return replace(condition, visible=torch.ones_like(condition.visible))


class NanText(ExampleBackbone):
    def build_condition(self, *arguments: Any) -> Condition:
        condition = super().build_condition(*arguments)
        return replace(condition, text=condition.text * float("nan"))


class Crashing(ExampleBackbone):
    def build_condition(self, *arguments: Any) -> Condition:
        raise KeyError("tokenizer")


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (OldApi, "api_version must be"),
        (NoHash, "a member of the Backbone protocol is missing"),
        (NoBlocks, "there are no blocks"),
        (TwinBlocks, "two blocks have one name"),
        (ForeignLinear, "attn.to_q: another module is there"),
        (NoisyEncoder, "encoding twice gives different tokens"),
        (NeighbourlyEncoder, "depend on its neighbours"),
        (Overshoot, r"leave \[-1, 1\]"),
        (SwappedGrid, "grid or ref_grid is wrong"),
        (SeesThroughMask, "visible must be false under the mask"),
        (NanText, "text is not finite"),
        (Crashing, "condition: raised KeyError: 'tokenizer'"),
    ],
)
def test_a_fault_is_found(cls: type[ExampleBackbone], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        check_backbone(cls)


def test_the_template_conforms_in_half_precision_too() -> None:
    check_backbone(ExampleBackbone, dtype="bfloat16")
