"""Under which masks edits are made: exact ones, rough ones, boxes, stated changes of the exact one, or none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from a2cli.batch.job import get_item_seed
from a2cli.config.augment import KINDS as CHANGES
from a2cli.config.augment import Length, Perturbation, parse_perturbation, parse_span
from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name
from a2cli.masks.augment import box_of
from a2cli.masks.perturb import perturb

Kind = Literal["fine", "rough", "box", "free", "dilate", "erode", "shift"]
PLAIN: tuple[Kind, ...] = ("fine", "rough", "box")
SWEEP = "16"  # px: Edit Where You Mean, table 6
NAME = re.compile(rf"({'|'.join(CHANGES)})-(.+)")
FREE = "free"
KNOWN = "fine, rough, box, free, dilate:R, erode:R, shift:R or shift:X,Y; all, sweep or sweep:R for several"


@dataclass(frozen=True)
class Protocol:
    """One way from the exact mask to the one a method is given; `name` is fit for a folder.

    `change` is what is done to the exact mask, None where nothing is; of a box, what is done before it is drawn.
    """

    name: str
    kind: Kind
    change: Perturbation | None = None

    @property
    def gives_mask(self) -> bool:
        """Whether a method is given the mask; of `free`, whose mask is the exact one, only what measures is."""
        return self.kind != FREE

    def apply(self, mask: np.ndarray, case_id: str) -> np.ndarray:
        """The given mask of an exact one, bool (H, W), not empty, both.

        A function of the mask and the case's id alone, which draws the direction of a shift by one distance: runs of
        other seeds see the same masks. A mask of the whole picture stays as it is. Raises `DataError` naming the case
        where the mask is empty or nothing is left of it.
        """
        if self.change is None or mask.all():
            return mask.copy()
        rng = np.random.default_rng(get_item_seed(0, case_id))
        try:
            changed = perturb(mask, self.change, rng)[0]
        except DataError as error:
            raise DataError(f"{show_name(case_id)}: {error.message}", hint=error.hint) from error
        return box_of(changed) if self.kind == "box" else changed

    def describe(self) -> dict[str, Any]:
        """What goes on record: kind, the change's amounts ("8%", "32 px"), and both in words."""
        amounts = [] if self.change is None else [_show(length) for length in self.change.by]
        return {"kind": self.kind, "by": amounts, "text": self._get_text(amounts)}

    def _get_text(self, amounts: list[str]) -> str:
        if not self.gives_mask:
            return "no mask is given; values over a mask are over the exact one"
        if not amounts:
            return "the exact mask"
        if self.kind == "shift":
            if len(amounts) == 2:
                return f"the exact mask moved by {amounts[0]} to the right and {amounts[1]} down"
            return f"the exact mask moved by {amounts[0]} in a direction drawn by the case's id"
        grown = f"the exact mask dilated by a disc of radius {amounts[0]}"
        return {
            "rough": f"{grown} (A2-Edit, 5.2)",
            "box": f"the bounding box of {grown}",
            "erode": f"the exact mask eroded by a disc of radius {amounts[0]}",
        }.get(self.kind, grown)


def parse_protocol(text: str, rough_radius: str) -> Protocol:
    """One protocol of a command line: `fine`, `rough`, `box`, `free`, or a change such as `dilate:32` or `erode:8%`.

    A change may also be called by its name, `erode-8pct`. `rough_radius` is that of rough's dilation, in px or % of the
    object's size. Raises `ConfigError` for what is none, and for the names that stand for several (see
    `parse_protocols`).
    """
    word = _spell(text)
    plain = next((kind for kind in PLAIN if kind == word), None)
    if word == FREE:
        return Protocol(FREE, "free")
    if plain == "fine":
        return Protocol("fine", "fine")
    if plain is not None:
        return Protocol(plain, plain, _parse_radius(rough_radius))
    name, colon, _ = word.partition(":")
    if name in ("all", "sweep"):
        raise ConfigError(f"protocols: {word} stands for several", hint=f"one of them: {KNOWN}")
    if name not in CHANGES or not colon:
        hint = get_suggestion(name, [*PLAIN, FREE, *CHANGES, "all", "sweep"]) if name not in CHANGES else ""
        raise ConfigError(f"protocols: {text!r} is none", hint=hint or KNOWN)
    try:
        change = parse_perturbation(word)
    except ConfigError as error:
        raise ConfigError(f"--protocol {text.strip()!r} is not understood", hint=error.hint) from None
    if not any(length.value for length in change.by):
        raise ConfigError(f"protocols: {text!r} changes nothing", hint="fine is the exact mask")
    return Protocol(change.name, change.kind, change)


def parse_protocols(texts: Iterable[str], rough_radius: str) -> tuple[Protocol, ...]:
    """The protocols of a list in its order, each once.

    `all` is fine, rough and box; `sweep:R` fine, then erosion and dilation by R, 2R and 4R and a shift by 2R, without R
    by 16 px as in Edit Where You Mean, table 6; `sweep:8%` serves pictures of any size. Raises `ConfigError` as
    `parse_protocol` does, for an empty list, and for a bad `rough_radius` whether or not it is used.
    """
    _parse_radius(rough_radius)
    single = [name for text in texts for name in _unfold(text.strip())]
    found = {protocol.name: protocol for protocol in (parse_protocol(name, rough_radius) for name in single)}
    if not found:
        raise ConfigError("protocols: none is named", hint=KNOWN)
    return tuple(found.values())


def get_name(text: str) -> str:
    """The name of the protocol that a word stands for, `dilate-3pct` of `dilate:3%`; of another word itself."""
    try:
        return parse_protocol(text, SWEEP).name
    except ConfigError:
        return text


def _spell(text: str) -> str:
    """A change's name as a command line has it: `shift:8%,-4` of `shift-8pct_-4`; other words as they are."""
    word = text.strip()
    match = NAME.fullmatch(word)
    return f"{match[1]}:{match[2].replace('pct', '%').replace('_', ',')}" if match else word


def _unfold(text: str) -> tuple[str, ...]:
    """The protocols that a name stands for."""
    if text == "all":
        return PLAIN
    name, colon, radius = text.partition(":")
    if name != "sweep":
        return (text,)
    span = parse_span(radius if colon else SWEEP, "--protocol sweep")
    assert span is not None
    if span.low != span.high or not span.low:
        raise ConfigError(f"protocols: {text!r} has no radius", hint="sweep:16 or sweep:8%")

    def get(times: int) -> str:
        return f"{span.low * times * (100 if span.share else 1):.6g}{'%' if span.share else ''}"

    changes = [f"{kind}:{get(times)}" for kind in ("erode", "dilate") for times in (1, 2, 4)]
    return ("fine", *changes, f"shift:{get(2)}")


def _parse_radius(text: str) -> Perturbation:
    try:
        span = parse_span(text, "--rough-radius")
    except ConfigError as error:
        raise ConfigError(error.message, hint="use 32 or 8%") from None
    assert span is not None
    if span.low != span.high:
        raise ConfigError(f"--rough-radius {text!r}: a range is no stated radius", hint="use 32 or 8%")
    return Perturbation("dilate", (Length(span.low, span.share),))


def _show(length: Length) -> str:
    return f"{length.value * 100:.6g}%" if length.share else f"{length.value:.6g} px"
