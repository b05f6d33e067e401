"""What the user said of an edit, wherever: the command line before the --config file before the environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typer import Context

from a2cli.commands.edit.config_file import load_values


@dataclass(frozen=True)
class Given:
    """Values of all parameters by name, those nobody set included.

    stated: set on the command line or in the file. environment: set there and nowhere else.
    """

    values: dict[str, Any]
    stated: frozenset[str]
    environment: frozenset[str]


def read_given(context: Context) -> Given:
    """All of a command line that has an option `config`; ConfigError for a file that says what no option does."""
    values = dict(context.params)
    sources = {name: getattr(context.get_parameter_source(name), "name", "DEFAULT") for name in values}
    path = values.pop("config")
    stated = {name for name in values if sources[name] == "COMMANDLINE"}
    filed = {} if path is None else load_values(path, context)
    values |= {name: value for name, value in filed.items() if name not in stated}
    stated |= filed.keys()
    environment = frozenset(name for name in values if sources[name] == "ENVIRONMENT") - stated
    return Given(values, frozenset(stated), environment)
