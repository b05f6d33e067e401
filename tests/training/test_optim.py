"""Learning-rate schedule, the division of parameters among optimizers, and the moving average."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from a2cli.errors import ConfigError
from a2cli.training.config import OptimizerConfig
from a2cli.training.optim import Ema, FlatMuon, build_optimizers, get_lr_scale, orthogonalise


def get_named() -> list[tuple[str, nn.Parameter]]:
    torch.manual_seed(0)
    shapes = {
        "transformer.x_embedder.weight": (8, 4),
        "transformer.transformer_blocks.0.attn.to_q.weight": (8, 8),
        "transformer.transformer_blocks.0.attn.to_q.bias": (8,),
        "transformer.single_transformer_blocks.1.proj_out.weight": (8, 12),
        "encoder.conv_in.weight": (4, 3, 3, 3),
        "encoder.down_blocks.0.resnets.0.conv1.weight": (4, 4, 3, 3),
    }
    return [(name, nn.Parameter(torch.randn(shape))) for name, shape in shapes.items()]


def test_the_schedule_warms_up_and_falls_to_its_floor() -> None:
    config = OptimizerConfig(warmup=10, final=0.1)
    scales = [get_lr_scale(step, 110, config) for step in range(111)]
    assert scales[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert scales[10] == 1.0 and scales[60] == pytest.approx(0.55) and scales[110] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(scales[10:]))
    assert get_lr_scale(500, 110, config) == pytest.approx(0.1)
    assert get_lr_scale(0, 5, OptimizerConfig(warmup=0)) == 1.0
    assert (
        0 < get_lr_scale(0, 5, OptimizerConfig(warmup=100)) < get_lr_scale(4, 5, OptimizerConfig(warmup=100))
    )


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_parameter_has_one_optimizer(name: str) -> None:
    named = get_named()
    config = OptimizerConfig(name=name, lr=0.01, weight_decay=0.5)  # type: ignore[arg-type]
    optimizers = build_optimizers(named, config)
    owned = {p.data_ptr(): o for o in optimizers for g in o.param_groups for p in g["params"]}
    assert len(owned) == sum(len(g["params"]) for o in optimizers for g in o.param_groups) == len(named)
    for key, parameter in named:
        matrix = name == "muon" and "block" in key and parameter.ndim in (2, 4)
        owner = owned[parameter.data_ptr()]  # Muon holds convolutions as matrices over the same numbers
        assert isinstance(owner, FlatMuon if matrix else torch.optim.AdamW), key
        assert owner.param_groups[0]["weight_decay"] == (0.5 if matrix or name == "adamw" else 0.0)


def test_both_optimizers_move_weights_by_about_the_learning_rate() -> None:
    named = get_named()
    before = {name: p.detach().clone() for name, p in named}
    for parameter in dict(named).values():
        parameter.grad = torch.randn_like(parameter)
    for optimizer in build_optimizers(named, OptimizerConfig(name="muon", lr=0.01)):
        optimizer.step()
    for name, parameter in named:
        moved = (parameter - before[name]).square().mean().sqrt().item()
        assert 0.001 < moved < 0.011, name


def test_the_average_is_the_recursion_it_claims() -> None:
    named = get_named()
    ema = Ema(named, 0.7)
    wanted = {name: p.detach().clone() for name, p in named}
    for step in range(6):
        with torch.no_grad():
            for _, parameter in named:
                parameter.add_(1.0)
        ema.update(step)
        decay = min(0.7, (1 + step) / (10 + step))
        for name, parameter in named:
            wanted[name] = decay * wanted[name] + (1 - decay) * parameter.detach()
    for name in wanted:
        torch.testing.assert_close(ema.shadow[name], wanted[name])


def test_the_average_stands_in_and_steps_back() -> None:
    named = get_named()
    ema = Ema(named, 0.9)
    with torch.no_grad():
        for _, parameter in named:
            parameter.mul_(1.37)
    ema.update(0)
    weights = {name: p.detach().clone() for name, p in named}
    average = {name: t.clone() for name, t in ema.shadow.items()}
    with ema.applied():
        assert all(
            torch.equal(p, average[name]) and torch.equal(ema.shadow[name], weights[name])
            for name, p in named
        )
    assert all(
        torch.equal(p, weights[name]) and torch.equal(ema.shadow[name], average[name]) for name, p in named
    )


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"lr": -1.0}, {"ema": 1.0}, {"ema": -0.1}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        OptimizerConfig(**wrong)  # type: ignore[arg-type]


def test_muon_is_torchs_muon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "a2cli.training.optim.has_bfloat16", lambda: True
    )  # torch's own always takes bfloat16
    torch.manual_seed(0)
    shapes = [(12, 20), (20, 12), (12, 20), (7, 7)]
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    options = {"lr": 0.02, "weight_decay": 0.1}
    flat = FlatMuon(ours, **options)
    plain = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **options)
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        flat.step()
        plain.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-3, rtol=0)


def test_orthogonalised_singular_values_lie_near_one() -> None:
    torch.manual_seed(0)
    result = orthogonalise(torch.randn(3, 16, 40))
    values = torch.linalg.svdvals(result.float())
    assert values.min() > 0.6 and values.max() < 1.3
