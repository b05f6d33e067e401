"""The edits to be measured: found in a folder of finished ones, or made by methods."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from a2cli.backbones.registry import check_backbone_name
from a2cli.config.load import to_dict
from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.evaluation.config import BASELINES, WITHOUT_REFERENCE, EvalConfig, MethodConfig
from a2cli.evaluation.editing.edits import OTHERWISE, EditDone, EditJob, find_edits, run_edits
from a2cli.evaluation.editing.training_first import FOLDER, get_overrides, load_training, train_first
from a2cli.evaluation.methods.base import name_adapters
from a2cli.evaluation.origin import strip_paths
from a2cli.evaluation.records.candidates import EditFile, Place
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure, Task, add_turns_before
from a2cli.evaluation.records.predictions import find_predictions
from a2cli.evaluation.records.protocols import Protocol
from a2cli.evaluation.records.tasks import build_task
from a2cli.evaluation.results import EDITS
from a2cli.files import get_source_name, show_name

PRED = "pred"  # what the method of finished edits is called
FIRST = 8  # records that are opened to see whether there are references at all
Show = Callable[[str, int, int], None]


@dataclass
class Edits:
    """Edits, or why there are none, by place; `identities` says of each method what it was.

    `failures` are those that belong to no one edit.
    """

    files: dict[Place, EditFile | CaseFailure] = field(default_factory=dict)
    identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[CaseFailure] = field(default_factory=list)


def list_methods(config: EvalConfig) -> dict[str, bool]:
    """The names of the methods, and whether each is a baseline."""
    if config.pred is not None:
        return {PRED: False}
    return {method.name: method.kind in BASELINES for method in config.methods}


def check_methods(config: EvalConfig) -> None:
    """Raise, with nothing loaded, for a backbone that is not there, an adapter that is no folder, a bad training."""
    for method in config.methods if config.run else ():
        if method.kind not in BASELINES:
            check_backbone_name(method.backbone)
        if method.kind == "a2":
            for folder in (Path(name).expanduser() for name in method.adapters if name != "none"):
                if not folder.is_dir():
                    raise ConfigError(
                        f"methods.{method.name}: {show_name(str(folder))}: no such folder",
                        hint="an adapter folder, or none",
                    )
        if method.train is not None:
            load_training(method, get_overrides(method, Path(config.out or "") / FOLDER / method.name))


def check_masks(config: EvalConfig, protocols: Sequence[Protocol]) -> None:
    """Raise `ConfigError` for a method that looks at masks under a protocol that gives none."""
    free = [protocol.name for protocol in protocols if not protocol.gives_mask]
    for method in config.methods if config.run and free else ():
        if not method.is_mask_free and method.kind != "target":
            raise ConfigError(
                f"methods.{method.name}: {free[0]} gives no mask, which it needs",
                hint="localize: auto, where its kind is a2; or other protocols",
            )


def check_folders(config: EvalConfig, protocols: Sequence[Protocol]) -> None:
    """Raise `ConfigError` where finished edits are to be of several protocols and lie in a folder of none."""
    names = [protocol.name for protocol in protocols]
    if config.pred is None or len(names) < 2:
        return
    root = Path(config.pred).expanduser()
    if root.is_dir() and not any((root / name).is_dir() for name in names):
        shown = show_name(root.absolute().name)
        raise ConfigError(
            f"{shown} has no folder {' and no folder '.join(names[1:])}",
            hint=f"name one kind of mask, --protocol {names[0]}, or give "
            f"{', '.join(f'DIR/{name}' for name in names[:-1])} and DIR/{names[-1]}",
        )


def check_references(config: EvalConfig, entries: Sequence[CaseEntry]) -> None:
    """Raise `ConfigError` for a method that needs a reference where none of the first `FIRST` records has one.

    Records that cannot be opened say nothing. Where others have one, those without fail one by one.
    """
    needy = [method.name for method in config.methods if method.kind not in WITHOUT_REFERENCE]
    if not config.run or not needy:
        return
    without = 0
    for entry in entries[:FIRST]:
        try:
            if entry.load().ref_rgb is not None:
                return
        except A2Error:
            continue
        without += 1
    if without:
        verb = "needs" if len(needy) == 1 else "need"
        raise ConfigError(
            f"{show_name(config.data.path)}: its records have no reference, which {', '.join(needy)} {verb}",
            hint=f"{' and '.join(kind for kind in WITHOUT_REFERENCE if kind != 'target')} do without",
        )


def gather_edits(
    config: EvalConfig, entries: Sequence[CaseEntry], protocols: Sequence[Protocol], show: Show | None = None
) -> Edits:
    """Find or make all edits. Raises `DataError` where there is not one, and what loading a method raises.

    Of turns that are edited for those after them alone, what failed is among the failures of no one edit.
    """
    chosen = {entry.id for entry in entries}
    entries = add_turns_before(entries)
    if config.pred is not None:
        return _find_finished(config.pred, entries, protocols)
    edits = Edits()
    for method in config.methods:
        if config.run:
            _make(config, method, entries, protocols, edits, show)
        else:
            _find_made(config, method, entries, protocols, edits)
    if not config.run and not any(isinstance(found, EditFile) for found in edits.files.values()):
        folder = Path(config.out or "") / EDITS
        failures = [found for found in edits.files.values() if isinstance(found, CaseFailure)]
        others = [failure for failure in failures if failure.reason == OTHERWISE]
        why = f": {show_name(others[0].id)}: {others[0].detail}" if others else ""
        raise DataError(
            f"{show_name(str(folder))}: no edits of these records{why}", hint="add --run to make them"
        )
    missed = (found for found in edits.files.values() if isinstance(found, CaseFailure))
    edits.failures += [failure for failure in missed if failure.id not in chosen]
    return edits


def _find_finished(pred: str, entries: Sequence[CaseEntry], protocols: Sequence[Protocol]) -> Edits:
    root = Path(pred).expanduser()
    found = find_predictions(root, entries, [protocol.name for protocol in protocols])
    edits = Edits(identities={PRED: {"kind": "pred", "baseline": False, "folder": root.absolute().name}})
    ids = {entry.stem: entry.id for entry in entries}
    for (protocol, stem), path in found.files.items():
        edits.files[PRED, protocol, ids[stem]] = EditFile(path, str(path.relative_to(root)))
    for failure in found.failures:
        edits.files[PRED, failure.protocol, failure.id] = failure
    for name in (protocol.name for protocol in protocols if protocol.name not in found.protocols):
        for entry in entries:
            failure = CaseFailure(entry.id, "find", "no edit", f"there is no folder {name}", PRED, name)
            edits.files[PRED, name, entry.id] = failure
    return edits


def _make(
    config: EvalConfig,
    method: MethodConfig,
    entries: Sequence[CaseEntry],
    protocols: Sequence[Protocol],
    edits: Edits,
    show: Show | None,
) -> None:
    """Train a method where it asks for that, load it, and make what is missing."""
    from a2cli.evaluation.methods.build import build_method

    out = Path(config.out or "")

    def tell(step: int, steps: int, row: dict[str, Any]) -> None:
        if show:
            show(f"{method.name}: training", step, steps)

    ready = train_first(method, out, tell)
    editor = build_method(ready, device=config.device)
    edits.identities[method.name] = editor.identity | _get_training(method)
    total = len(entries) * len(protocols)
    jobs = _list_jobs(config, entries, protocols)
    for number, done in enumerate(run_edits(editor, jobs, out / EDITS), start=1):
        place = method.name, done.protocol, done.id
        edits.files[place] = _to_file(done, out) if isinstance(done, EditDone) else done
        if show:
            show(f"{method.name}: editing", number, total)
    del editor, jobs
    _free()


def _list_jobs(
    config: EvalConfig, entries: Sequence[CaseEntry], protocols: Sequence[Protocol]
) -> Iterator[EditJob]:
    for entry in entries:
        load = cache(entry.load)  # once for all protocols, and let go with them
        for protocol in protocols:
            after = entry.before.stem if entry.before else ""
            task = partial(_load_task, load, protocol, config.seed)
            yield EditJob(entry.id, entry.stem, protocol.name, task, after)


def _load_task(load: Callable[[], Case], protocol: Protocol, seed: int) -> Task:
    return build_task(load(), protocol, seed)


def _to_file(done: EditDone, out: Path) -> EditFile:
    return EditFile(done.path, str(done.path.relative_to(out)), done.seconds)


def _find_made(
    config: EvalConfig,
    method: MethodConfig,
    entries: Sequence[CaseEntry],
    protocols: Sequence[Protocol],
    edits: Edits,
) -> None:
    """The edits that an earlier run left."""
    out = Path(config.out or "")
    facts = _get_facts(method)
    facts["baseline"] = method.kind in BASELINES
    identity: Mapping[str, Any] = {}
    jobs = _list_jobs(config, entries, protocols)
    for done in find_edits(method.name, facts, jobs, out / EDITS):
        place = method.name, done.protocol, done.id
        edits.files[place] = _to_file(done, out) if isinstance(done, EditDone) else done
        if isinstance(done, EditDone):
            identity = identity or done.identity
    edits.identities[method.name] = {**facts, **identity, **_get_training(method), "found": True}


def _get_facts(method: MethodConfig) -> dict[str, Any]:
    """The settings of a method as its identity has them; what stays at the default is left out."""
    facts = {
        name: get_source_name(value) if name in ("model", "redux") else value
        for name, value in to_dict(method).items()
        if value is not None and name not in ("name", "train", "adapter", "localize")
        if name != "backbone" or method.kind not in BASELINES
    }
    if method.adapters:
        facts["adapter"] = name_adapters(method.adapters)
    if method.localization is not None:
        facts["localize"] = to_dict(method.localization)
    return facts


def _get_training(method: MethodConfig) -> dict[str, Any]:
    if method.train is None:
        return {}
    return {
        "train": {
            "config": Path(method.train.config).name,
            "overrides": strip_paths(list(method.train.overrides)),
            "run": f"{FOLDER}/{method.name}",
        }
    }


def _free() -> None:
    """Give a model's memory back before the next one is loaded."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
