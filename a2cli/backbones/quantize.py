"""A frozen base in fewer bits: bitsandbytes' nf4 and int8, torchao's int8, in place of a model's linears.

Weights are read and checked as they lie in the folder, then quantised layer by layer on their way to the device, by
the packages' own layers; the same code serves CPUs and GPUs, and the base hash stays that of the files.
"""

from __future__ import annotations

import inspect
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

from a2cli.backbones.base import Quantize
from a2cli.config.suggest import get_suggestion
from a2cli.errors import BackboneError

if TYPE_CHECKING:
    import torch
    from torch import nn

QUANTIZED_PARTS = ("transformer", "text_encoder_2")
_PACKAGES = {"nf4": "bitsandbytes", "int8": "bitsandbytes", "torchao-int8": "torchao"}
_INSTALL = "pip install 'a2cli[quant]'"
_BLOCK, _SUPERBLOCK = 64, 256  # nf4: weights that share a scale, scales that share one
# int8: activations beyond it are multiplied in half precision (Dettmers et al. 2022, section 3.2)
_OUTLIER = 6.0

# Where they are installed diffusers imports both, used or not; they remark on kernels they lack, and on every call.
for _name in ("bitsandbytes", "torchao", "diffusers.quantizers.torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)


def load_quantized(
    cls: Any, model: str | None = None, *, device: str = "cpu", dtype: str = "float32", quantize: str | None
) -> Any:
    """Load a backbone class, quantised where `quantize` names a way.

    Raises `BackboneError` for an unknown way, a missing package, or a class whose `load` takes no `quantize`.
    """
    if quantize is None:
        return cls.load(model, device=device, dtype=dtype)
    check_quantize(quantize)
    parameters = inspect.signature(cls.load).parameters.values()
    if not any(p.name == "quantize" or p.kind is p.VAR_KEYWORD for p in parameters):
        raise BackboneError(
            f"backbone {getattr(cls, 'name', cls.__name__)!r} cannot load quantised weights",
            hint="leave quantize out",
        )
    return cls.load(model, device=device, dtype=dtype, quantize=quantize)


def check_quantize(quantize: str) -> None:
    """Raise `BackboneError` for a way that does not exist or whose package is missing."""
    if quantize not in get_args(Quantize):
        raise BackboneError(
            f"quantize: unknown {quantize!r}", hint=get_suggestion(quantize, get_args(Quantize))
        )
    _import(_PACKAGES[quantize], quantize)


def _import(name: str, quantize: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise BackboneError(f"quantize {quantize} needs {name.split('.')[0]}", hint=_INSTALL) from error


def get_quantizable(model: nn.Module) -> dict[str, nn.Linear]:
    """List the linears to quantise: those inside repeated blocks, by name.

    Embeddings and the output layer, where errors are not averaged out, keep their dtype, and so does what the
    model's class asks to keep in float32 (T5's `wo`, which overflows).
    """
    from torch import nn

    kept = set(getattr(model, "_keep_in_fp32_modules", None) or ())
    lists = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, nn.ModuleList))
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(lists) and not kept & set(name.split("."))
    }


def quantize_linears(
    model: nn.Module, quantize: Quantize, *, dtype: torch.dtype, device: torch.device | str
) -> None:
    """Replace a frozen model's linears (`get_quantizable`) by quantised ones on `device`; the rest stays put.

    nf4: 4-bit normal floats in blocks of 64, scales quantised again (Dettmers et al. 2023, section 3), computing in
    `dtype`. int8: a scale a row, activations in 8 bits too except outliers (Dettmers et al. 2022). torchao-int8: a
    scale a row, weights only. Gradients pass through to the input, none are made for the weights.
    Raises `BackboneError` when the package is missing.
    """
    linears = get_quantizable(model)
    if quantize == "torchao-int8":
        torchao = _import("torchao.quantization", quantize)
        torchao.quantize_(
            model, torchao.Int8WeightOnlyConfig(), lambda _, name: name in linears, device=device
        )
        return
    layers = _import("bitsandbytes.nn", quantize)
    for name, linear in linears.items():
        layer = _build_nf4(layers, linear, dtype) if quantize == "nf4" else _build_int8(layers, linear)
        layer.bias = linear.bias
        model.set_submodule(name, layer.to(device).train(linear.training))


def _build_nf4(layers: Any, linear: nn.Linear, dtype: torch.dtype) -> Any:
    shape = (linear.in_features, linear.out_features, linear.bias is not None)
    layer = layers.Linear4bit(*shape, compute_dtype=dtype, quant_type="nf4", device="meta")
    layer.weight = layers.Params4bit(linear.weight.detach(), quant_type="nf4", module=layer)
    # On CPUs with AVX-512 the first call without gradients would repack the weights for a product that has none.
    layer.support_avx512bf16_for_cpu = False
    return layer


def _build_int8(layers: Any, linear: nn.Linear) -> Any:
    shape = (linear.in_features, linear.out_features, linear.bias is not None)
    layer = layers.Linear8bitLt(*shape, has_fp16_weights=False, threshold=_OUTLIER, device="meta")
    layer.weight = layers.Int8Params(linear.weight.detach(), requires_grad=False, has_fp16_weights=False)
    return layer


def get_quantized_bytes(shape: tuple[int, int], quantize: Quantize) -> int:
    """Get the bytes a weight (out, in) takes quantised, scales and code tables included."""
    rows, count = shape[0], shape[0] * shape[1]
    if quantize != "nf4":
        return count + 4 * rows
    blocks = -(-count // _BLOCK)
    tables = 4 * (16 + 256)  # the numbers that codes of weights and of scales stand for
    return -(-count // 2) + blocks + 4 * -(-blocks // _SUPERBLOCK) + tables
