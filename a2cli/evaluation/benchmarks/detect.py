"""Which benchmark a path holds, and which split of it is measured."""

from __future__ import annotations

from pathlib import Path

from a2cli.config.suggest import get_suggestion
from a2cli.curation.layouts.any_insertion import list_any_insertion
from a2cli.curation.layouts.detect import detect_layout
from a2cli.curation.layouts.tables import get_shard_split
from a2cli.curation.layouts.viton_hd import list_viton_hd
from a2cli.curation.layouts.webdataset import list_tars
from a2cli.data.browse import browse
from a2cli.data.layouts import get_named_split, list_shards
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.benchmarks.instructed import EMU_COLUMNS, EMU_PICTURES, GEDIT_COLUMNS, LANGUAGES
from a2cli.evaluation.benchmarks.magic_brush import list_magic_brush_splits
from a2cli.evaluation.benchmarks.tables import get_table_split, list_columns, list_tables
from a2cli.evaluation.config import SYNTH, Benchmark, DataConfig
from a2cli.files import show_name

ALL = "all"
TESTED = ("test", "dev", "validation", "val")  # the first of them that is there is measured
LAYOUTS: dict[str, Benchmark] = {
    "anyinsertion": "anyinsertion",
    "viton-hd": "viton-hd",
    "magicbrush": "magicbrush",
}


def detect_benchmark(path: str) -> Benchmark:
    """The benchmark of a path, by the files and columns that it alone has; "pairs" for other pairs.

    Raises `DataError` for a path that holds no data set.
    """
    if path == SYNTH:
        return "synth"
    if (columns := _find_columns(path)) is not None:
        if {*EMU_COLUMNS, *EMU_PICTURES} <= columns:
            return "emu-edit"
        if set(GEDIT_COLUMNS) <= columns:
            return "gedit"
    return LAYOUTS.get(detect_layout(path), "pairs")


def get_benchmark(config: DataConfig) -> Benchmark:
    """The benchmark of the settings, told by the files where they say "auto".

    Raises `ConfigError` for settings that the benchmark does not have.
    """
    name = detect_benchmark(config.path) if config.benchmark == "auto" else config.benchmark
    if (name == "synth") != (config.path == SYNTH):
        raise ConfigError(
            f"data.benchmark is {name}, data.path {show_name(config.path)}",
            hint="synth is both: made, not read" if name == "synth" else "name the data set's folder",
        )
    for setting, is_set, owner in (
        ("unpaired", config.unpaired, "viton-hd"),
        ("session", config.session, "magicbrush"),
        ("turns", config.turns != "all", "magicbrush"),
    ):
        if is_set and name != owner:
            raise ConfigError(f"data.{setting} is for {owner}, this is {name}")
    return name


def choose_split(config: DataConfig, name: Benchmark) -> str | None:
    """The split that is measured, None for all of the data set.

    As the settings say ("all" is all of it), else "test" where the data has one, else "dev" or "validation" of
    MagicBrush and Emu Edit, else all; of GEdit-Bench a language, en where none is said.
    """
    if name == "gedit" and config.split not in (None, ALL, *LANGUAGES):
        hint = get_suggestion(config.split or "", (*LANGUAGES, ALL))
        raise ConfigError(f"data.split: {config.split!r} is no language of GEdit-Bench", hint=hint)
    if config.split is not None:
        return None if config.split == ALL else config.split
    if name in ("synth", "gedit"):
        return "test" if name == "synth" else "en"
    there = list_splits(config.path, name)
    wanted = TESTED if name in ("magicbrush", "emu-edit") else TESTED[:1]
    return next((split for split in wanted if split in there), None)


def list_splits(path: str, name: Benchmark) -> list[str]:
    """The splits that names of files and folders tell of, or pairs' own columns. Raises as the layouts do."""
    place = Path(path).expanduser()
    if name == "magicbrush":
        return list_magic_brush_splits(path)
    if name == "viton-hd":
        return list_viton_hd(place)
    if name == "emu-edit":
        return sorted({get_table_split(path, file) for file in list_tables(path)} - {""})
    if name == "anyinsertion":
        folders = list_any_insertion(place) if place.is_dir() else []
        named = {get_named_split(Path(folder.resolve().parent.name)) or "train" for folder in folders}
        return sorted(named or {get_shard_split(str(file)) for file in list_shards(path)})
    if tars := list_tars(path):
        return sorted({get_shard_split(str(file)) for file in tars})
    layout = detect_layout(path)
    if layout in LAYOUTS:
        return list_splits(path, LAYOUTS[layout])
    return sorted({entry.split for entry in browse(path, pictures=False)} - {""})


def _find_columns(path: str) -> set[str] | None:
    """The columns of the first table that can be read, None where there is none."""
    if (Path(path).expanduser() / "metadata.jsonl").is_file():
        return None
    for file in list_tables(path):
        try:
            return set(list_columns(file))
        except DataError:
            continue
    return None
