"""YAML into frozen dataclasses: safe parsing, `a.b=3` overrides, checked types, did-you-mean.

The dialect is YAML 1.2's core schema, so that `1e-4` is a number, `off` and `box:1,2,3,4` are text
and `010` is not eight. Tags, repeated keys, alias bombs and oversized files are refused.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_NODES = 20_000

T = TypeVar("T")


class _Invalid(Exception):
    """A value that does not fit, with the dotted path of where it stands."""

    def __init__(self, path: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.path, self.message, self.hint = path, message, hint


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema, unique keys and a bound on what aliases unfold to."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            _count_nodes(node, {})
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a plain word", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            if key.tag == "tag:yaml.org,2002:null" and key.value:  # an option has this name
                key.tag = "tag:yaml.org,2002:str"
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that also quotes what only the core schema would take for a number."""


_Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1's
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("merge", r"<<", "<"),
):
    _firsts = [*_first, ""] if _tag == "null" else list(_first)
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _firsts)


def _count_nodes(node: Any, known: dict[int, int]) -> int:
    """Nodes below `node` once every alias is unfolded; each anchor is walked once only."""
    done = known.get(id(node))
    if done is not None:
        if done < 0:
            raise yaml.composer.ComposerError(None, None, "an alias contains itself", node.start_mark)
        return done
    known[id(node)] = -1
    total = 1
    if isinstance(node, yaml.SequenceNode):
        total += sum(_count_nodes(child, known) for child in node.value)
    elif isinstance(node, yaml.MappingNode):
        total += sum(_count_nodes(key, known) + _count_nodes(value, known) for key, value in node.value)
    if total > MAX_NODES:
        raise yaml.composer.ComposerError(None, None, f"more than {MAX_NODES} values", node.start_mark)
    known[id(node)] = total
    return total


def parse_yaml(text: str, *, where: str) -> Any:
    """Plain values of one YAML document; ConfigError names `where` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader, only stricter
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}{line}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{where}: nested too deeply") from None


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file of at most 1 MiB; ConfigError for anything else."""
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"{file}: " + ("not a regular file" if file.exists() else "no such file"))
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{file}: larger than {MAX_BYTES >> 20} MiB, not a configuration")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not UTF-8 text") from None
    value = parse_yaml(text, where=str(file))
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{file}: expected `key: value` lines at the top")
    return value


def apply_overrides(mapping: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `mapping` with each `a.b=value` set; values are read as YAML, missing levels are made."""
    result = copy.deepcopy(dict(mapping))
    for item in overrides:
        key, equals, text = item.partition("=")
        names = key.strip().split(".")
        if not equals or not all(names):
            raise ConfigError(f"{item!r} is no override", hint="write key=value, as in steps=100")
        level = result
        for depth, name in enumerate(names[:-1]):
            if level.get(name) is None:
                level[name] = {}
            level = level[name]
            if not isinstance(level, dict):
                raise ConfigError(f"{item!r}: {'.'.join(names[: depth + 1])} holds no keys")
        level[names[-1]] = parse_yaml(text, where=repr(item))
    return result


def build(cls: type[T], mapping: Mapping[str, Any], *, where: str = "config") -> T:
    """A `cls` (frozen dataclass) from plain values.

    Unknown keys, wrong types and failed checks raise ConfigError with `where` and the dotted key.
    """
    try:
        return typing.cast(T, _build(cls, mapping, ""))
    except _Invalid as error:
        place = f"{where}: {error.path}" if error.path else where
        raise ConfigError(f"{place}: {error.message}", hint=error.hint) from None


def load_config(cls: type[T], path: str | Path, overrides: Iterable[str] = ()) -> T:
    """`load_yaml`, `apply_overrides` and `build` in one call."""
    return build(cls, apply_overrides(load_yaml(path), overrides), where=str(path))


def to_dict(config: Any) -> Any:
    """Plain values (dict, list, str, numbers) of a dataclass, such that `build` gives it back."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config) if f.init}
    if isinstance(config, Mapping):
        return {str(key): to_dict(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_dict(value) for value in config]
    if isinstance(config, enum.Enum):
        return config.value
    return str(config) if isinstance(config, Path) else config


def dump_yaml(config: Any) -> str:
    """The YAML text of a dataclass or mapping, keys in their own order; `parse_yaml` reads it back."""
    return yaml.dump(to_dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _build(cls: type, value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise _Invalid(path, f"expected keys of {cls.__name__}, got {_describe(value)}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in value:
        if key not in fields:
            raise _Invalid(path, f"unknown key {key!r}", get_suggestion(str(key), fields))
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise _Invalid(path, f"the key {name!r} is missing")
    arguments = {
        key: _convert(hints[key], item, f"{path}.{key}" if path else key) for key, item in value.items()
    }
    try:
        return cls(**arguments)
    except ConfigError as error:
        raise _Invalid(path, error.message, error.hint) from None
    except (ValueError, TypeError) as error:
        raise _Invalid(path, str(error)) from None


def _convert(hint: Any, value: Any, path: str) -> Any:
    """`value` as the annotated type `hint`; only lossless changes (int to float, list to tuple) are made."""
    if hint is Any:
        return value
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(inner, value, path)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in inner):
            raise _Invalid(path, f"{value!r} is not a choice", get_suggestion(str(value), map(str, inner)))
        return value
    if origin is tuple:
        return _convert_tuple(inner, value, path)
    if origin is list:
        return list(_convert_tuple((inner[0], ...), value, path))
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _Invalid(path, f"expected keys and values, got {_describe(value)}")
        return {_convert(inner[0], k, path): _convert(inner[1], v, f"{path}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return (
            value
            if isinstance(value, typing.cast(type, hint))
            else _build(typing.cast(type, hint), value, path)
        )
    return _convert_scalar(hint, value, path)


def _convert_union(choices: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in choices:
        return None
    first: _Invalid | None = None
    keys = isinstance(value, Mapping)
    exact = [c for c in choices if c is type(value) or (keys and dataclasses.is_dataclass(c))]
    for choice in exact or [c for c in choices if c is not type(None)]:
        try:
            return _convert(choice, value, path)
        except _Invalid as error:
            first = first or error
    assert first is not None
    raise first


def _convert_tuple(inner: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _Invalid(path, f"expected a list, got {_describe(value)}")
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_convert(inner[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if len(value) != len(inner):
        raise _Invalid(path, f"expected {len(inner)} values, got {len(value)}")
    return tuple(
        _convert(hint, item, f"{path}[{i}]") for i, (hint, item) in enumerate(zip(inner, value, strict=True))
    )


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "nothing"}


def _convert_scalar(hint: Any, value: Any, path: str) -> Any:
    if hint is float and type(value) in (int, float):
        if not math.isfinite(value):
            raise _Invalid(path, f"{value} is not a finite number")
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            choices = [str(member.value) for member in hint]
            raise _Invalid(path, f"{value!r} is not a choice", get_suggestion(str(value), choices)) from None
    if isinstance(hint, type) and (type(value) is hint or (hint not in _NAMES and isinstance(value, hint))):
        return value
    raise _Invalid(
        path, f"expected {_NAMES.get(hint, getattr(hint, '__name__', hint))}, got {_describe(value)}"
    )


def _describe(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else repr(value)
