from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from a2cli.errors import BackboneError
from a2cli.mot import MotConfig
from a2cli.mot.experts import MotLinear
from a2cli.mot.routing import BlockRouting

CONFIG = MotConfig(num_experts=4, rank=3, alpha=6.0)


def build(shape: tuple[int, int] = (10, 7), awake: bool = True) -> MotLinear:
    torch.manual_seed(0)
    linear = MotLinear(nn.Linear(*shape), CONFIG, BlockRouting())
    if awake:
        nn.init.normal_(linear.B)
    return linear


def naive(linear: MotLinear, x: Tensor, gates: Tensor) -> Tensor:
    """Equation 2, expert by expert and sample by sample."""
    r = linear.rank
    out = []
    for b in range(x.shape[0]):
        y = linear.base_layer(x[b])
        for i, gate in enumerate(gates[b]):
            y = (
                y
                + linear.scaling
                * gate
                * (x[b] @ linear.A[:, i * r : (i + 1) * r])
                @ linear.B[i * r : (i + 1) * r]
            )
        out.append(y)
    return torch.stack(out)


@pytest.mark.parametrize("shape", [(10, 7), (7, 10), (8, 8)])
@pytest.mark.parametrize("frozen", [False, True])
def test_one_product_equals_the_loop(shape: tuple[int, int], frozen: bool) -> None:
    linear = build(shape)
    gates = torch.tensor([[0.4, 0.0, 0.5, 0.0], [0.3, 0.2, 0.0, 0.0], [0.1, 0.0, 0.0, 0.9]])
    linear.routing.store(gates)
    linear.routing.reuse = frozen
    x = torch.randn(3, 5, shape[0])
    with torch.set_grad_enabled(not frozen):
        torch.testing.assert_close(linear(x), naive(linear, x, gates), rtol=1e-5, atol=1e-5)
    assert linear._packed is None or linear._packed.A.shape[1] == 4 * 3


def test_gradients_equal_those_of_the_loop() -> None:
    linear, x = build().double(), torch.randn(2, 5, 10, dtype=torch.float64)
    gates = torch.tensor(
        [[0.4, 0.0, 0.6, 0.0], [0.3, 0.7, 0.0, 0.0]], dtype=torch.float64, requires_grad=True
    )
    results = []
    for fast in (True, False):
        linear.routing.store(gates)
        y = linear(x) if fast else naive(linear, x, gates)
        results.append(torch.autograd.grad(y.square().sum(), [gates, linear.A, linear.B]))
    for quick, slow in zip(*results, strict=True):
        torch.testing.assert_close(quick, slow)
    assert bool((results[0][0][:, 0] != 0).all())


def test_zero_b_is_the_base_bit_for_bit() -> None:
    linear, x = build(awake=False), torch.randn(2, 50, 10)
    linear.routing.store(torch.rand(2, 4))
    assert torch.equal(linear(x).view(torch.int32), linear.base_layer(x).view(torch.int32))


def test_one_routing_serves_a_batch_and_a_wrong_one_is_refused() -> None:
    linear, x = build(), torch.randn(3, 5, 10)
    gates = torch.rand(1, 4)
    linear.routing.store(gates)
    torch.testing.assert_close(linear(x), naive(linear, x, gates.expand(3, 4)), rtol=1e-5, atol=1e-5)
    linear.routing.store(torch.rand(2, 4))
    with pytest.raises(BackboneError, match="2 samples"):
        linear(x)
    with pytest.raises(BackboneError, match="routed"):
        build()(x)


def test_frozen_routing_multiplies_active_columns_only() -> None:
    linear, x = build(), torch.randn(1, 5, 10)
    linear.routing.store(torch.tensor([[0.4, 0.0, 0.6, 0.0]]))
    linear.routing.reuse = True
    with torch.no_grad():
        linear(x)
        assert linear._packed is not None
        assert linear._packed.A.shape == (10, 6) and linear._packed.B.shape == (6, 7)
        kept = linear._packed
        linear(x)
        assert linear._packed is kept
        linear.A[:, 3:6] = float("nan")  # expert 1 is off and may hold anything
        assert bool(linear(x).isfinite().all())


@pytest.mark.parametrize("change", ["gates", "weights", "dtype"])
def test_packed_experts_are_never_stale(change: str) -> None:
    linear, x = build(), torch.randn(1, 5, 10)
    linear.routing.store(torch.tensor([[0.4, 0.0, 0.6, 0.0]]))
    linear.routing.reuse = True
    with torch.no_grad():
        linear(x)
        if change == "gates":
            linear.routing.store(torch.tensor([[0.2, 0.8, 0.0, 0.0]]))
        elif change == "weights":
            linear.B.mul_(2)
        else:
            linear.double()
            x = x.double()
        gates = linear.routing.gates
        assert gates is not None
        torch.testing.assert_close(linear(x), naive(linear, x, gates.to(x.dtype)), rtol=1e-5, atol=1e-5)


def test_empty_stream_passes() -> None:
    linear = build()
    linear.routing.store(torch.rand(2, 4))
    assert linear(torch.zeros(2, 0, 10)).shape == (2, 0, 7)


def test_autocast_is_followed_and_parameters_stay_float32() -> None:
    linear, x = build(), torch.randn(2, 5, 10)
    gates = torch.rand(2, 4)
    linear.routing.store(gates)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = linear(x)
    assert y.dtype == torch.bfloat16 and linear.A.dtype == torch.float32
    y.float().square().sum().backward()
    assert linear.B.grad is not None and linear.B.grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), naive(linear, x, gates), rtol=0.05, atol=0.1)


def test_float32_experts_serve_a_bf16_base() -> None:
    linear, x = build(), torch.randn(2, 5, 10)
    linear.routing.store(torch.rand(2, 4))
    wide = linear(x)
    linear.base_layer.to(torch.bfloat16)
    narrow = linear(x.bfloat16())
    assert narrow.dtype == torch.bfloat16
    torch.testing.assert_close(narrow.float(), wide, rtol=0.05, atol=0.1)


def test_merge_equals_routing_and_unmerges_bit_for_bit() -> None:
    linear, x = build(), torch.randn(1, 5, 10)
    gates = torch.tensor([[0.4, 0.0, 0.6, 0.0]])
    linear.routing.store(gates)
    routed, before = linear(x), linear.base_layer.weight.clone()
    linear.merge(gates[0])
    linear.routing.suspended = True
    torch.testing.assert_close(linear(x), routed, rtol=1e-5, atol=1e-5)
    with pytest.raises(BackboneError, match="already"):
        linear.merge(gates[0])
    linear.unmerge()
    assert not linear.merged and torch.equal(linear.base_layer.weight, before)
