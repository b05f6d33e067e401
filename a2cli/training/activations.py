"""What one training step holds in memory besides weights and optimizer: the step itself, on tensors without data.

A transformer of at most three blocks a kind, its experts and both passes run forward and backward under
`FakeTensorMode`, while every storage that comes and goes is counted: saved activations, kept keys and values, their
gradients, recomputed blocks, casts and temporaries alike. Middle blocks of a kind cost the same, so theirs are repeated
up to the real depth. Where kernels of CPUs and GPUs keep different things the layers below stand in for the GPU's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2cli.backbones.base import Quantize
from a2cli.backbones.blocks import get_blocks
from a2cli.backbones.live_bytes import LiveBytes
from a2cli.backbones.quantize import get_quantizable
from a2cli.context import Condition, TwoPass
from a2cli.context.passes import repeat_condition
from a2cli.lora.adapter import inject_lora
from a2cli.lora.config import LoraConfig
from a2cli.mot import MotConfig, MotModel, inject_mot

DEPTHS = {"double": "num_layers", "single": "num_single_layers"}
_SHALLOW = 3  # the first, one in the middle, the last


@dataclass(frozen=True)
class StepShape:
    """Sizes of one micro-batch: tokens a side of photo and reference, text tokens, samples, noise draws a sample."""

    side: int
    reference: int
    text: int
    batch_size: int = 1
    noise_draws: int = 1


@dataclass(frozen=True)
class Compute:
    """How a step computes.

    dtype: of the frozen base. quantize: its linears. autocast: bf16 autocast by CUDA's rules, which run norms in
    float32. checkpointing: blocks are run again in the backward pass. accumulate: gradients are there before.
    """

    dtype: torch.dtype = torch.bfloat16
    quantize: Quantize | None = None
    autocast: bool = True
    checkpointing: bool = False
    accumulate: bool = False


class StepBytes(NamedTuple):
    """Bytes at the peak of a step; `cache` of them are the context's kept keys and values."""

    peak: int
    cache: int


class Window(NamedTuple):
    """The time from the start of one block's run to the next: its label, bytes held at its start, and at most."""

    label: str
    start: int
    peak: int


class _Windows:
    """Divides a step at the starts of blocks."""

    def __init__(self, live: LiveBytes) -> None:
        self.live, self.done = live, list[Window]()
        self._label, self._start = "", 0

    def open(self, label: str) -> None:
        self.done.append(Window(self._label, self._start, self.live.peak))
        self._label, self._start = label, self.live.now
        self.live.peak = self.live.now


def trace_step(
    transformer: Mapping[str, Any], adapter: MotConfig | LoraConfig, shape: StepShape, compute: Compute
) -> StepBytes:
    """Find the bytes a training step holds at most, without weights, gradients (unless made in it) and optimizer.

    transformer: the whole configuration of a `FluxTransformer2DModel`. Gradients of adapter parameters count where
    the step makes them, those there before (`compute.accumulate`) do not. Takes seconds and next to no memory.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    depths = {kind: int(transformer[key]) for kind, key in DEPTHS.items()}
    shallow = {DEPTHS[kind]: min(depth, _SHALLOW) for kind, depth in depths.items()}
    with FakeTensorMode():
        windows, cache = run_step({**transformer, **shallow}, adapter, shape, compute)
    return StepBytes(get_peak(windows, depths), cache * sum(depths.values()) // sum(shallow.values()))


def get_peak(windows: Sequence[Window], depths: Mapping[str, int]) -> int:
    """Find the most bytes held, with the middle one of equal windows repeated up to `depths` of each kind."""
    ends = [window.start for window in windows[1:]] + [0]
    now, peak = 0, 0
    for label, group in groupby(zip(windows, ends, strict=True), key=lambda pair: pair[0].label):
        members = list(group)
        missing = depths.get(label.split()[-1] if label else "", 0) - len(members)
        if missing > 0:
            members[1:1] = [members[1]] * missing
        for window, end in members:
            peak = max(peak, now + window.peak - window.start)
            now += end - window.start
    return peak


def run_step(
    transformer: Mapping[str, Any], adapter: MotConfig | LoraConfig, shape: StepShape, compute: Compute
) -> tuple[list[Window], int]:
    """Run and watch one step of a model made for it; see `watch_step`."""
    model = _build(transformer, compute)
    experts, _ = inject_adapter(model, adapter)
    _materialise(model, compute)
    return watch_step(model, experts, shape, compute)


def watch_step(
    model: Any, experts: MotModel | None, shape: StepShape, compute: Compute
) -> tuple[list[Window], int]:
    """Run one step as `EditObjective.loss` does; returns its windows and the bytes of the context's cache."""
    two_pass = TwoPass(model, guidance=1.0, experts=experts)
    if compute.checkpointing:
        two_pass.enable_gradient_checkpointing()
    model.train()
    condition, noisy, sigma = _make_inputs(model.config, shape, compute.dtype)
    live = LiveBytes([t for p in model.parameters() for t in (p, p.grad) if t is not None])
    windows = _Windows(live)
    with live, _watching(model, two_pass, windows) as phase:
        with torch.autocast("cpu", torch.bfloat16, enabled=compute.autocast):
            cache = two_pass.encode_context(condition, full_grid=True)
            size = cache.nbytes
            cache = cache.repeat(shape.noise_draws)
            repeated = repeat_condition(condition, shape.noise_draws)
            velocity = two_pass.predict_velocity(noisy, sigma, repeated, cache)
            loss = (velocity.float() - noisy).square().sum()
        del cache, velocity
        phase.append("backward")
        loss.backward()
        windows.open("")
    return windows.done, size


