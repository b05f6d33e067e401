"""Reading a plain low-rank adapter, of a2 or of others, as updates of linears."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from a2cli.errors import CheckpointError
from a2cli.exporting.deltas import Deltas, LowRank
from a2cli.lora.adapter import CONFIG, WEIGHTS
from a2cli.mot.folder import find_weights, read_tensors

_PREFIX = "base_model.model."
_PARTS = (".lora_A.weight", ".lora_B.weight")


def load_lora_deltas(folder: Path) -> Deltas:
    """Read an adapter of peft's format; its scales go into B.

    Raises CheckpointError for damage, pickles, and whatever is no pair of matrices beside a linear (DoRA, biases,
    convolutions, whole modules), which no other format would carry either.
    """
    from peft import LoraConfig

    tensors = read_tensors(find_weights(folder))
    try:
        config = LoraConfig.from_pretrained(str(folder))
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CheckpointError(f"{folder / CONFIG}: cannot be read: {str(error).splitlines()[0]}") from error
    if config.use_dora or config.fan_in_fan_out:
        raise CheckpointError(f"{folder / CONFIG}: more than low-rank pairs (DoRA or transposed weights)")
    named = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    paths = []
    for name in named:
        part = next((p for p in _PARTS if name.endswith(p)), None)
        other = None if part is None else name.removesuffix(part) + _PARTS[1 - _PARTS.index(part)]
        if part is None or other not in named or named[name].ndim != 2:
            raise CheckpointError(f"{folder / WEIGHTS}: tensor {name} belongs to no low-rank pair")
        if part == _PARTS[0]:
            paths.append(name.removesuffix(part))
    return {path: _get_delta(config, path, *(named[path + part] for part in _PARTS)) for path in paths}


def _get_delta(config: Any, path: str, A: Tensor, B: Tensor) -> LowRank:
    from peft.utils.other import get_pattern_key

    rank = A.shape[0]
    alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern, path), config.lora_alpha)
    scale = alpha / (math.sqrt(rank) if config.use_rslora else rank)
    return LowRank(A.float(), scale * B.float())
