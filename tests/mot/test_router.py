from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from a2cli.mot import MotConfig
from a2cli.mot.router import (
    Router,
    get_balance_loss,
    get_routing_weights,
    select_agr,
    select_dense,
    select_top_k,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def naive_agr(row: list[float]) -> list[bool]:
    """Anchor-guided routing of one sample, told as the paper tells it."""
    active = {0} | {i for i in range(1, len(row)) if row[i] > row[0]}
    if active == {0}:
        active.add(max(range(1, len(row)), key=lambda i: row[i]))
    return [i in active for i in range(len(row))]


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_agr_on_every_order_with_ties(n: int) -> None:
    rows = [list(row) for row in itertools.product([0.0, 0.1, 0.2, 0.3, 0.4][:n], repeat=n)]
    expected = torch.tensor([naive_agr(row) for row in rows])
    assert torch.equal(select_agr(torch.tensor(rows)), expected)


@given(st.lists(st.lists(st.floats(-5, 5, width=32), min_size=8, max_size=8), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_agr_invariants(rows: list[list[float]]) -> None:
    weights = torch.tensor(rows).softmax(dim=-1)
    selected = select_agr(weights)
    assert bool(selected[:, 0].all())
    assert bool((selected.sum(dim=1) >= 2).all())
    assert bool(selected.gather(1, weights[:, 1:].argmax(1, keepdim=True) + 1).all())
    assert selected.tolist() == [naive_agr(row) for row in weights.tolist()]


def test_top_k_and_dense() -> None:
    weights = torch.rand(20, 6)
    selected = select_top_k(weights, 2)
    assert bool((selected.sum(dim=1) == 2).all())
    for row, chosen in zip(weights, selected, strict=True):
        assert row[chosen].min() >= row[~chosen].max()
    assert bool(select_dense(weights).all())


def test_gates_are_the_softmax_values() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 1.0]])
    weights = logits.softmax(dim=-1)
    gates = get_routing_weights(logits, MotConfig(num_experts=3))
    keep = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    assert torch.equal(gates, weights * keep)
    even = get_routing_weights(logits, MotConfig(num_experts=3, renormalize=True))
    torch.testing.assert_close(even.sum(dim=1), torch.ones(2))
    torch.testing.assert_close(even[:, 0] / even.sum(1), gates[:, 0] / gates.sum(1))


def test_shared_expert_is_always_one() -> None:
    config = MotConfig(num_experts=5, routing="top_k", top_k=2, shared_expert=True)
    logits = torch.randn(7, config.num_routed)
    gates = get_routing_weights(logits, config)
    assert gates.shape == (7, 5) and bool((gates[:, 0] == 1).all())
    torch.testing.assert_close(gates[:, 1:], logits.softmax(-1) * select_top_k(logits, 2))


@pytest.mark.parametrize(
    "config",
    [
        MotConfig(num_experts=4),
        MotConfig(num_experts=4, renormalize=True),
        MotConfig(num_experts=4, routing="top_k", top_k=1),
        MotConfig(num_experts=4, routing="top_k", top_k=2, shared_expert=True),
        MotConfig(num_experts=4, routing="dense"),
    ],
)
def test_gradient_reaches_the_selected_logits(config: MotConfig) -> None:
    logits = torch.randn(64, config.num_routed, dtype=torch.float64, requires_grad=True)
    gates = get_routing_weights(logits, config)
    (gates * torch.randn_like(gates)).sum().backward()
    assert logits.grad is not None
    routed = gates[:, int(config.shared_expert) :]
    assert bool((logits.grad[routed > 0].abs() > 0).all())


def test_router_runs_in_its_own_precision_under_autocast() -> None:
    router = Router(24, MotConfig(num_experts=4))
    pooled = torch.randn(3, 24)
    plain = router(pooled)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(router(pooled), plain)
    assert router.to(torch.bfloat16)(pooled).dtype == torch.float32


def test_router_ignores_the_size_of_its_input() -> None:
    router, pooled = Router(24, MotConfig(num_experts=4)), torch.randn(3, 24)
    torch.testing.assert_close(router(1000 * pooled), router(pooled), rtol=1e-3, atol=1e-4)


def test_balance_loss_is_least_when_even() -> None:
    config_n = 4
    even = torch.full((8, config_n), 1 / config_n)
    used = torch.eye(config_n).repeat(2, 1).bool()
    torch.testing.assert_close(get_balance_loss(even, used), torch.tensor(1.0))
    greedy = torch.tensor([[0.97, 0.01, 0.01, 0.01]]).repeat(8, 1)
    assert get_balance_loss(greedy, select_top_k(greedy, 1)) > 3
