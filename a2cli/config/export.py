"""The settings of `a2 export`: everything of its command line, checked where it is made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError

SYNTH = "synth"
ExportFormat = Literal["peft", "diffusers", "comfyui", "merged", "onnx", "torch"]
FileDtype = Literal["auto", "float32", "bfloat16", "float16"]
_REPO = re.compile(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class ExportConfig:
    """One `a2 export` command line.

    `adapter` is a folder, or "nano" for the one inside a2; `backbone` and `model` say what it stands on where the
    adapter does not, or where its base lies elsewhere. One routing of the experts is frozen: that of the pairs of
    `data` ("synth" or a data set), `pairs` of them; of a `category` alone; or that of a reference, `ref`, with `photo`
    and `mask` in one context pass, without them over the photos of `data`. `measure` held-out pairs tell what is lost;
    0 measures nothing. `rank` cuts every update to so many dimensions. `dtype` is the files', "auto" the adapter's own.

    Raises ConfigError when the settings contradict.
    """

    adapter: str
    format: ExportFormat
    out: str
    category: str | None = None
    ref: str | None = None
    ref_mask: str | None = None
    photo: str | None = None
    mask: str | None = None
    prompt: str = ""
    data: str = SYNTH
    pairs: int = 32
    measure: int = 8
    seed: int = 0
    rank: int | None = None
    dtype: FileDtype = "auto"
    device: str = "auto"
    backbone: str | None = None
    model: str | None = None
    license: str | None = None
    push_to_hub: str | None = None
    private: bool = False

    def __post_init__(self) -> None:
        for option, value, known in (
            ("--format", self.format, get_args(ExportFormat)),
            ("--dtype", self.dtype, get_args(FileDtype)),
        ):
            if value not in known:
                raise ConfigError(f"{option} {value!r} is unknown", hint=get_suggestion(value, known))
        if not self.adapter or not self.out or not self.data:
            raise ConfigError("a folder has an empty name")
        if self.out == "-" or self.out.endswith(".safetensors"):
            raise ConfigError(f"-o {self.out}: an export is a folder", hint="name a folder")
        for option, count, low in (
            ("--pairs", self.pairs, 1),
            ("--measure", self.measure, 0),
            ("--seed", self.seed, 0),
            ("--rank", 1 if self.rank is None else self.rank, 1),
        ):
            if count < low:
                raise ConfigError(f"{option} is {count}, must be {low} or more")
        self._check_routing()
        if self.push_to_hub is not None and not _REPO.fullmatch(self.push_to_hub):
            raise ConfigError(
                f"--push-to-hub {self.push_to_hub!r} is no repository", hint="such as me/my-adapter"
            )
        if self.private and self.push_to_hub is None:
            raise ConfigError("--private says how a repository is made", hint="add --push-to-hub REPO")

    def _check_routing(self) -> None:
        if self.category is not None and self.ref is not None:
            raise ConfigError("--for and --for-ref freeze two routings", hint="leave one of them out")
        given = {
            "--ref-mask": self.ref_mask,
            "--photo": self.photo,
            "--mask": self.mask,
            "--prompt": self.prompt,
        }
        if self.ref is None and any(given.values()):
            names = ", ".join(name for name, value in given.items() if value)
            raise ConfigError(f"{names}: said of a reference, and there is none", hint="add --for-ref FILE")
        if (self.photo is None) != (self.mask is None):
            raise ConfigError("--photo and --mask are one edit", hint="give both, or neither")
