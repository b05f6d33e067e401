"""A study made from what an evaluation left, and scored from what people answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from a2cli.errors import ConfigError
from a2cli.evaluation.benchmarks.listing import list_cases
from a2cli.evaluation.config import SYNTH, EvalConfig
from a2cli.evaluation.records.cases import CaseEntry
from a2cli.evaluation.records.protocols import parse_protocols
from a2cli.evaluation.results import EDITS, RESULTS
from a2cli.evaluation.store import load_results
from a2cli.evaluation.study.config import StudyConfig, StudyKey, load_key, write_key
from a2cli.evaluation.study.items import list_items
from a2cli.evaluation.study.make import build_study
from a2cli.files import show_name
from a2cli.pages.page import check_page, write_page


def make_study(config: EvalConfig, study: StudyConfig, page: Path, key: Path) -> StudyKey:
    """Write the page and its key, over the records and masks of `config` and the edits in its `out`.

    A key of another study is never written over: answers to that one could not be scored any more. Raises
    `ConfigError` for that and what `list_items` and `build_study` raise.
    """
    check_page(page)
    if page.resolve() == key.resolve():
        raise ConfigError(f"{show_name(str(key))}: page and key in one file", hint="the key stays behind")
    entries = [item for item in list_cases(config.data) if isinstance(item, CaseEntry)]
    protocols = parse_protocols(config.protocols, config.rough_radius)
    items = list_items(Path(config.out or "") / EDITS, entries, protocols, study.methods)
    text, made = build_study(study, items)
    if key.exists() and load_key(key).study != made.study:
        raise ConfigError(
            f"{show_name(str(key))}: the key of another study", hint="name another file with --key"
        )
    write_key(made, key)
    write_page(text, page)
    return made


def load_given(folder: Path, data: str | None) -> dict[str, Any]:
    """The records and masks of the evaluation in a folder, as settings; none where it left no results.

    `data` is where its records are said to be now. Raises `ConfigError` where nothing says that and they are not where
    they were, `DataError` as `load_results` does.
    """
    if not (folder / RESULTS).is_file():
        return {}
    config = load_results(folder).config
    path = str(config.get("data", {}).get("path", SYNTH))
    if data is None and path != SYNTH and not set(path) & set("*?[") and not Path(path).exists():
        raise ConfigError(
            f"{show_name(str(folder))}: the records were of {show_name(path)}, which is not here",
            hint="name them with --data",
        )
    return {name: config[name] for name in ("data", "protocols", "rough_radius") if name in config}


def list_methods(folder: Path) -> list[str]:
    """The methods of which an evaluation's folder has edits. Raises `ConfigError` where there are none."""
    edits = folder / EDITS
    names = sorted(path.name for path in edits.iterdir() if path.is_dir()) if edits.is_dir() else []
    if not names:
        raise ConfigError(
            f"{show_name(str(folder))}: no edits of methods", hint="a2 eval --methods A,B --run -o OUT"
        )
    return names
