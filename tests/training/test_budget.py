"""The memory of a run worked out beforehand, against real steps, real weights and real optimizers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from a2cli.backbones.base import Quantize
from a2cli.backbones.blocks import get_blocks
from a2cli.backbones.flux import FluxFillBackbone
from a2cli.backbones.quantize import quantize_linears
from a2cli.errors import BackboneError, ConfigError
from a2cli.lora.config import LoraConfig
from a2cli.mot import MotConfig, inject_mot
from a2cli.training.activations import (
    Compute,
    StepShape,
    get_peak,
    inject_adapter,
    run_step,
    stand_in,
    trace_step,
    watch_step,
)
from a2cli.training.budget import (
    FLUX_FILL,
    GIB,
    REDUX,
    RunShape,
    get_budget,
    get_optimizer_bytes,
    load_architecture,
)
from a2cli.training.config import OptimizerConfig
from a2cli.training.optim import build_optimizers

sys.path.append(str(Path(__file__).parents[1] / "backbones"))

TINY: dict[str, Any] = {
    "in_channels": 48,
    "out_channels": 16,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 8,
    "joint_attention_dim": 24,
    "pooled_projection_dim": 16,
    "guidance_embeds": True,
    "axes_dims_rope": (4, 6, 6),
}
EXPERTS = MotConfig(num_experts=3, rank=4)
SHAPE = StepShape(side=12, reference=8, text=20, batch_size=2)
MODES = [
    Compute(torch.bfloat16, None, autocast=False),
    Compute(torch.bfloat16, None, autocast=False, checkpointing=True),
    Compute(torch.float32, None, autocast=True, checkpointing=True, accumulate=True),
    Compute(torch.bfloat16, "nf4", autocast=True, checkpointing=True),
    Compute(torch.bfloat16, "int8", autocast=True),
    Compute(torch.bfloat16, "torchao-int8", autocast=False),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from flux_folder import build_flux_folder

    return build_flux_folder(tmp_path_factory.mktemp("flux"))


def predict_peak(shape: StepShape, compute: Compute) -> int:
    with FakeTensorMode():
        return get_peak(run_step(TINY, EXPERTS, shape, compute)[0], {})


# A step without data, and the real one


@pytest.mark.parametrize("compute", MODES)
def test_a_step_without_data_holds_what_the_real_one_holds(compute: Compute) -> None:
    shape = replace(SHAPE, noise_draws=2)
    with FakeTensorMode():
        fake = run_step(TINY, EXPERTS, shape, compute)
    assert fake == run_step(TINY, EXPERTS, shape, compute)
    assert 0 < fake[1] < get_peak(fake[0], {})


def get_allocated(work: Callable[[], object], file: Path) -> int:
    """The most bytes torch's CPU allocator had given out during `work`, those before it not counted."""
    with torch.profiler.profile(
        profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]
    ) as profile:
        work()
    profile.export_chrome_trace(str(file))
    events = [e["args"] for e in json.loads(file.read_text())["traceEvents"] if e.get("name") == "[memory]"]
    before = events[0]["Total Allocated"] - events[0]["Bytes"]
    return max(event["Total Allocated"] for event in events) - before


@pytest.mark.parametrize("compute", MODES[:2])
def test_the_count_is_the_allocators(compute: Compute, tmp_path: Path) -> None:
    wide = {**TINY, "attention_head_dim": 64, "axes_dims_rope": (16, 24, 24)}
    model: Any = build_real(wide, compute)
    experts = inject_mot(model, get_blocks(model), EXPERTS)
    allocated = get_allocated(lambda: watch_step(model, experts, SHAPE, compute), tmp_path / "trace.json")
    with FakeTensorMode():
        predicted = get_peak(run_step(wide, EXPERTS, SHAPE, compute)[0], {})
    assert predicted == pytest.approx(allocated, rel=0.04)


def build_real(options: dict[str, Any], compute: Compute) -> nn.Module:
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    model = FluxTransformer2DModel(**options).requires_grad_(False)
    nn.Module.to(model, compute.dtype)
    if compute.quantize is not None:
        quantize_linears(model, compute.quantize, dtype=compute.dtype, device="cpu")
    stand_in(model, None)
    return model


