"""`a2 export` without its console: an adapter read, written in another format, perhaps sent to the hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from a2cli import __version__
from a2cli.config.export import ExportConfig, ExportFormat
from a2cli.errors import A2Error, CheckpointError
from a2cli.exporting.card import Written, build_card
from a2cli.exporting.measure import Loss, measure_loss
from a2cli.exporting.samples import check_category, list_samples
from a2cli.exporting.source import Source
from a2cli.exporting.target import (
    FORMAT,
    RECORD,
    check_target,
    get_fingerprint,
    hash_files,
    is_finished,
    read_record,
)
from a2cli.files import replace_folder, write_bytes

Progress = Callable[[str, int, int], None]
Note = Callable[[str], None]
Writer = Callable[[Source, Path], Written]  # fills an empty folder

# Each is imported when it is asked for: onnx is an extra.
WRITERS: dict[ExportFormat, str] = {
    "peft": "a2cli.exporting.peft_folders:write_peft",
    "diffusers": "a2cli.exporting.diffusers_lora:write_diffusers",
    "comfyui": "a2cli.exporting.kohya:write_kohya",
    "merged": "a2cli.exporting.models:write_merged_model",
    "onnx": "a2cli.exporting.models:write_onnx_graphs",
    "torch": "a2cli.exporting.models:write_torch_programs",
}


# Asked before anything is loaded.
CHECKS: dict[ExportFormat, str] = {
    "merged": "a2cli.exporting.models:check_merged",
    "onnx": "a2cli.exporting.models:check_onnx",
}


@dataclass(frozen=True)
class Exported:
    """One place where an export is: a folder, or an address on a hub; and what is on record of it."""

    path: str
    record: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The place and the record as JSON-ready values."""
        return {"path": self.path, **self.record}


def run_export(
    config: ExportConfig, progress: Progress | None = None, note: Note | None = None
) -> Iterator[Exported]:
    """Write an export; yields its folder, then the address where it was sent to, if it was.

    The folder appears whole or not at all. One that is there already, with the same adapter, settings and bytes, is
    sent as it is, so that a failed upload costs no second export. `note` is told what the format does not carry.
    Raises A2Error: what cannot be read, fitted or written, and a folder that is there and is no export.
    """
    out = Path(config.out).expanduser().absolute()
    check_target(out)
    check_category(config.category)
    source = Source(config, progress, note)
    if config.format in CHECKS:
        _import(CHECKS[config.format])(source)
    fingerprint = get_fingerprint(config, source.origin.adapter_hash)
    if config.push_to_hub is None or not is_finished(out, fingerprint):
        write_export(source, out, fingerprint)
    record = read_record(out) or {}
    yield Exported(config.out, record)
    if config.push_to_hub is not None:
        from a2cli.exporting.hub import push_folder

        yield Exported(push_folder(out, config.push_to_hub, private=config.private, note=source.note), record)


def write_export(source: Source, out: Path, fingerprint: str) -> None:
    """Fill the folder of an export: the writer's files, routing.json, the card, the record."""
    write: Writer = _import(WRITERS[source.config.format])
    with replace_folder(out) as beside:
        loss = measure(source) if source.frozen else None  # first: a writer may take the experts out
        written = write(source, beside)
        routing = None if source.routing is None else source.routing.to_dict()
        if routing is not None:
            _write_json(beside / "routing.json", routing)
        card = build_card(source, written, loss)
        write_bytes(card.encode(), beside / "README.md", error=CheckpointError)
        record = {
            "format": FORMAT,
            "version": 1,
            "a2": __version__,
            "to": source.config.format,
            "fingerprint": fingerprint,
            "adapter": source.origin.name,
            "adapter_hash": source.origin.adapter_hash,
            "base": source.origin.base_id,
            "base_hash": source.origin.base_hash,
            "routing": None if routing is None else routing["label"],
            "rank_cut": round(source.lost, 6),
            "loss": None if loss is None else loss.to_dict(),
            **written.facts,
            "files": hash_files(beside),
        }
        _write_json(beside / RECORD, record)
    source.note(f"{source.config.format}: {written.limits}")
    if loss is not None:
        source.note(f"loss: {loss.tell()}")


def measure(source: Source) -> Loss | None:
    """What the written updates lose; None where that is not asked for, and where nothing can be lost."""
    config = source.config
    if not config.measure or (source.routing is None and config.rank is None):
        return None
    try:
        samples = list(list_samples(config, "test", config.measure))
    except A2Error as error:
        error.hint = f"{error.hint}; --measure 0 exports without a look at it".removeprefix("; ")
        raise
    written = {path: delta.to(source.dtype) for path, delta in source.deltas.items()}
    return measure_loss(source.pipeline, written, samples, seed=config.seed, progress=source.progress)


def _import(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def _write_json(path: Path, content: object) -> None:
    write_bytes((json.dumps(content, indent=2) + "\n").encode(), path, error=CheckpointError)
