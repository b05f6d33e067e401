"""The settings of `a2 eval localize`: which records, by which ways, of which model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from a2cli.config.localize import LocalizeOptions
from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError
from a2cli.evaluation.config import DataConfig, HeldOutConfig, check_device

Way = Literal["box", "saliency", "attention", "attention-once", "predictor", "predictor-once"]
WAYS: tuple[Way, ...] = get_args(Way)
PLAIN: tuple[Way, ...] = ("box", "saliency")  # no model looks
DEFAULT: tuple[Way, ...] = ("box", "saliency", "attention", "predictor")
# Of `LocalizeOptions`: what says how a map is read; what `ways` and `keyword` say, or what comes after looking.
HEARD = ("threshold", "filter", "strength")
UNHEARD = ("way", "keyword", "refine", "dilate", "hold_after")


def _get_data() -> DataConfig:
    return DataConfig(limit=200, synth=HeldOutConfig(instructions=1.0))


@dataclass(frozen=True)
class LocalizeConfig:
    """One `a2 eval localize`.

    `ways`: "box" takes the whole picture, "saliency" what stands out (spectral residual, Otsu); "attention" and
    "predictor" are the model's, each looking a second time where the region is small, and "-once" without that. None:
    the first two and what the model has. `keyword` "found" is what a2 takes out of the sentence, "known" the record's
    own. `localize` holds the rest of how the model looks: threshold, filter and strength alone. `adapter` are folders,
    none for the shipped ones. `report` is the page, which shows `gallery` records; `bootstrap` resamples give the
    standard errors.
    """

    data: DataConfig = field(default_factory=_get_data)
    ways: tuple[Way, ...] | None = None
    backbone: str = "nano"
    model: str | None = None
    adapter: tuple[str, ...] = ()
    keyword: Literal["found", "known"] = "found"
    localize: LocalizeOptions = field(default_factory=LocalizeOptions)
    report: str | None = None
    seed: int = 0
    device: str = "auto"
    bootstrap: int = 1000
    gallery: int = 24

    def __post_init__(self) -> None:
        if self.ways is not None and (not self.ways or len(set(self.ways)) < len(self.ways)):
            raise ConfigError(f"ways: {', '.join(self.ways) or 'none'}", hint=f"each once: {', '.join(WAYS)}")
        for name in ("bootstrap", "gallery", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or more, not {getattr(self, name)}")
        plain = LocalizeOptions()
        for name in UNHEARD:
            if getattr(self.localize, name) != getattr(plain, name):
                raise ConfigError(
                    f"localize.{name} changes nothing here", hint=f"localize: {', '.join(HEARD)}"
                )
        check_device("device", self.device)


def check_way(word: str) -> None:
    """Raise `ConfigError` for a word that is no way."""
    if word not in WAYS:
        raise ConfigError(f"ways: there is no {word!r}", hint=get_suggestion(word, WAYS))
