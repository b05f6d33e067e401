"""Which number format is fast here."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

_UNITS = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16")


@cache
def has_bfloat16() -> bool:
    """Tell whether this processor multiplies bfloat16 matrices itself; emulation is tens of times slower."""
    read = getattr(torch.cpu, "get_capabilities", None)  # newer than a2's oldest torch
    capabilities: dict[str, Any] = read() if read else {}
    return any(capabilities.get(unit, False) for unit in _UNITS)
