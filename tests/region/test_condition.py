"""Equations 3 to 6, written naively."""

from __future__ import annotations

import torch
from test_block import attend
from tiny_region import CONFIG, TEXT, noise
from torch import Tensor

from a2cli.region.attention import FusionBlock, get_grid_positions, get_positions
from a2cli.region.condition import ConditionEncoder, SpatialGate, embed_mask


def fuse(block: FusionBlock, tokens: Tensor) -> Tensor:
    normed = block.norm_attention(tokens)
    tokens = tokens + attend(block.attention, normed, normed, 2)
    return tokens + block.ffn.fc_out(torch.nn.functional.gelu(block.ffn.fc_in(block.norm_ffn(tokens))))


@torch.no_grad()
def test_the_condition_is_equations_3_to_5() -> None:
    torch.manual_seed(0)
    encoder = ConditionEncoder(16, 2, TEXT, CONFIG)
    mask, text = torch.rand(2, 6), noise(2, 4, TEXT)
    condition = encoder(mask, (2, 3), text)  # within mask_grid: token by token
    assert condition.shape == (2, 6 + 5, 16)
    for sample in range(2):
        where = torch.stack([m * encoder.edit + (1 - m) * encoder.keep for m in mask[sample]])
        states = encoder.norm_text(text[sample] @ encoder.project.weight.T + encoder.project.bias)
        what = attend(encoder.perceiver, encoder.queries, states, 2)
        places = torch.cat([get_grid_positions((2, 3), 3, 16), get_positions(torch.arange(5.0)[:, None], 16)])
        tokens = torch.cat([where + encoder.types[0], what + encoder.types[1]]) + places
        expected = encoder.norm_out(fuse(encoder.blocks[0], tokens))
        torch.testing.assert_close(condition[sample], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_larger_grid_is_averaged_to_mask_grid() -> None:
    encoder = ConditionEncoder(16, 2, TEXT, CONFIG)
    fine, text = torch.rand(1, 6, 9), noise(1, 4, TEXT)
    coarse = fine.view(1, 3, 2, 3, 3).mean((2, 4))
    pooled = encoder(fine.flatten(1), (6, 9), text)
    torch.testing.assert_close(pooled, encoder(coarse.flatten(1), (3, 3), text))
    assert encoder(torch.rand(1, 10), (2, 5), text).shape[1] == 2 * 3 + 5


@torch.no_grad()
def test_the_gate_is_equation_6() -> None:
    torch.manual_seed(0)
    gate = SpatialGate(32)
    mask = torch.tensor([[0.0, 1.0, 0.3]])
    opened = gate(mask)
    for token, m in enumerate(mask[0]):
        embedded = m * gate.edit + (1 - m) * gate.keep
        logit = gate.fc_out(torch.nn.functional.gelu(gate.fc_in(embedded)))
        torch.testing.assert_close(opened[0, token], 1 / (1 + (-logit).exp()))
    torch.testing.assert_close(opened[0, :2, 0], torch.tensor([-2.0, 2.0]).sigmoid(), rtol=1e-4, atol=1e-4)
    assert opened.dtype == torch.float32


def test_masks_lie_between_two_vectors() -> None:
    edit, keep = noise(4), noise(4, seed=3)
    embedded = embed_mask(torch.tensor([[0.0, 0.25, 1.0]]), edit, keep)
    torch.testing.assert_close(embedded[0], torch.stack([keep, 0.25 * edit + 0.75 * keep, edit]))