@pytest.mark.parametrize(
    ("way", "autocast", "tolerance"),
    [("nf4", False, 0.02), ("nf4", True, 0.02), ("torchao-int8", True, 0.02), ("int8", False, 0.25)],
)
def test_layers_that_stand_in_for_quantised_ones_hold_as_much(
    way: Quantize, autocast: bool, tolerance: float
) -> None:
    pytest.importorskip("torchao" if way == "torchao-int8" else "bitsandbytes", reason="a2cli[quant]")
    compute = Compute(torch.bfloat16, way, autocast=autocast, checkpointing=True)
    model: Any = build_real(TINY, compute)
    # torchao's weights come to light only when they are used.
    weights = sum(m.weight.qdata.nbytes for m in model.modules() if hasattr(getattr(m, "weight", 0), "qdata"))
    windows, _ = watch_step(model, inject_mot(model, get_blocks(model), EXPERTS), SHAPE, compute)
    # On CPUs int8 unpacks and computes otherwise than on GPUs.
    assert predict_peak(SHAPE, compute) == pytest.approx(get_peak(windows, {}) - weights, rel=tolerance)


@pytest.mark.parametrize(
    ("adapter", "checkpointing"),
    [
        (EXPERTS, True),
        pytest.param(EXPERTS, False, marks=pytest.mark.slow),
        pytest.param(LoraConfig(rank=4), True, marks=pytest.mark.slow),
    ],
)
def test_depth_is_extrapolated_exactly(adapter: MotConfig | LoraConfig, checkpointing: bool) -> None:
    deep = {**TINY, "num_layers": 4, "num_single_layers": 4}
    compute = Compute(autocast=False, checkpointing=checkpointing)
    with FakeTensorMode():
        windows, cache = run_step(deep, adapter, SHAPE, compute)
    assert trace_step(deep, adapter, SHAPE, compute) == (get_peak(windows, {}), cache)


def test_checkpointing_saves_what_grows_and_no_map_of_attention_is_held() -> None:
    plain, kept = Compute(autocast=False), Compute(autocast=False, checkpointing=True)
    small = trace_step(TINY, EXPERTS, StepShape(24, 16, 50), plain)
    large = trace_step(TINY, EXPERTS, StepShape(48, 32, 200), plain)
    assert large.cache == 4 * small.cache
    assert 3.8 < large.peak / small.peak < 4.1  # as tokens do, not as their square
    again = trace_step(TINY, EXPERTS, StepShape(48, 32, 200), kept)
    assert again.cache == large.cache and again.peak < large.peak / 1.5


# Weights and optimizers


@pytest.mark.parametrize("quantize", [None, "nf4", "int8", "torchao-int8"])
def test_weights_are_counted_as_they_are_loaded(folder: Path, quantize: Quantize | None) -> None:
    if quantize:
        pytest.importorskip(
            "torchao" if quantize == "torchao-int8" else "bitsandbytes", reason="a2cli[quant]"
        )
    backbone = FluxFillBackbone.load(str(folder), dtype="bfloat16", quantize=quantize)
    run = RunShape(EXPERTS, 64, text_tokens=16, quantize=quantize)
    budget = get_budget(run, load_architecture(folder))
    parts = backbone.components
    assert budget.transformer == count_bytes(parts["transformer"])
    assert budget.text_encoders == count_bytes(parts["text_encoder"]) + count_bytes(parts["text_encoder_2"])
    assert budget.image_encoder == count_bytes(parts["image_encoder"]) + count_bytes(parts["image_embedder"])
    assert budget.vae == count_bytes(parts["vae"])
    experts = inject_mot(backbone.transformer, backbone.get_blocks(), EXPERTS)
    trained = sum(p.nbytes for p in experts.trainable_parameters())
    assert budget.adapter == budget.gradients == trained and budget.ema == 0


def count_bytes(model: Any) -> int:
    """Every tensor of a model's state, quantised ones by their parts; what only describes them left out."""
    total, seen = 0, set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) in seen or tensor.ndim == 0 or "quant_state" in name or "position_ids" in name:
            continue
        seen.add(id(tensor))
        parts = [tensor.qdata, tensor.scale] if hasattr(tensor, "qdata") else [tensor]
        total += sum(part.nbytes for part in parts)
    return total


@pytest.mark.parametrize("name", ["adamw", "adamw8bit", "muon"])
def test_optimizer_states_are_as_large_as_said(name: Any) -> None:
    from diffusers import FluxTransformer2DModel

    model = FluxTransformer2DModel(**TINY)
    named = inject_mot(model, get_blocks(model), MotConfig(num_experts=4, rank=16)).named_parameters()
    for parameter in named.values():
        parameter.grad = torch.ones_like(parameter)
    optimizers: list[Any]
    if name == "adamw8bit":
        optim = pytest.importorskip("bitsandbytes.optim", reason="a2cli[quant]")
        optimizers = [optim.AdamW8bit(named.values())]
    else:
        optimizers = build_optimizers(named.items(), OptimizerConfig(name))
    tables, states = {"qmap1", "qmap2"}, 0
    for optimizer in optimizers:
        optimizer.step()
        for state in optimizer.state.values():
            states += sum(
                t.nbytes for k, t in state.items() if torch.is_tensor(t) and t.ndim and k not in tables
            )
    assert get_optimizer_bytes({n: tuple(p.shape) for n, p in named.items()}, name) == states


