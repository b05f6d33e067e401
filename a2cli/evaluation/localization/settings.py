"""The settings of `a2 eval localize`: a YAML file, KEY=VALUE changes on top, then the command line's options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from a2cli.config.load import apply_overrides, build, load_yaml, to_dict
from a2cli.evaluation.localization.config import LocalizeConfig, check_way
from a2cli.evaluation.settings import set_value, split_words


def load_localize_config(
    file: str | None, changes: Iterable[str] = (), options: Mapping[str, Any] | None = None
) -> LocalizeConfig:
    """The whole settings; `options` by dotted key, None or empty for those that were not given.

    Ways and tasks may be words with commas between them. Of synthesised records all are edits that a sentence asks for,
    unless something says otherwise. Raises `ConfigError` for what does not fit.
    """
    mapping = apply_overrides(load_yaml(file) if file else {}, changes)
    for name, value in (options or {}).items():
        if value is None or value == []:
            continue
        set_value(mapping, name, value)
    _split(mapping, "ways")
    _split(mapping.get("data"), "tasks")
    if isinstance(mapping.get("adapter"), str):
        mapping["adapter"] = [mapping["adapter"]]
    for way in mapping["ways"] if isinstance(mapping.get("ways"), list) else ():
        check_way(str(way))
    return build(LocalizeConfig, fill(to_dict(LocalizeConfig()), mapping), where=file or "eval localize")


def fill(defaults: Mapping[str, Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with what it leaves out of `defaults`, level by level."""
    filled = {name: value for name, value in defaults.items() if name not in mapping}
    for name, value in mapping.items():
        level = defaults.get(name)
        filled[name] = fill(level, value) if isinstance(level, dict) and isinstance(value, Mapping) else value
    return filled


def _split(level: Any, name: str) -> None:
    """Make a list of words with commas between them; what is no text is left to whoever checks it."""
    words = level.get(name) if isinstance(level, dict) else None
    words = [words] if isinstance(words, str) else words
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        level[name] = split_words(words)
