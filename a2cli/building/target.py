"""The folder that a build fills: begun with its settings and its list of inputs, gone on with under the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from a2cli.building.config import BuildConfig
from a2cli.building.output import BuildReport
from a2cli.building.plan import write_plan
from a2cli.config.load import to_dict
from a2cli.errors import ConfigError, DataError
from a2cli.files import lock_folder, make_folder, show_name, write_bytes

WORK, INPUTS, SETTINGS, GENERATED = ".work", "inputs.jsonl", "settings.json", "generated"
LISTS = ("rejects.jsonl", "failures.jsonl")
RUNTIME = ("workers", "engine", "address", "retries", "timeout_s")  # settings that change no pair


@contextmanager
def open_target(out: Path, config: BuildConfig) -> Iterator[None]:
    """Hold the folder; one that was made for this is gone again where nothing was begun in it.

    Raises `ConfigError` for a folder within a source or that another process holds, `DataError` where it cannot be
    made.
    """
    for source in config.sources:
        place = os.path.realpath(os.path.expanduser(source.path))
        if source.path and os.path.isdir(place) and Path(os.path.realpath(out)).is_relative_to(place):
            raise ConfigError(f"{show_name(str(out))}: lies in the source", hint="name another folder")
    made = [folder for folder in (out, *out.parents) if not os.path.exists(folder)]
    make_folder(out)
    with lock_folder(out):
        try:
            yield
        finally:
            if made and os.listdir(out) == [".lock"]:
                with suppress(OSError):
                    (out / ".lock").unlink()
                    for folder in made:
                        folder.rmdir()


def get_settings(config: BuildConfig) -> dict[str, Any]:
    """The settings that decide what comes of a build."""
    return {name: value for name, value in to_dict(config).items() if name not in RUNTIME}


def begin(config: BuildConfig, out: Path) -> None:
    """List the inputs of a build, or make sure that this is the one begun there.

    Settings are written last: a build whose inputs cannot be listed was never begun, and what an earlier one without
    pairs left is done anew. Raises `ConfigError` for a folder with files that a build would replace, or with a build of
    other settings or places, and what `write_plan` raises.
    """
    work, shown = out / WORK, show_name(str(out))
    file, now = work / SETTINGS, _get_key(get_settings(config))
    if file.exists():
        hint = f"the same settings to go on, another folder, or delete {shown}/{WORK} to begin anew"
        _compare(_read_object(file, f"delete {shown}/{WORK} to begin anew"), now, shown, hint)
        return
    if any(out.glob("*.parquet")) or (out / "metadata.jsonl").exists():
        raise ConfigError(f"{shown}: already holds a data set", hint="name another folder")
    fresh = not work.exists()
    replaced = ("README.md", *(LISTS if fresh else ()))
    if there := [name for name in replaced if (out / name).exists()]:
        raise ConfigError(f"{shown}: {there[0]} would be replaced", hint="name another folder")
    give_up(out)
    make_folder(work)
    try:
        write_plan(config, work / INPUTS)
        write_bytes((json.dumps(now) + "\n").encode(), file)
    except BaseException:
        give_up(out)
        if fresh:
            with suppress(OSError):
                work.rmdir()
        raise


def give_up(out: Path) -> None:
    """Forget the build begun in a folder, but not the pictures that a generator was paid for.

    Its settings go first: without them nothing else counts. Raises `DataError` where something cannot be removed.
    """
    work = out / WORK
    try:
        there = sorted(work.iterdir(), key=lambda one: one.name != SETTINGS) if work.exists() else []
        for entry in there:
            if entry.name != GENERATED:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    except OSError as error:
        raise DataError(f"{show_name(str(work))}: cannot be cleared: {error}", hint="remove it") from error


def read_finished(config: BuildConfig, out: Path) -> BuildReport | None:
    """The report of a build that is finished already, None of any other.

    Raises `ConfigError` where that had other settings or places.
    """
    file = out / "build.json"
    if not file.exists():
        return None
    value = _read_object(file, "name another folder")
    try:
        before, now = _get_key(dict(value["settings"])), _get_key(get_settings(config))
        _compare(before, now, show_name(str(out)), "name another folder")
        return BuildReport(**{**value, "shards": tuple(value["shards"])})
    except (KeyError, TypeError, ValueError) as error:
        shown = show_name(str(file))
        raise ConfigError(f"{shown}: not what a build writes", hint="name another folder") from error


def _get_key(settings: dict[str, Any]) -> dict[str, Any]:
    """What two builds of one data set share: settings, and where the sources lie, however that is spelt."""
    sources = [dict(source) for source in settings["sources"]]
    places = [_get_place(source.pop("path")) for source in sources]
    return {**settings, "sources": sources, "places of sources": places}


def _get_place(path: str) -> str:
    """Where a source lies, whatever folder the build is started from; a link keeps its own name."""
    folder, name = os.path.split(os.path.abspath(os.path.expanduser(path)))
    return os.path.join(os.path.realpath(folder), name) if path else ""


def _compare(before: dict[str, Any], now: dict[str, Any], shown: str, hint: str) -> None:
    changed = [name for name in now if before.get(name) != json.loads(json.dumps(now[name]))]
    if changed:
        raise ConfigError(
            f"{shown}: a build with other settings was begun there ({', '.join(changed)} differ)", hint=hint
        )


def _read_object(file: Path, hint: str) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{show_name(str(file))}: cannot be read: {error}", hint=hint) from error
    if not isinstance(value, dict):
        raise DataError(f"{show_name(str(file))}: not a JSON object", hint=hint)
    return value