# Whole budgets


def test_flux_fill_is_counted_as_published() -> None:
    run = RunShape(MotConfig(), 512, gradient_checkpointing=True, autocast=False)
    budget = get_budget(run, {**FLUX_FILL, **REDUX})
    assert budget.transformer / 2 == pytest.approx(11.90e9, rel=1e-3)
    assert budget.text_encoders / 2 == pytest.approx(4.762e9 + 0.123e9, rel=1e-3)
    assert budget.vae / 2 == pytest.approx(83.8e6, rel=1e-3)
    model = nn.Module()
    with torch.device("meta"):
        from diffusers import FluxTransformer2DModel

        model = FluxTransformer2DModel.from_config(dict(FLUX_FILL["transformer"]))
    named = inject_adapter(model, MotConfig())[1]
    experts = sum(p.numel() for n, p in named.items() if n.endswith((".A", ".B")))
    assert experts == pytest.approx(1046e6, rel=1e-3)  # A2-Edit's, as METHODS derives it from table 2
    assert budget.adapter == 4 * sum(p.numel() for p in named.values()) == budget.optimizer / 2
    # Keys and values of 512 + 729 text tokens and twice 1024 others, 57 blocks of width 3072.
    assert budget.context_cache == (512 + 729 + 2 * 1024) * 57 * 3072 * 2 * 2
    assert 40 * GIB < budget.total < 60 * GIB


def test_every_saving_saves_its_part(folder: Path) -> None:
    architecture = load_architecture(folder)
    run = RunShape(MotConfig(rank=16), 256, text_tokens=16)
    plain = get_budget(run, architecture)
    step = {"activations", "context_cache"}
    savings: list[tuple[dict[str, Any], set[str]]] = [
        ({"gradient_checkpointing": True}, {"activations"}),
        ({"autocast": False}, step),
        ({"optimizer": "adamw8bit"}, {"optimizer"}),
        ({"cached_text": True}, {"text_encoders"}),
        ({"cached_images": True}, {"image_encoder"}),
        ({"reference": 128}, step),
    ]
    for changes, smaller in savings:
        other = get_budget(replace(run, **changes), architecture)
        for part in plain.__dataclass_fields__:
            before, after = getattr(plain, part), getattr(other, part)
            assert after < before if part in smaller else after == before, (changes, part)
    quantised = get_budget(replace(run, quantize="int8"), architecture)
    assert quantised.transformer < plain.transformer and quantised.text_encoders < plain.text_encoders
    more = get_budget(replace(run, ema=True, gradient_accumulation=2), architecture)
    assert more.ema == plain.adapter
    # The gradients of a second micro-batch come beside those of the first.
    assert 0 < more.activations - plain.activations <= plain.gradients


SHALLOW = {"num_layers": 1, "num_single_layers": 2}


def test_the_table_lists_what_is_there_and_adds_up() -> None:
    architecture = {**FLUX_FILL, "transformer": {**FLUX_FILL["transformer"], **SHALLOW}}
    budget = get_budget(RunShape(MotConfig(rank=4), 256, cached_text=True), architecture)
    rows = [line.rsplit(maxsplit=2) for line in budget.format().splitlines()]
    names = [name.strip() for name, _, _ in rows]
    assert names[0] == "transformer" and names[-1] == "total" and "text encoders" not in names
    assert float(rows[-1][1]) == pytest.approx(sum(float(row[1]) for row in rows[:-1]), abs=0.05)
    assert budget.total == sum(getattr(budget, name) for name in budget.__dataclass_fields__)


def test_sizes_and_folders_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"resolution: 100.*a multiple of 16"):
        get_budget(RunShape(EXPERTS, 100))
    with pytest.raises(ConfigError, match="reference: 8"):
        get_budget(RunShape(EXPERTS, 64, reference=8))
    (tmp_path / "vae").mkdir()
    with pytest.raises(BackboneError, match=r"transformer/config\.json: not there"):
        load_architecture(tmp_path)
    assert set(load_architecture(folder)) == {*FLUX_FILL, *REDUX}
    with pytest.raises(BackboneError, match="vae cannot be built"):
        get_budget(RunShape(EXPERTS, 64), {**load_architecture(folder), "vae": {"norm_num_groups": "x"}})
