"""Equations 1 and 2, written naively."""

from __future__ import annotations

import math

import torch
from tiny_region import noise
from torch import Tensor

from a2cli.region.attention import Attention, get_grid_positions, get_positions
from a2cli.region.block import BlockAdapter


def attend(attention: Attention, query: Tensor, context: Tensor, heads: int) -> Tensor:
    """Multi-head attention of one sample, head by head, row by row."""
    q, k, v = (x @ layer.weight.T for x, layer in zip(
        (query, context, context), (attention.to_q, attention.to_k, attention.to_v), strict=True
    ))  # fmt: skip
    size = q.shape[1] // heads
    rows = []
    for row in range(len(q)):
        parts = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            logits = torch.stack([q[row, part] @ key[part] for key in k]) / math.sqrt(size)
            weights = logits.exp() / logits.exp().sum()
            parts.append(sum(w * value[part] for w, value in zip(weights, v, strict=True)))
        rows.append(torch.cat(parts))
    return torch.stack(rows) @ attention.to_out.weight.T + attention.to_out.bias


def normalise(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()


@torch.no_grad()
def test_the_block_adapter_is_equations_1_and_2() -> None:
    torch.manual_seed(0)
    adapter = BlockAdapter(12, 8, 2, 3)
    adapter.ffn.fc_out.weight.normal_()
    adapter.norm.weight.normal_()
    hidden, condition, gate = noise(2, 5, 12) * 50, noise(2, 7, 8, seed=3), noise(2, 5, 1, seed=4).sigmoid()
    expected = []
    for h, c, g in zip(hidden, condition, gate, strict=True):
        u = normalise(attend(adapter.attention, normalise(h), c, 2)) * adapter.norm.weight + adapter.norm.bias
        inner = u @ adapter.ffn.fc_in.weight.T + adapter.ffn.fc_in.bias
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        expected.append(h + g * (inner @ adapter.ffn.fc_out.weight.T + adapter.ffn.fc_out.bias))
    torch.testing.assert_close(adapter(hidden, condition, gate), torch.stack(expected), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_shut_gate_and_a_fresh_adapter_return_the_very_numbers() -> None:
    adapter = BlockAdapter(12, 8, 2, 2)
    hidden, condition = noise(2, 5, 12), noise(2, 7, 8)
    assert torch.equal(adapter(hidden, condition, None), hidden)
    adapter.ffn.fc_out.weight.normal_()
    assert not torch.equal(adapter(hidden, condition, None), hidden)
    assert torch.equal(adapter(hidden, condition, torch.zeros(2, 5, 1)), hidden)
    gate = torch.zeros(2, 5, 1)
    gate[:, 3] = 1
    changed = (adapter(hidden, condition, gate) != hidden).any(-1)
    assert changed[:, 3].all() and not changed[:, [0, 1, 2, 4]].any()


def test_kept_keys_serve_every_step_but_never_a_gradient() -> None:
    adapter = BlockAdapter(12, 8, 2, 2)
    hidden, condition = noise(2, 5, 12), noise(2, 7, 8)
    memory: dict = {}
    adapter(hidden, condition, None, memory)
    assert not memory
    with torch.no_grad():
        first = adapter(hidden, condition, None, memory)
        kept = memory[adapter]
        assert torch.equal(
            adapter(hidden, condition + 1, None, memory), first
        )  # they are not asked for again
        assert memory[adapter] is kept


def test_positions_are_sinusoids_of_each_axis() -> None:
    embedded = get_positions(torch.tensor([[3.0, 5.0]]), 8)
    expected = [f(p / 10_000 ** (k / 2)) for p in (3.0, 5.0) for f in (math.sin, math.cos) for k in (0, 1)]
    torch.testing.assert_close(embedded[0], torch.tensor(expected))


def test_a_place_in_the_picture_has_one_position_at_every_resolution() -> None:
    coarse, fine = get_grid_positions((2, 3), 4, 16), get_grid_positions((6, 9), 4, 16)
    middle = fine.view(6, 9, 16)[1::3, 1::3].flatten(0, 1)  # the middles of its 3 x 3 cells
    torch.testing.assert_close(coarse, middle)
    assert len(torch.unique(fine, dim=0)) == 54
