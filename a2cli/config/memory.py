"""How much of a GPU's memory an edit may take, and what is done to stay within it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError
from a2cli.types import Quantize

Offload = Literal["none", "model", "sequential"]
SIZES = "8GB, 12GiB or 6000MB"
_UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 1 << 20, "GIB": 1 << 30}
_MOVABLE = "nf4 and torchao-int8 go with --offload model"


@dataclass(frozen=True)
class MemoryConfig:
    """What keeps an edit within a GPU's memory.

    `vram` is the most bytes it may take, from which `offload` follows where that is None. `offload`: "model" holds one
    part of the model on the GPU at a time, "sequential" one layer; neither changes a picture. `quantize` holds the
    linears of the transformer's and T5's blocks in fewer bits, which does. ConfigError for what does not exist or
    cannot be done together.
    """

    vram: int | None = None
    offload: Offload | None = None
    quantize: Quantize | None = None

    def __post_init__(self) -> None:
        if self.vram is not None and self.vram < 1:
            raise ConfigError(f"--vram is {self.vram} bytes, must be 1 or more", hint=SIZES)
        for option, value, known in (
            ("--offload", self.offload, get_args(Offload)),
            ("--quantize", self.quantize, get_args(Quantize)),
        ):
            if value is not None and value not in known:
                raise ConfigError(f"{option} {value!r} is unknown", hint=get_suggestion(value, known))
        if self.offload == "sequential" and self.quantize is not None:
            raise ConfigError("--offload sequential moves weights of full width alone", hint=_MOVABLE)
        if self.offload == "model" and self.quantize == "int8":
            raise ConfigError("--quantize int8 makes weights that stay on the GPU", hint=_MOVABLE)


def read_size(text: str | None) -> int | None:
    """`--vram SIZE` in bytes: a number and a unit, "8GB", "7.5 GiB"; None for None. ConfigError for other forms."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]+)\s*", text, re.ASCII | re.IGNORECASE)
    if match is None or match[2].upper() not in _UNITS:
        raise ConfigError(f"--vram {text!r} is no size", hint=SIZES)
    size = int(float(match[1]) * _UNITS[match[2].upper()])
    if size < 1:
        raise ConfigError(f"--vram {text!r} is nothing", hint=SIZES)
    return size
