"""The conformance suite of backbones: what a plugin's own tests call.

from a2cli.testing import check_backbone
check_backbone(MyBackbone)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from a2cli.backbones.base import API_VERSION, Backbone, Traits
from a2cli.context import Condition, TwoPass, get_token_mask
from a2cli.errors import BackboneError
from a2cli.mot import MotConfig, inject_mot

GRID, REF_GRID = (4, 6), (4, 4)
PROMPTS = ["a red cup", ""]


def check_backbone(
    cls: type[Backbone], model: str | None = None, *, device: str = "cpu", dtype: str = "float32"
) -> None:
    """Load a backbone and check all that the engine relies on, with two small random pictures.

    Covers: API version and traits; the block list; shapes, ranges and repeatability of encoding and
    decoding; the condition; two passes (the region alone equals the full grid, within 1e-3); experts that
    change nothing when injected and leave nothing behind. Raises BackboneError listing every failure.
    """
    if getattr(cls, "api_version", None) != API_VERSION:
        raise BackboneError(f"{cls.__name__}.api_version must be {API_VERSION}, the version of this a2")
    backbone: Any = cls.load(model, device=device, dtype=dtype)
    failures = []
    for check in CHECKS:
        try:
            with torch.no_grad():
                check(backbone)
        except _Fault as fault:
            failures.append(f"{check.__name__.removeprefix('_check_')}: {fault}")
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            failures.append(f"{check.__name__.removeprefix('_check_')}: raised {reason}")
    if failures:
        raise BackboneError(f"{cls.__name__} does not conform: " + "; ".join(failures))


class _Fault(Exception):
    """One thing that does not hold."""


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _Fault(otherwise)


def _check_traits(backbone: Any) -> None:
    _require(isinstance(backbone, Backbone), "a member of the Backbone protocol is missing")
    _require(isinstance(backbone.name, str) and bool(backbone.name), "name must be a word")
    _require(isinstance(backbone.base_hash, str) and bool(backbone.base_hash), "base_hash must be a digest")
    _require(isinstance(backbone.device, torch.device), "device must be a torch.device")
    _require(isinstance(backbone.traits, Traits), "traits must be a Traits")


def _check_blocks(backbone: Any) -> None:
    blocks, again = backbone.get_blocks(), backbone.get_blocks()
    modules = set(backbone.transformer.modules())
    _require(bool(blocks), "there are no blocks")
    _require(len({block.name for block in blocks}) == len(blocks), "two blocks have one name")
    for block, other in zip(blocks, again, strict=True):
        _require(block.name == other.name and block.module is other.module, "two calls give different lists")
        _require(block.kind in ("double", "single"), f"{block.name}: unknown kind {block.kind!r}")
        _require(block.module in modules, f"{block.name}: not a part of the transformer")
        _require(bool(block.linears), f"{block.name}: lists no linears")
        for path, linear in block.linears.items():
            _require(isinstance(linear, nn.Linear), f"{block.name}.{path}: not a linear")
            _require(
                block.module.get_submodule(path) is linear, f"{block.name}.{path}: another module is there"
            )


def _check_pixels(backbone: Any) -> None:
    pixels = _get_pixels(backbone, GRID)
    tokens = backbone.encode_pixels(pixels)
    _require(
        tokens.ndim == 3 and tokens.shape[:2] == (2, GRID[0] * GRID[1]), f"tokens are {tuple(tokens.shape)}"
    )
    _require(bool(tokens.isfinite().all()), "tokens are not finite")
    _require(torch.equal(tokens, backbone.encode_pixels(pixels)), "encoding twice gives different tokens")
    _require(
        _is_close(tokens[1:], backbone.encode_pixels(pixels[1:])),
        "a picture's tokens depend on its neighbours",
    )
    decoded = backbone.decode_tokens(tokens, GRID)
    _require(decoded.shape == pixels.shape, f"decoded pictures are {tuple(decoded.shape)}")
    _require(
        bool(decoded.isfinite().all()) and float(decoded.abs().max()) <= 1, "decoded pixels leave [-1, 1]"
    )


def _check_condition(backbone: Any) -> None:
    condition, mask = _build_condition(backbone), _get_mask(backbone)
    count, ref_count = GRID[0] * GRID[1], REF_GRID[0] * REF_GRID[1]
    channels = backbone.encode_pixels(_get_pixels(backbone, GRID)).shape[-1]
    _require((condition.grid, condition.ref_grid) == (GRID, REF_GRID), "grid or ref_grid is wrong")
    expected = {"masked": (2, count, channels), "reference": (2, ref_count, channels), "visible": (2, count)}
    for name, shape in expected.items():
        found = tuple(getattr(condition, name).shape)
        _require(found == shape, f"{name} is {found}, not {shape}")
    _require(condition.mask.shape[:2] == (2, count), f"mask is {tuple(condition.mask.shape)}")
    _require(
        condition.text.ndim == 3 and condition.pooled.ndim == 2, "text must be (B, T, J) and pooled (B, Q)"
    )
    hidden = get_token_mask(mask, backbone.traits.token_px)
    _require(
        torch.equal(condition.visible.cpu(), ~hidden.cpu()),
        "visible must be false under the mask, true beside it",
    )
    for name in ("masked", "mask", "reference", "text", "pooled"):
        _require(bool(getattr(condition, name).isfinite().all()), f"{name} is not finite")


def _check_two_passes(backbone: Any) -> None:
    condition, before = _build_condition(backbone), dict(backbone.transformer.attn_processors)
    region = condition.get_region()
    noisy = _get_noise(condition)
    passes = TwoPass(backbone.transformer, guidance=backbone.traits.guidance)
    try:
        part = passes.predict_velocity(
            noisy[:, region], 0.7, condition, passes.encode_context(condition), region
        )
        full = passes.predict_velocity(
            noisy, 0.7, condition, passes.encode_context(condition, full_grid=True)
        )
    finally:
        passes.remove()
    _require(part.shape == noisy[:, region].shape, f"the velocity is {tuple(part.shape)}")
    _require(bool(part.isfinite().all()), "the velocity is not finite")
    _require(_is_close(part, full[:, region]), "computing the region alone differs from the full grid")
    _require(dict(backbone.transformer.attn_processors) == before, "attention processors are not given back")


def _check_experts(backbone: Any) -> None:
    modules = {name: id(module) for name, module in backbone.transformer.named_modules()}
    plain = _predict(backbone, None)
    handle = inject_mot(backbone.transformer, backbone.get_blocks(), MotConfig(num_experts=2, rank=2))
    try:
        injected = _predict(backbone, handle)
    finally:
        handle.remove()
    _require(torch.equal(plain, injected), "fresh experts change the output")
    after = {name: id(module) for name, module in backbone.transformer.named_modules()}
    _require(after == modules, "removing the experts does not restore every module")


CHECKS: tuple[Callable[[Any], None], ...] = (
    _check_traits,
    _check_blocks,
    _check_pixels,
    _check_condition,
    _check_two_passes,
    _check_experts,
)


def _predict(backbone: Any, experts: Any) -> Tensor:
    condition = _build_condition(backbone)
    region = condition.get_region()
    passes = TwoPass(backbone.transformer, guidance=backbone.traits.guidance, experts=experts)
    try:
        cache = passes.encode_context(condition)
        return passes.predict_velocity(_get_noise(condition)[:, region], 0.7, condition, cache, region)
    finally:
        passes.remove()


def _build_condition(backbone: Any) -> Condition:
    mask = _get_mask(backbone)
    masked = _get_pixels(backbone, GRID) * (1 - mask)
    return backbone.build_condition(masked, mask, _get_pixels(backbone, REF_GRID), PROMPTS)


def _get_pixels(backbone: Any, grid: tuple[int, int]) -> Tensor:
    """Two random pictures (2, 3, H, W) in [-1, 1], the same at every call."""
    weight = next(backbone.transformer.parameters())
    height, width = (side * backbone.traits.token_px for side in grid)
    noise = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    return (noise * 2 - 1).to(weight)


def _get_mask(backbone: Any) -> Tensor:
    """One mask for both pictures (2, 1, H, W): two tokens and the corner of a third."""
    token = backbone.traits.token_px
    mask = torch.zeros(2, 1, GRID[0] * token, GRID[1] * token)
    mask[:, :, token : 2 * token, token : 3 * token + 1] = 1
    return mask.to(next(backbone.transformer.parameters()))


def _get_noise(condition: Condition) -> Tensor:
    noise = torch.randn(condition.masked.shape, generator=torch.Generator().manual_seed(1))
    return noise.to(condition.masked)


def _is_close(a: Tensor, b: Tensor) -> bool:
    """Equal up to the order of sums in the weights' precision."""
    tolerance = 1e-3 if a.dtype == torch.float32 else 5e-2
    return torch.allclose(a.float(), b.float(), atol=tolerance, rtol=tolerance)
