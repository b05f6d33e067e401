"""X2Edit's contrastive term against its equations written out, and the tap that collects features."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_flux import build_tiny_flux, run

from a2cli.backbones.blocks import get_blocks
from a2cli.mot import MotConfig, inject_mot
from a2cli.mot.contrastive import FeatureTap, contrastive_loss


def get_naive(features: torch.Tensor, labels: list[str], tau: float) -> float:
    """Equations 6-9, sample by sample."""
    unit = [row.flatten() / row.flatten().norm() for row in features]
    terms = []
    for i, label in enumerate(labels):
        near = [math.exp(-float((unit[i] - u).square().sum()) / tau) for u in unit]
        positives = sum(n for j, n in enumerate(near) if labels[j] == label and j != i)
        if positives:
            terms.append(-math.log(positives / sum(near)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("tau", [0.1, 0.5, 2.0])
def test_the_term_equals_its_equations(tau: float) -> None:
    torch.manual_seed(0)
    features = torch.randn(6, 5, 4)
    labels = ["a", "b", "a", "c", "b", "a"]
    assert float(contrastive_loss(features, labels, tau)) == pytest.approx(
        get_naive(features, labels, tau), rel=1e-5
    )


def test_alike_features_of_one_label_cost_less() -> None:
    one, two = torch.eye(2)
    apart = torch.stack([one, one, two, two])
    assert contrastive_loss(apart, ["a", "a", "b", "b"]) < contrastive_loss(apart, ["a", "b", "a", "b"])


def test_without_a_pair_the_term_is_zero_and_has_a_gradient() -> None:
    features = torch.randn(3, 4, requires_grad=True)
    loss = contrastive_loss(features, ["a", "b", "c"])
    loss.backward()
    assert float(loss) == 0 and features.grad is not None and bool((features.grad == 0).all())


def test_the_tap_keeps_image_tokens_while_it_is_open() -> None:
    flux = build_tiny_flux()
    handle = inject_mot(flux, get_blocks(flux), MotConfig(num_experts=3, rank=2))
    tap = FeatureTap(handle.blocks)
    run(flux)
    assert tap.features == {}
    with tap:
        run(flux)
    assert set(tap.features) == {block.name for block in handle.blocks}
    kept = dict(tap.features)
    run(flux, seed=9)
    assert all(tap.features[name] is kept[name] for name in kept)
    assert len({tuple(tokens.shape) for tokens in kept.values()}) == 1
    tap.remove()
    with tap:
        run(flux)
    assert tap.features == {}
