"""The settings of `a2 edit`: everything of its command line, checked where it is made."""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from a2cli.config.batch import BatchConfig
from a2cli.config.expect import Expected
from a2cli.config.localize import LocalizeOptions, check_threshold, get_span
from a2cli.config.memory import MemoryConfig
from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError
from a2cli.files import show_name
from a2cli.types import MAX_PIXELS

DTYPES = ("auto", "float32", "bfloat16", "float16")
SOURCE_WAYS = (
    "give a SOURCE file; or pipe the photo in (a2 edit - ...); or let --mask be the photo itself "
    "with the region rubbed out to transparency"
)
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Localize = Literal["off", "mask", "attention", "predictor", "auto"]


@dataclass(frozen=True)
class EditConfig:
    """One `a2 edit` command line.

    `sources` is empty when stdin, the mask or a manifest holds the photos, and `"-"` is stdin; `refs` may be empty with
    a manifest alone. `make_folders`: those of outputs that do not exist yet are made. `steps` and `guidance`
    None mean the backbone's own; `model` and `adapter` None mean those the backbone ships with, `adapter`
    "none" the bare backbone. `feather` is in source pixels. `localize` None is "off" with a mask, "auto" without one;
    `keyword` and `threshold` are as in `LocalizeOptions`. ConfigError when the settings contradict.
    """

    sources: tuple[str, ...]
    refs: tuple[str, ...]
    mask: str | None = None
    ref_mask: str | None = None
    prompt: str = ""
    out: str | None = None
    save_region: str | None = None
    localize: Localize | None = None
    keyword: str | None = None
    threshold: float | Literal["auto"] = "auto"
    save_attention: str | None = None
    num_images: int = 1
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    backbone: str = "nano"
    model: str | None = None
    adapter: tuple[str, ...] | None = None
    device: str = "auto"
    dtype: Dtype = "auto"
    feather: float = 8.0
    fit_mask: bool = False
    max_pixels: int = MAX_PIXELS
    metadata: bool = True
    json: bool = False
    quiet: bool = False
    dry_run: bool = False
    allow_urls: bool = False
    sign: str | None = None
    make_folders: bool = False
    batch: BatchConfig = field(default_factory=BatchConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    expects: Expected | None = None

    def __post_init__(self) -> None:
        self._check_inputs()
        if "" in (self.out, self.save_region, self.save_attention):
            raise ConfigError("an output has an empty name")
        for option, what, path in (
            ("--save-region", "region", self.save_region),
            ("--save-attention", "attention", self.save_attention),
        ):
            if path == "-":
                raise ConfigError(f"{option} needs a file name", hint=f"such as {what}.png")
            if path and Path(path).suffix.lower() not in ("", ".png"):
                raise ConfigError(f"{path}: the {what} is saved as PNG", hint="name it .png")
        if self.out == "-" and (self.json or self.num_images > 1):
            raise ConfigError(
                "-o - writes one PNG and nothing else", hint="leave out --json and --num-images"
            )
        for option, value, low in (
            ("--num-images", self.num_images, 1),
            ("--steps", self.steps, 1),
            ("--guidance", self.guidance, 0),
            ("--seed", self.seed, 0),
            ("--feather", self.feather, 0),
            ("--max-pixels", self.max_pixels, 1),
        ):
            if value is not None and not low <= value < 2**63:
                raise ConfigError(f"{option} is {value}, must be {low} or more")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            hint = get_suggestion(self.device, ["auto", "cpu", "cuda", "cuda:0", "mps"])
            raise ConfigError(f"--device {self.device!r} is unknown", hint=hint)
        if self.dtype not in DTYPES:
            raise ConfigError(f"--dtype {self.dtype!r} is unknown", hint=get_suggestion(self.dtype, DTYPES))
        if self.batch.manifest is None:  # its records have masks and prompts of their own
            self._check_localize()
        else:
            self._check_way()

    @property
    def way(self) -> Localize:
        """How the region is found or narrowed, resolved."""
        return self.localize or ("off" if self.mask is not None else "auto")

    def get_localize_options(self) -> LocalizeOptions:
        """The settings of finding or narrowing; only where `way` is not "off"."""
        assert self.way != "off"
        return LocalizeOptions(way=self.way, keyword=self.keyword, threshold=self.threshold)

    def _check_inputs(self) -> None:
        if not self.refs and self.batch.manifest is None:
            raise ConfigError("no reference", hint="give --ref FILE, a photo of the object to put in")
        others = (name for name in (self.mask, self.ref_mask, self.batch.manifest) if name is not None)
        inputs = [*self.sources, *self.refs, *others]
        for name in inputs:
            if not name:
                raise ConfigError("an input has an empty name")
            check_address(name, self.allow_urls and name != self.batch.manifest)
        if inputs.count("-") > 1:
            raise ConfigError("only one input can come from stdin")

    def _check_way(self) -> None:
        known = get_args(Localize)
        if self.way not in known:
            raise ConfigError(f"--localize {self.way!r} is unknown", hint=get_suggestion(self.way, known))
        check_threshold(self.threshold)

    def _check_localize(self) -> None:
        self._check_way()
        finds = self.way in ("attention", "predictor", "auto")
        if self.way == "mask" and self.mask is None:
            raise ConfigError("--localize mask narrows a mask, and there is none", hint="give --mask")
        if self.localize == "off" and self.mask is None:
            raise ConfigError("--localize off, and no mask", hint="give --mask, or leave --localize out")
        if finds and self.mask is not None:
            raise ConfigError(
                f"--mask says where to edit, --localize {self.way} finds it out",
                hint="leave one of them out; --localize mask narrows the mask",
            )
        if self.save_attention and not finds:
            raise ConfigError("--save-attention: with a mask nothing is looked for", hint="leave out --mask")
        if self.way == "off":
            if self.keyword is not None or self.threshold != "auto":
                raise ConfigError(
                    "--keyword and --threshold say how a region is found, and the mask is the region",
                    hint="add --localize mask, or leave out --mask",
                )
            return
        self.get_localize_options()
        if self.keyword and get_span(self.prompt, self.keyword) is None:
            raise ConfigError(
                f"--keyword {self.keyword!r} is not in the prompt", hint="repeat words of --prompt"
            )


def has_piped_stdin() -> bool:
    """Whether stdin is a pipe, a socket or a redirected file, not a terminal or /dev/null."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def check_address(name: str, allowed: bool) -> None:
    """ConfigError for an address where none is read, or of a kind that never is."""
    if not ADDRESS.match(name):
        return
    from a2cli.urls import is_url

    if allowed and is_url(name):
        return
    shown = show_name(name)
    if is_url(name):
        raise ConfigError(
            f"{shown}: addresses are not read", hint="download the picture first, or add --allow-urls"
        )
    raise ConfigError(f"{shown}: addresses are not read", hint="download the picture first")


def check_source_form(config: EditConfig) -> None:
    """ConfigError for what names no photo, and where nothing says what to replace; a manifest says both itself."""
    if config.batch.manifest is not None or config.mask is not None:
        return
    if not config.sources and not has_piped_stdin():
        raise ConfigError("no photo to edit", hint=SOURCE_WAYS)
    if not config.prompt.strip():
        raise ConfigError(
            "no mask, and no prompt to find the region from",
            hint='give --mask, or --prompt "replace the cup"',
        )
