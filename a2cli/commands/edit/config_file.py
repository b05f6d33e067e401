"""A YAML file of a command's options: read safely, by their names, each checked as on the command line."""

from __future__ import annotations

from typing import Any

from typer import BadParameter, Context

from a2cli.config.load import load_yaml
from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError

NO_KEY = ("config", "help")


def load_values(path: str, context: Context) -> dict[str, Any]:
    """Values of a command's parameters by name; ConfigError for a key or a value that the command has not."""
    known: dict[str, Any] = {_get_key(p): p for p in context.command.params if p.name not in NO_KEY}
    found: dict[str, Any] = {}
    for key, value in load_yaml(path).items():
        word = key.replace("_", "-")
        if word not in known:
            raise ConfigError(f"{path}: unknown key {key!r}", hint=get_suggestion(word, known))
        if known[word].name in found:
            raise ConfigError(f"{path}: {word} stands twice, with - and with _")
        try:
            found[known[word].name] = _convert(known[word], value, context)
        except BadParameter as error:
            raise ConfigError(
                f"{path}: {key}: {' '.join(error.message.removeprefix('Value error, ').split())}"
            ) from None
    return found


def _get_key(parameter: Any) -> str:
    """An option's long name without dashes, an argument's as the help shows it."""
    names = [name.removeprefix("--") for name in parameter.opts if name.startswith("--")]
    return names[0] if names else str(parameter.metavar).lower()


def _convert(parameter: Any, value: Any, context: Context) -> Any:
    """A value of the file as the command line would have it; BadParameter for one of another kind."""
    if value is None or value == []:
        raise BadParameter("nothing is given, leave the key out")
    several = parameter.multiple or parameter.nargs == -1
    parts = value if several and isinstance(value, list) else [value]
    flag = getattr(parameter, "is_flag", False)
    for part in parts:
        if isinstance(part, bool) and not flag:
            raise BadParameter(f"{_show(part)} is neither text nor a number, put quotes around it")
        if isinstance(part, bool) != flag or isinstance(part, list | dict):
            expected = (
                "true or false" if flag else "one value" if not several else "a value or a list of them"
            )
            raise BadParameter(f"{_show(part)} is not {expected}")
    if flag:
        return value
    words = [str(part) for part in parts]
    return parameter.process_value(context, words if several else words[0])


def _show(value: Any) -> str:
    return {list: "a list", dict: "a mapping", bool: str(value).lower()}.get(type(value), repr(value))
