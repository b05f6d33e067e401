"""Frozen updates against a loop over experts, and the best cut of them against the whole SVD."""

from __future__ import annotations

import pytest
import torch
from export_things import get_gates, make_delta
from tiny_flux import build_tiny_flux, wake_experts

from a2cli.backbones.blocks import get_blocks
from a2cli.exporting.deltas import get_expert_gates, get_frozen_deltas, truncate
from a2cli.mot import MotConfig, MotModel, inject_mot


def make_experts(seed: int = 0) -> MotModel:
    flux = build_tiny_flux(seed)
    handle = inject_mot(flux, get_blocks(flux), MotConfig(num_experts=4, rank=2, alpha=3.0, router_hidden=8))
    wake_experts(handle)
    return handle


def test_an_update_is_the_sum_over_active_experts_and_no_wider() -> None:
    handle = make_experts()
    gates = get_gates([block.name for block in handle.blocks])
    deltas = get_frozen_deltas(handle.state_dict(), handle.config, gates)
    assert set(deltas) == set(handle.linears)
    for block in handle.blocks:
        for path, linear in block.linears.items():
            delta = deltas[f"{block.name}.{path}"]
            total = torch.zeros(linear.out_features, linear.in_features)
            for i, gate in enumerate(gates[block.name].tolist()):
                part = slice(2 * i, 2 * i + 2)
                total += 1.5 * gate * (linear.A[:, part] @ linear.B[part]).T.detach()
            torch.testing.assert_close(delta.get_product(), total, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(delta.get_product(), linear.get_delta(gates[block.name]))
            assert delta.rank == 2 * int((gates[block.name] > 0).sum())


def test_a_block_without_active_experts_is_left_out() -> None:
    handle = make_experts()
    gates = {
        name: values * (name != "transformer_blocks.1")
        for name, values in get_gates([block.name for block in handle.blocks]).items()
    }
    deltas = get_frozen_deltas(handle.state_dict(), handle.config, gates)
    assert deltas and not [path for path in deltas if path.startswith("transformer_blocks.1.")]


def test_an_expert_alone_has_gate_one_everywhere() -> None:
    gates = get_gates(["a", "b"])
    assert get_expert_gates(gates, 2) == {"a": pytest.approx([0, 0, 1, 0]), "b": pytest.approx([0, 0, 1, 0])}


def test_a_cut_is_the_best_there_is_and_says_what_it_lost() -> None:
    deltas = {"wide": make_delta(6, 20, 33), "narrow": make_delta(2, 9, 7, seed=1)}
    cut, lost = truncate(deltas, 3)
    assert cut["narrow"] is deltas["narrow"] and cut["wide"].rank == 3
    whole = deltas["wide"].get_product()
    left, values, right = torch.linalg.svd(whole, full_matrices=False)
    best = left[:, :3] * values[:3] @ right[:3]
    torch.testing.assert_close(cut["wide"].get_product(), best, rtol=1e-4, atol=1e-4)
    rest = deltas["narrow"].get_product().square().sum()
    wanted = ((whole - best).square().sum() / (whole.square().sum() + rest)).sqrt()
    assert lost == pytest.approx(float(wanted), rel=1e-4) and lost > 0.1
    kept, nothing = truncate(deltas, 6)
    assert kept["wide"] is deltas["wide"] and nothing == 0
