"""From what was given to the settings of an edit, and those of one that repeats another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from a2cli.commands.edit.given import Given
from a2cli.config.batch import BatchConfig, read_shard
from a2cli.config.edit import EditConfig
from a2cli.config.localize import read_threshold
from a2cli.config.memory import MemoryConfig, read_size
from a2cli.errors import ConfigError

OF_MACHINE = {"device", "vram", "offload", "sign"}  # what a recipe leaves to where it is repeated


def build_settings(given: Given) -> EditConfig:
    """The settings of an edit; ConfigError when they contradict, or a picture would go to a terminal."""
    if given.values["pick_port"] and not given.values["pick"]:
        raise ConfigError("--pick-port is the port of the page --pick opens", hint="add --pick")
    return _check(EditConfig(**_get_fields(given.values)))


def repeat_settings(given: Given, picture: str, note: Callable[[str], None]) -> EditConfig:
    """The settings of the edit that made `picture`, changed by what was given."""
    from a2cli.provenance.recipe import read_recipe
    from a2cli.provenance.repeat import build_config

    if given.values["pick"]:
        raise ConfigError(
            "--from has the mask of its recipe, --pick makes another", hint="leave one of them out"
        )
    stated = given.stated | (given.environment & OF_MACHINE)
    recipe = read_recipe(picture)
    values = {name: value for name, value in given.values.items() if name in stated}
    if stated & {"vram", "offload"}:
        values.setdefault("quantize", recipe.quantize)
    fields = _get_fields(values)
    return _check(build_config(recipe, fields, picture=picture, note=note))


def _get_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `EditConfig` from parameters of the command; of a parameter that is missing none."""
    values = {**values}
    convert: dict[str, Callable[[Any], Any]] = {
        "sources": lambda names: tuple(names or ()),
        "refs": lambda names: tuple(names or ()),
        "adapter": lambda names: tuple(str(name) for name in names) if names else None,
        "threshold": read_threshold,
        "shard": read_shard,
        "vram": read_size,
    }
    values |= {name: change(values[name]) for name, change in convert.items() if name in values}
    if "timeout" in values:
        values["timeout_s"] = values.pop("timeout")
    if "no_metadata" in values:
        values["metadata"] = not values.pop("no_metadata")
    fields = {name: value for name, value in values.items() if name in EditConfig.__dataclass_fields__}
    for name, part in (("batch", BatchConfig), ("memory", MemoryConfig)):
        own = {key: value for key, value in values.items() if key in part.__dataclass_fields__}
        if own:
            fields[name] = part(**own)
    return fields


def _check(config: EditConfig) -> EditConfig:
    if config.out == "-" and sys.stdout.isatty():
        raise ConfigError(
            "a picture is not written to a terminal", hint="pipe the output, or name a file with -o"
        )
    from a2cli.backbones.registry import check_backbone_name

    check_backbone_name(config.backbone)
    return config
