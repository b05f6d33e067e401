"""What a method was and how masks were made, as a sentence instead of names and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from a2cli.evaluation.report.judge_page import flatten

_KINDS = {
    "target": "baseline: the true picture itself",
    "mean": "baseline: the mean colour of the reference's subject",
    "paste": "baseline: the reference's subject stretched to the mask's box",
    "registered": "baseline: the reference's subject turned to fit the mask's outline",
    "poisson": "baseline: the reference's subject fitted to the mask, blended by its gradients",
    "telea": "baseline: the photo continued into the mask (Telea)",
    "pred": "finished edits",
    "a2": "a2's own pipeline",
    "fill": "FLUX.1 Fill by its prompt alone",
    "diptych": "FLUX.1 Fill on a diptych, the reference beside the photo",
}
_WORDS = {
    "folder": "of the folder {}",
    "a2": "a2 {}",
    "opencv": "OpenCV {}",
    "backbone": "backbone {}",
    "model": "model {}",
    "base_hash": "weights {}",
    "adapter": "adapter {}",
    "adapter_hash": "adapter's weights {}",
    "resolution": "{} px",
    "steps": "{} steps",
    "guidance": "guidance {}",
    "dtype": "{}",
    "redux": "Redux {}",
    "text": "text: {}",
    "keyword": "keyword {}",
    "region": "region adapter told the {} region",
    "region_change": "changed by {}",
}
_FLAGS: dict[tuple[str, Any], str] = {
    ("found", True): "edits of an earlier run",
    ("found", False): "",
    ("reference", False): "sees no reference",
    ("paste_back", False): "not pasted back: the whole picture may change",
    ("paste_back", "mask"): "pasted back under the mask",
    ("paste_back", "rectangle"): "pasted back as a rectangle around the mask",
    ("model", "default"): "",
    ("adapter", "none"): "no adapter",
    ("adapter", "default"): "the backbone's own adapter",
}
_NETWORK = ("backbone", "model", "adapter", "redux", "steps", "guidance")  # nothing of which a baseline has


def describe_method(facts: Mapping[str, Any]) -> str:
    """An identity in words, what is known first, then whatever else it holds as "name value"."""
    kind, baseline = str(facts.get("kind", "")), bool(facts.get("baseline"))
    told = [_KINDS.get(kind, f"{kind}, a baseline" if baseline else kind)]
    rest = {
        name: value
        for name, value in facts.items()
        if name not in ("kind", "baseline") and not (baseline and name in _NETWORK)
    }
    ranked = sorted(rest, key=lambda name: list(_WORDS).index(name) if name in _WORDS else len(_WORDS))
    told += [_describe(name, rest[name]) for name in ranked]
    return "; ".join(filter(None, told))


def describe_masks(facts: Mapping[str, Any]) -> str:
    """How a protocol's masks were made: its own words, else its names and values."""
    if facts.get("text"):
        return str(facts["text"])
    return "; ".join(f"{name} {value}" for name, value in flatten(facts) if value not in ("", "–"))


def _describe(name: str, value: Any) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, str | bool) and (name, value) in _FLAGS:
        return _FLAGS[name, value]
    if name in _WORDS and not isinstance(value, Mapping | bool):
        return _WORDS[name].format(f"{value:g}" if isinstance(value, float) else value)
    return ", ".join(f"{path} {told}" for path, told in flatten({name: value}))
