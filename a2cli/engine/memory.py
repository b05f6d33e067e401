"""Keeping a pipeline within a GPU's memory: what it needs, the lightest measure that suffices, and taking it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from a2cli.backbones.flux import FluxFillBackbone
from a2cli.backbones.live_bytes import LiveBytes
from a2cli.backbones.offload import HOME, get_largest_layer, get_parts, offload_parts
from a2cli.backbones.quantize import QUANTIZED_PARTS, get_quantized_bytes
from a2cli.config.memory import MemoryConfig, Offload
from a2cli.context.passes import Condition, TwoPass, repeat_condition
from a2cli.errors import BackboneError, ConfigError
from a2cli.types import Quantize

if TYPE_CHECKING:
    from a2cli.engine.pipeline import EditPipeline

GB = 10**9
ALLOWANCE = 1 << 30  # CUDA's own, cuBLAS's workspaces and fragmentation: a margin, not a measurement
# What costs least time comes first; none of them changes a picture.
MEASURES: tuple[Offload, ...] = ("none", "model", "sequential")
_DEPTHS = ("num_layers", "num_single_layers")
_SAYS: dict[Offload, str] = {
    "none": "all weights on the GPU",
    "model": "one part of the model on the GPU at a time (--offload model)",
    "sequential": "one layer on the GPU at a time (--offload sequential), which is slow",
}


@dataclass(frozen=True)
class Needs:
    """Bytes an edit needs on the device.

    `parts`: weights by part; `layers`: of the largest layer in each. `around`: what stays there always, a region
    adapter and copies of the experts in use, all of them at most. Activations at most: `encoding` of photo, reference
    and prompt, `passes` with the context's kept keys and values, `decoding`.
    """

    parts: dict[str, int]
    layers: dict[str, int]
    around: int
    encoding: int
    passes: int
    decoding: int

    def get_bytes(self, offload: Offload) -> int:
        """The most that is there at one moment, the allowance included."""
        if offload == "none":
            peak = sum(self.parts.values()) + max(self.encoding, self.passes, self.decoding)
        else:
            held = self.parts if offload == "model" else self.layers
            encoders = max(size for name, size in held.items() if name != "transformer")
            peak = max(
                encoders + self.encoding,
                held["transformer"] + self.passes,
                held["vae"] + self.decoding,
            )
        return peak + self.around + ALLOWANCE


def check_memory(memory: MemoryConfig, device: str) -> None:
    """Raise `ConfigError` where memory is to be saved on a device that has none of its own."""
    option = "--vram" if memory.vram is not None else "--offload"
    if (memory.vram is not None or memory.offload in ("model", "sequential")) and not device.startswith(
        "cuda"
    ):
        raise ConfigError(
            f"{option}: there is no GPU to keep weights off, this runs on {device}",
            hint=f"leave {option} out",
        )


def get_home(memory: MemoryConfig, device: str) -> str:
    """Where weights are loaded: in main memory where they are moved, or chosen for, afterwards."""
    stays = memory.quantize == "int8"  # its weights cannot be moved once they are made
    moves = memory.vram is not None or memory.offload in ("model", "sequential")
    return HOME.type if moves and not stays else device


def place_pipeline(
    pipeline: EditPipeline,
    memory: MemoryConfig,
    device: str,
    *,
    num_images: int = 1,
    note: Callable[[str], None] | None = None,
) -> Offload:
    """Bring a pipeline loaded at `get_home` to where it computes; returns how its weights are kept.

    With `vram` the lightest of `MEASURES` that fits is taken and told to `note`, and the process is kept from taking
    more. Raises `ConfigError` where none fits, `BackboneError` for a backbone whose parts cannot be moved.
    """
    if memory.vram is None and memory.offload in (None, "none"):
        return "none"
    offload: Offload = memory.offload or "none"
    if memory.vram is not None:
        needs = get_needs(pipeline, num_images=num_images, quantize=memory.quantize)
        offload = choose_offload(needs, memory)
        if note:
            wanted = needs.get_bytes(offload) / GB
            note(f"memory: {_SAYS[offload]}, about {wanted:.1f} of {memory.vram / GB:.1f} GB")
        if device.startswith("cuda"):
            _limit(memory.vram, device)
    where = torch.device(device)
    offload_parts(pipeline.backbone, offload, where)
    if pipeline.region is not None:
        pipeline.region.modules.to(where)
    return offload


def choose_offload(needs: Needs, memory: MemoryConfig) -> Offload:
    """The lightest measure that fits into `memory.vram`, among those it leaves open. Raises `ConfigError` if none."""
    assert memory.vram is not None
    fixed = memory.offload or ("none" if memory.quantize == "int8" else None)
    open_ones = [m for m in MEASURES if fixed is None or m == fixed]
    if memory.quantize is not None and fixed is None:
        open_ones.remove("sequential")
    for measure in open_ones:
        if needs.get_bytes(measure) <= memory.vram:
            return measure
    least = min(needs.get_bytes(measure) for measure in open_ones)
    raise ConfigError(
        f"--vram {memory.vram / GB:.1f}GB is not enough: an edit needs about {least / GB:.1f} GB",
        hint=_get_way_out(needs, memory),
    )


def _get_way_out(needs: Needs, memory: MemoryConfig) -> str:
    assert memory.vram is not None
    if memory.quantize is not None:
        return "leave --quantize out: --offload sequential needs least"
    fitting = [measure for measure in MEASURES if needs.get_bytes(measure) <= memory.vram]
    return f"--offload {fitting[0]} fits" if fitting else "a smaller --num-images, or --device cpu"


def get_needs(pipeline: EditPipeline, *, num_images: int = 1, quantize: Quantize | None = None) -> Needs:
    """Work out what an edit of `num_images` pictures needs: weights counted, activations traced without data.

    The mask counts at its worst, everywhere known and everywhere unknown at once. Takes seconds and next to no memory.
    Raises `BackboneError` for a backbone that is not built as FLUX.1 Fill is.
    """
    backbone = pipeline.backbone
    if not isinstance(backbone, FluxFillBackbone):
        raise BackboneError(
            f"what backbone {backbone.name!r} needs is not known", hint="give --offload instead of --vram"
        )
    parts = get_parts(backbone)
    around = [] if pipeline.region is None else list(pipeline.region.modules.parameters())
    if pipeline.experts is not None:
        around += [p for n, p in pipeline.experts.named_parameters().items() if n.endswith((".A", ".B"))]
    encoding, passes, decoding = trace_edit(backbone, num_images)
    return Needs(
        {name: _get_part_bytes(name, part, quantize) for name, part in parts.items()},
        {name: get_largest_layer(part) for name, part in parts.items()},
        sum(p.nbytes for p in around),
        encoding,
        passes,
        decoding,
    )


def _get_part_bytes(name: str, part: nn.Module, quantize: Quantize | None) -> int:
    """Bytes of a part's weights; what is in fewer bits by formula, since its tensors do not say."""
    if quantize is None or name not in QUANTIZED_PARTS:
        return sum(t.nbytes for t in (*part.parameters(), *part.buffers()))
    linears = {id(p): (m.out_features, m.in_features) for m, p in _list_quantized(part)}
    plain = sum(p.nbytes for p in (*part.parameters(), *part.buffers()) if id(p) not in linears)
    return plain + sum(get_quantized_bytes(shape, quantize) for shape in linears.values())