def _materialise(model: nn.Module, compute: Compute) -> None:
    """Give every parameter a place on the CPU: the frozen base in its dtype, what is trained in float32."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                dtype = torch.float32 if parameter.requires_grad else compute.dtype
                placed = nn.Parameter(torch.zeros(parameter.shape, dtype=dtype), parameter.requires_grad)
                if compute.accumulate and parameter.requires_grad:
                    placed.grad = torch.zeros_like(placed)
                module._parameters[name] = placed


@contextmanager
def _watching(model: Any, two_pass: TwoPass, windows: _Windows) -> Iterator[list[str]]:
    """Open a window whenever a block starts; the last word of what is given is the phase."""
    phase = ["forward"]

    def watch(module: nn.Module, kind: str) -> Any:
        return module.register_forward_pre_hook(
            lambda *_: windows.open(f"{phase[-1]} {two_pass.state.current} {kind}")
        )

    handles = [watch(spec.module, spec.kind) for spec in get_blocks(model)]
    yield phase
    for handle in handles:
        handle.remove()


def inject_adapter(
    model: Any, adapter: MotConfig | LoraConfig
) -> tuple[MotModel | None, dict[str, nn.Parameter]]:
    """Put what is trained into a transformer on the meta device: the experts' handle, if any, and the parameters."""
    with torch.device("meta"):
        if isinstance(adapter, MotConfig):
            experts = inject_mot(model, get_blocks(model), adapter)
            return experts, experts.named_parameters()
        return None, inject_lora(model, get_blocks(model), adapter).named_parameters()


def _make_inputs(config: Any, shape: StepShape, dtype: torch.dtype) -> tuple[Condition, Tensor, Tensor]:
    channels = config.out_channels or config.in_channels
    bits = config.in_channels - 2 * channels
    batch, tokens = shape.batch_size, shape.side**2
    condition = Condition(
        masked=torch.zeros(batch, tokens, channels, dtype=dtype),
        mask=torch.zeros(batch, tokens, bits, dtype=dtype),
        visible=torch.zeros(batch, tokens, dtype=torch.bool),
        reference=torch.zeros(batch, shape.reference**2, channels, dtype=dtype),
        text=torch.zeros(batch, shape.text, config.joint_attention_dim, dtype=dtype),
        pooled=torch.zeros(batch, config.pooled_projection_dim, dtype=dtype),
        grid=(shape.side, shape.side),
        ref_grid=(shape.reference, shape.reference),
    )
    rows = batch * shape.noise_draws
    return condition, torch.zeros(rows, tokens, channels, dtype=dtype), torch.zeros(rows)


def _build(transformer: Mapping[str, Any], compute: Compute) -> Any:
    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        model = FluxTransformer2DModel.from_config(dict(transformer)).requires_grad_(False)
    stand_in(model, compute.quantize)
    return model


def stand_in(model: nn.Module, quantize: Quantize | None) -> None:
    """Replace the layers of a transformer that keep other things on a GPU, or quantised, by ones that keep those."""
    if quantize is not None:
        for name, linear in get_quantizable(model).items():
            model.set_submodule(name, _QuantisedLinear(linear, quantize))
    for name, module in list(model.named_modules()):
        if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
            model.set_submodule(name, _Norm(module))


class _Norm(nn.Module):
    """A norm as CUDA keeps it: fused (input and statistics), in float32 under autocast."""

    def __init__(self, norm: nn.LayerNorm | nn.RMSNorm) -> None:
        super().__init__()
        self.weight: Tensor | None = norm.weight
        self.shape = norm.normalized_shape

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            x, weight = x.float(), None if weight is None else weight.float()
        return F.layer_norm(x, self.shape, weight)  # an RMS norm keeps as much


class _QuantisedLinear(nn.Linear):
    """A linear whose weight is unpacked for every product, and which answers in its input's dtype."""

    def __init__(self, linear: nn.Linear, quantize: Quantize) -> None:
        super().__init__(linear.in_features, linear.out_features, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.quantize = quantize

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.quantize == "int8" else x.to(self.weight.dtype)
        with torch.autocast("cpu", enabled=False):
            return _UnpackedProduct.apply(inner, self.weight, self.bias, self.quantize).to(x.dtype)


class _UnpackedProduct(torch.autograd.Function):
    """nf4 keeps nothing for the backward pass, torchao the unpacked weight, int8 its input.

    bitsandbytes' int8 keeps it where checkpointing cannot drop it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, quantize: Quantize) -> Tensor:
        unpacked = weight.to(x.dtype, copy=True)
        ctx.save_for_backward(weight, unpacked if quantize == "torchao-int8" else None)
        ctx.input = x if quantize == "int8" else None
        y = F.linear(x, unpacked, None if bias is None else bias.to(x.dtype))
        return y.int().to(x.dtype) if quantize == "int8" else y  # its product comes as 32-bit integers

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        weight, unpacked = ctx.saved_tensors
        unpacked = weight.to(gradient.dtype, copy=True) if unpacked is None else unpacked
        return gradient @ unpacked, None, None, None
