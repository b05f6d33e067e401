"""The settings of a run: a YAML file first, KEY=VALUE changes on top of it, then the options of the command line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from a2cli.config.load import apply_overrides, build, load_yaml, to_dict
from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError
from a2cli.evaluation.config import SYNTH, EvalConfig, JudgeKind, parse_method
from a2cli.files import show_name

APIS: tuple[str, ...] = get_args(JudgeKind)
PLAIN = ("fine", "rough", "box")
PHOTOS = "data.synth.photos"
ADAPTER_FILES = ("adapter_config.json", "a2_origin.json")  # of experts, and of a plain low-rank adapter


def load_eval_config(
    file: str | None, changes: Iterable[str] = (), options: Mapping[str, Any] | None = None
) -> EvalConfig:
    """The whole settings; `options` by dotted key ("data.path"), None for those that were not given.

    A method may be named as on the command line; lists may be words with commas between them. `pred` on the command
    line takes the place of the file's methods, and methods that of its `pred`. Protocols that nothing names are those
    that `pred` has folders of, fine for one without any. Raises `ConfigError` for what does not fit.
    """
    mapping = apply_overrides(load_yaml(file) if file else {}, changes)
    given = {name: value for name, value in (options or {}).items() if value is not None}
    for one, others in (("pred", ("methods", "run")), ("methods", ("pred",))):
        for other in others if one in given else ():
            mapping.pop(other, None)
    for name, value in given.items():
        set_value(mapping, name, value)
    for name in ("metrics", "protocols", "methods"):
        if isinstance(mapping.get(name), str):
            mapping[name] = split_words([mapping[name]])
    if isinstance(mapping.get("methods"), list):
        mapping["methods"] = [_build_method(m) if isinstance(m, str) else m for m in mapping["methods"]]
    pred = mapping.get("pred")
    if pred is not None and _get(mapping, "data", "path") is None:
        raise ConfigError(
            "nothing says which records the edits are of", hint="add --data PATH, or --data synth"
        )
    if isinstance(pred, str) and mapping.get("protocols") is None:
        mapping["protocols"] = _guess_protocols(Path(pred).expanduser())
    return build(EvalConfig, mapping, where=file or "eval")


def check_places(file: str | None, config: EvalConfig) -> None:
    """Raise `ConfigError` naming the settings file and the key for a path in it that leads nowhere.

    Paths start where a2 is run. Those that an option has put in their place are left to whoever opens them.
    """
    stated = load_yaml(file) if file else {}
    for names, path in _list_places(config):
        key = "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names)[1:]
        own = _get(stated, *names) == path
        if (own or key == PHOTOS) and not Path(path).expanduser().exists():
            where = f"{show_name(str(file))}: " if own else ""
            change = f"; change it with --set {key}=PATH" if names[0] != "methods" else ""
            raise ConfigError(
                f"{where}{key}: {show_name(path)}: no such file or folder",
                hint=f"paths start where a2 is run{change}",
            )


def split_words(texts: Iterable[str]) -> list[str]:
    """Words with commas between them, of an option that may be repeated; "shift:32,0" stays one word."""
    words: list[str] = []
    for text in texts:
        for word in (part.strip() for part in text.split(",")):
            if words and words[-1].startswith("shift:") and _is_length(word):
                words[-1] += f",{word}"
            elif word:
                words.append(word)
    return words


def parse_judge(text: str | None) -> dict[str, str]:
    """--judge API:MODEL as settings. Raises `ConfigError` for what is none."""
    if text is None:
        return {}
    api, colon, model = text.partition(":")
    if api not in APIS or not model:
        hint = (
            get_suggestion(api, APIS)
            if colon and model
            else f"such as {APIS[0]}:MODEL; APIs: {', '.join(APIS)}"
        )
        raise ConfigError(f"--judge {text!r}: no API and model", hint=hint)
    return {"judge.api": api, "judge.model": model}


def _build_method(text: str) -> Any:
    """A method of a command line; of NAME=ADAPTER the backbone is the one that the adapter says it was made for."""
    method = parse_method(text)
    if method.kind == "a2" and method.adapters:
        method = replace(method, backbone=_read_backbone(Path(method.adapters[0])) or method.backbone)
    return to_dict(method)


def _read_backbone(adapter: Path) -> str:
    """What an adapter's folder says, "" for nothing; whether it can be loaded is told when it is."""
    for name in ADAPTER_FILES:
        try:
            told = json.loads((adapter.expanduser() / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(told, dict) and isinstance(told.get("backbone"), str):
            return str(told["backbone"])
    return ""


def _is_length(word: str) -> bool:
    return (
        bool(word)
        and word.removesuffix("px").removesuffix("%").strip().lstrip("+-").replace(".", "", 1).isdigit()
    )


def set_value(mapping: dict[str, Any], name: str, value: Any) -> None:
    """Put a value under a dotted key; levels that are missing are made."""
    *above, last = name.split(".")
    level = mapping
    for part in above:
        if not isinstance(level.get(part), dict):
            level[part] = {}
        level = level[part]
    level[last] = value


def _list_places(config: EvalConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The paths of the settings, by their keys; none of a hub's."""
    data, weights = config.data, config.weights
    found: list[tuple[tuple[str | int, ...], str | None]] = [
        (("data", "path"), None if data.path == SYNTH or set(data.path) & set("*?[") else data.path),
        (("data", "synth", "photos"), data.synth.photos if data.path == SYNTH else None),
        (("pred",), config.pred),
        *((("weights", name), getattr(weights, name)) for name in ("folder", "lpips", "inception")),
        (("gate", "baseline"), config.gate.baseline),
    ]
    for place, method in enumerate(config.methods if config.run else ()):
        for number, adapter in enumerate(method.adapters):
            inner = (number,) if isinstance(method.adapter, tuple) else ()
            found.append((("methods", place, "adapter", *inner), None if adapter == "none" else adapter))
        found.append((("methods", place, "train", "config"), method.train.config if method.train else None))
    return ((names, path) for names, path in found if path is not None)


def _get(value: Any, *names: str | int) -> Any:
    """What stands under keys and numbers of plain values, None for nothing."""
    for name in names:
        if isinstance(name, int):
            value = value[name] if isinstance(value, list) and name < len(value) else None
        else:
            value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _guess_protocols(folder: Path) -> Sequence[str]:
    return [name for name in PLAIN if (folder / name).is_dir()] or ["fine"]