def _list_quantized(part: nn.Module) -> list[tuple[nn.Linear, Any]]:
    """The linears that hold other things than plain floating weights."""
    return [
        (module, module.weight)
        for module in part.modules()
        if isinstance(module, nn.Linear)
        and not (type(module.weight) is nn.Parameter and module.weight.is_floating_point())
    ]


def trace_edit(backbone: FluxFillBackbone, num_images: int) -> tuple[int, int, int]:
    """Bytes of activations, at most: of encoding, of the two passes, of decoding; without weights."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    side = backbone.traits.resolution
    double = type(backbone)(
        {n: _build_double(part) for n, part in backbone.components.items()}, backbone.traits
    )
    with FakeTensorMode(), torch.no_grad():
        weights: list[torch.Tensor] = []
        for name, part in get_parts(double).items():
            _materialise(part, backbone.components[name].dtype)
            weights += [*part.parameters(), *part.buffers()]
        pixels, mask = torch.zeros(1, 3, side, side), torch.ones(1, 1, side, side)
        with LiveBytes(weights) as live:
            condition = double.build_condition(pixels, mask, pixels, [""])
            encoding = _take_peak(live)
            noisy, kept = _trace_passes(double, condition, num_images)
            passes = _take_peak(live)
            double.decode_tokens(noisy, condition.grid)
            decoding = _take_peak(live)
    left_out = len(backbone.get_blocks()) / len(double.get_blocks()) - 1
    return encoding, passes + int(left_out * kept), decoding


def _trace_passes(
    double: FluxFillBackbone, condition: Condition, num_images: int
) -> tuple[torch.Tensor, int]:
    """Run both passes once: tokens as they come out, bytes of the kept keys and values."""
    two_pass = TwoPass(double.transformer, guidance=1.0)
    cache = two_pass.encode_context(condition, full_grid=True).repeat(num_images)
    repeated = repeat_condition(condition, num_images)
    return two_pass.predict_velocity(torch.zeros_like(repeated.masked), 0.5, repeated, cache), cache.nbytes


def _take_peak(live: LiveBytes) -> int:
    """The most that was held since the last call."""
    peak, live.peak = live.peak, live.now
    return peak


def _build_double(part: Any) -> Any:
    """A part of the same shape on the meta device; what is no module stays.

    Of a transformer's blocks, which all hold as much while they run, the first two of a kind.
    """
    if not isinstance(part, nn.Module):
        return part
    cls: Any = type(part)
    config: Any = part.config
    with torch.device("meta"):
        if not hasattr(cls, "load_config"):  # transformers
            return cls(config).eval()
        few = {key: min(2, config[key]) for key in _DEPTHS if key in config}
        return cls.from_config({**config, **few}).eval()


def _materialise(part: nn.Module, dtype: torch.dtype) -> None:
    """Give every tensor a place on the CPU: under `FakeTensorMode` one without data."""
    for module in part.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                placed = torch.zeros(parameter.shape, dtype=dtype)
                module._parameters[name] = nn.Parameter(placed, requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.zeros(buffer.shape, dtype=buffer.dtype)


def _limit(vram: int, device: str) -> None:
    """Have torch refuse this process more than `vram` bytes of the GPU."""
    where = torch.device(device)
    index = torch.cuda.current_device() if where.index is None else where.index
    total = torch.cuda.get_device_properties(index).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, vram / total), index)
