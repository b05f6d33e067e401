"""The settings of `a2 augment-mask`: strengths in pixels or shares of the object, and what goes together."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError
from a2cli.types import Stage

Kind = Literal["dilate", "erode", "shift"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(/px|px|%|)\s*", re.ASCII)
MOST = 1e6  # pixels or percent; no picture is larger
FASTEST = 0.5  # periods a pixel; faster noise is not alike in neighbours any more
LENGTHS = "a number of 0 or more: 12 or 12px, 8% of the object's size, or a range 4%..12%"
FREQUENCIES = "0.02 is periods a pixel, 150% is one and a half periods across the object, 150%..400% a range"
PERTURBATIONS = "dilate:32, erode:8%, shift:32 (any direction) or shift:32,0 (right, down)"


@dataclass(frozen=True)
class Length:
    """A length in pixels, or with `share` set in sizes of the object (0.08 is 8%)."""

    value: float
    share: bool = False

    def get_pixels(self, size: float) -> float:
        """The length in pixels for an object of `size` pixels."""
        return self.value * size if self.share else self.value


@dataclass(frozen=True)
class Span:
    """A range of lengths, or of frequencies: periods a pixel, with `share` set periods across the object."""

    low: float
    high: float
    share: bool

    def get_shares(self, size: float, *, frequency: bool = False) -> tuple[float, float]:
        """Both ends relative to an object of `size` pixels, as `RoughConfig` has them."""
        factor = 1.0 if self.share else size if frequency else 1.0 / size
        return self.low * factor, self.high * factor


@dataclass(frozen=True)
class Perturbation:
    """One change of the evaluation protocol; `by` is a radius, a distance, or the way right and down."""

    kind: Kind
    by: tuple[Length, ...]

    @property
    def is_drawn(self) -> bool:
        """Whether the seed decides something: the direction of a shift."""
        return self.kind == "shift" and len(self.by) == 1

    @property
    def name(self) -> str:
        """What stands in file names: dilate-32, erode-8pct, shift-32_-4."""
        return f"{self.kind}-" + "_".join(
            f"{length.value * 100:.6g}pct" if length.share else f"{length.value:.6g}" for length in self.by
        )


@dataclass(frozen=True)
class AugmentConfig:
    """One `a2 augment-mask` command line.

    Either `stage` or `changes` is given. Spans that are None are those of `RoughConfig`. `variants` counts the
    outcomes of what is drawn. `null`: the list on stdin is separated by NUL. ConfigError when the settings
    contradict.
    """

    masks: tuple[str, ...]
    stage: Stage | None = None
    changes: tuple[Perturbation, ...] = ()
    radius: Span | None = None
    alpha: Span | None = None
    scale: Span | None = None
    delta: Span | None = None
    out: str | None = None
    seed: int = 0
    variants: int = 1
    preview: str | None = None
    image: str | None = None
    report: str | None = None
    json: bool = False
    null: bool = False

    def __post_init__(self) -> None:
        if (self.stage is None) == (not self.changes):
            raise ConfigError(
                "nothing says what to make" if self.stage is None else "a stage and a perturbation at once",
                hint="give --stage fine, rough or box, or else --dilate R or --perturb KIND:R",
            )
        given = [n for n in ("radius", "alpha", "scale", "delta") if getattr(self, n) is not None]
        if given and self.stage not in ("rough", "box"):
            raise ConfigError(f"--{given[0]} belongs to rough masks", hint="add --stage rough or box")
        if len({change.name for change in self.changes}) < len(self.changes):
            raise ConfigError("one perturbation is named twice")
        drawn = self.stage in ("rough", "box") or any(change.is_drawn for change in self.changes)
        if self.variants > 1 and not drawn:
            raise ConfigError(
                f"--n {self.variants}: nothing here is drawn, every variant would be the same",
                hint="leave out --n",
            )
        if self.variants < 1 or not 0 <= self.seed < 2**63:
            raise ConfigError(f"--n {self.variants} and --seed {self.seed}: use 1 or more and 0 or more")
        self._check_names()

    def _check_names(self) -> None:
        if not self.masks:
            raise ConfigError("no mask is named")
        if not all(self.masks) or "" in (self.out, self.preview, self.image, self.report):
            raise ConfigError("a file has an empty name")
        if self.masks.count("-") > 1:
            raise ConfigError("stdin can be read once", hint="name - once")
        if self.null and "-" not in self.masks:
            raise ConfigError("--null is about a list on stdin", hint="give - as MASK")
        if self.image and not self.preview:
            raise ConfigError("--image is what --preview draws on", hint="add --preview SHEET.png")
        if "-" in (self.preview, self.image, self.report):
            raise ConfigError("only masks come and go by pipe", hint="name a file")
        if self.report and Path(self.report).suffix.lower() != ".json":
            raise ConfigError(f"{self.report}: the report is JSON", hint="name it .json")
        several = len(self.masks) > 1 or self.variants > 1 or len(self.changes) > 1
        if self.out == "-" and (self.json or several):
            raise ConfigError("-o - writes one PNG and nothing else", hint="name a folder with -o")


def build_augment_config(
    masks: Sequence[str],
    strengths: Mapping[str, str | None],
    changes: tuple[Perturbation, ...],
    **settings: Any,
) -> AugmentConfig:
    """An `AugmentConfig` whose strengths are still words; raises ConfigError naming the option."""
    spans: dict[str, Any] = {
        name: parse_span(text, f"--{name}", frequency=name == "scale") for name, text in strengths.items()
    }
    return AugmentConfig(tuple(masks), changes=changes, **spans, **settings)


def parse_span(text: str | None, option: str, *, frequency: bool = False) -> Span | None:
    """`12`, `12px`, `8%` or a range `4%..12%` of the option called `option`; None stays None.

    With `frequency` a bare number (or `0.02/px`) is periods a pixel, 100% one period across the object.
    Raises ConfigError for anything else: signs, NaN, mixed units, ranges that fall.
    """
    if text is None:
        return None
    hint = FREQUENCIES if frequency else LENGTHS
    parts = [NUMBER.fullmatch(part) for part in text.split("..")]
    units = {part[2] for part in parts if part and part[2]}
    ends = [float(part[1]) for part in parts if part]
    wrong = {"px"} if frequency else {"/px"}
    if not 0 < len(ends) == len(parts) <= 2 or len(units) > 1 or units & wrong:
        raise ConfigError(f"{option} {text!r} is not understood", hint=hint)
    if not 0 <= ends[0] <= ends[-1] <= MOST:
        raise ConfigError(f"{option} {text!r} is out of range", hint=hint)
    share = units == {"%"}
    if frequency and not share and ends[-1] > FASTEST:
        raise ConfigError(f"{option} {text!r}: more than {FASTEST} periods a pixel", hint=hint)
    factor = 0.01 if share else 1.0
    return Span(ends[0] * factor, ends[-1] * factor, share)


def parse_perturbation(text: str) -> Perturbation:
    """`KIND:AMOUNT` with a radius or a distance in px or %, `shift:X,Y` with both ways; raises ConfigError."""
    name, colon, amounts = text.partition(":")
    kind = next((kind for kind in KINDS if kind == name.strip()), None)
    if kind is None:
        raise ConfigError(
            f"--perturb {text!r}: no perturbation is called {name.strip()!r}",
            hint=get_suggestion(name.strip(), KINDS) or PERTURBATIONS,
        )
    by = tuple(_parse_length(amount, text) for amount in amounts.split(",")) if colon else ()
    signed = kind == "shift" and len(by) == 2
    if not (signed or (len(by) == 1 and by[0].value >= 0)):
        raise ConfigError(f"--perturb {text!r} is not understood", hint=PERTURBATIONS)
    return Perturbation(kind, by)


def parse_changes(dilate: str | None, perturb: Sequence[str] | None) -> tuple[Perturbation, ...]:
    """The perturbations of a command line in their order; `--dilate R` is `--perturb dilate:R`."""
    span = parse_span(dilate, "--dilate")
    stated = [Perturbation("dilate", (Length(span.low, span.share),))] if span else []
    if span and span.low != span.high:
        raise ConfigError(f"--dilate {dilate!r}: a range is no stated radius", hint="use 32 or 8%")
    return (*stated, *(parse_perturbation(text) for text in perturb or ()))


def _parse_length(text: str, whole: str) -> Length:
    match = NUMBER.fullmatch(text)
    if match is None or match[2] == "/px" or not math.fabs(float(match[1])) <= MOST:
        raise ConfigError(f"--perturb {whole!r} is not understood", hint=PERTURBATIONS)
    share = match[2] == "%"
    return Length(float(match[1]) * (0.01 if share else 1.0), share)
