"""How the region of an edit is found, or a coarse mask narrowed: settings of `a2 edit --localize`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError

Way = Literal["mask", "attention", "predictor", "auto"]
Interpolation = Literal["rbf", "cubic", "linear", "nearest"]
Filter = Literal["gaussian", "bilateral", "morphological", "adaptive", Interpolation, "none"]
WAYS: tuple[Way, ...] = get_args(Way)
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
FILTERS: tuple[Filter, ...] = get_args(Filter)
MOST_STRENGTH = 10.0  # of a filter; its widths grow with it


@dataclass(frozen=True)
class LocalizeOptions:
    """Where the edit is.

    `way`: "mask" narrows a given mask down to what is needed (region hold); "attention" and "predictor" find the
    region without a mask, "auto" by the predictor where a region adapter brings one. `keyword`: the words of the
    prompt that name the thing, None to find them. `threshold` of the map in [0, 1], or "auto" (Otsu; 0.5 for the
    predictor). `refine`: look a second time, closer, at what is small. `dilate`: how far a found region grows before it
    is edited, as a share of its size (the root of its box's area). `hold_after`: share of the steps before a token may
    be held. `filter` and its `strength` smooth attention (EditMGT, appendix B.2), by one of four filters or by way of
    a finer map; "nearest" and "none" leave it as it is. ConfigError for values out of range.
    """

    way: Way = "auto"
    keyword: str | None = None
    threshold: float | Literal["auto"] = "auto"
    refine: bool = True
    dilate: float = 0.04
    hold_after: float = 0.25
    filter: Filter = "adaptive"
    strength: float = 1.0

    def __post_init__(self) -> None:
        for name, choices in (("way", WAYS), ("filter", FILTERS)):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(
                    f"localize.{name}: {value!r} is unknown", hint=get_suggestion(value, choices)
                )
        if self.keyword is not None and not self.keyword.strip():
            raise ConfigError("the keyword is empty", hint="name words of the prompt, or leave it out")
        check_threshold(self.threshold)
        for name, high in (("dilate", 1.0), ("hold_after", 1.0), ("strength", MOST_STRENGTH)):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= high):
                raise ConfigError(f"localize.{name}: {value} is out of range", hint=f"0 to {high:g}")


def get_span(prompt: str, keyword: str) -> tuple[int, int] | None:
    """Where in a prompt a keyword stands, upper or lower case: (start, end); None where it does not."""
    words = keyword.strip()
    folded, wanted = prompt.casefold(), words.casefold()
    if (len(folded), len(wanted)) != (len(prompt), len(words)):  # "ß" becomes "ss" and moves what follows
        folded, wanted = prompt, words
    start = folded.find(wanted)
    return None if start < 0 else (start, start + len(words))


def check_threshold(threshold: float | str) -> None:
    """ConfigError for a threshold that is neither "auto" nor in [0, 1]."""
    if threshold == "auto":
        return
    if isinstance(threshold, str) or not 0 <= threshold <= 1:
        raise ConfigError(f"the threshold is {threshold}", hint="auto, or a number from 0 to 1")


def read_threshold(text: str) -> float | Literal["auto"]:
    """'auto' or '0.4' as typed; ConfigError for anything else."""
    if text.strip().lower() == "auto":
        return "auto"
    try:
        threshold = float(text)
    except ValueError:
        raise ConfigError(
            f"--threshold {text!r} is no number", hint="auto, or a number from 0 to 1"
        ) from None
    check_threshold(threshold)
    return threshold
