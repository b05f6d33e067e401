"""The folder an export is written to: told from any other, replaced whole, recognised when it is there already."""

from __future__ import annotations

import hashlib
import json
import stat
from contextlib import suppress
from dataclasses import asdict
from glob import glob
from pathlib import Path
from typing import Any

from a2cli import __version__
from a2cli.config.export import SYNTH, ExportConfig
from a2cli.errors import ConfigError
from a2cli.files import show_name, walk_folder

RECORD = "a2_export.json"
FORMAT = "a2-export"
_ELSEWHERE = ("out", "push_to_hub", "private", "device")  # settings that change no file


def check_target(out: Path) -> None:
    """Raise ConfigError where something lies that is no export and would be lost."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or read_record(out) is None:
        raise ConfigError(
            f"{show_name(str(out))}: is there, and is no export of a2", hint="name another folder"
        )


def read_record(folder: Path) -> dict[str, Any] | None:
    """What an export says of itself; None for a folder that is none."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def is_finished(folder: Path, fingerprint: str) -> bool:
    """Whether a folder holds the export with this fingerprint, every file as it was written."""
    record = read_record(folder)
    if (
        record is None
        or record.get("fingerprint") != fingerprint
        or not isinstance(record.get("files"), dict)
    ):
        return False
    try:
        return record["files"] == hash_files(folder)
    except OSError:
        return False


def get_fingerprint(config: ExportConfig, adapter_hash: str) -> str:
    """Digest of all that an export is made from: adapter, settings, the files they name, a2's version.

    Of models and data sets, which may hold gigabytes, the files' names, sizes and times stand for their bytes.
    """
    settings = {name: value for name, value in asdict(config).items() if name not in _ELSEWHERE}
    named = [value for value in (config.ref, config.ref_mask, config.photo, config.mask) if value]
    inputs = {name: _hash_file(Path(name)) for name in named if Path(name).is_file()}
    data = None if config.data == SYNTH else config.data
    found = {name: list_files(name, beside=config.out) for name in (config.model, data) if name}
    text = json.dumps([__version__, adapter_hash, settings, inputs, found], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def list_files(name: str, *, beside: str) -> list[tuple[str, int, int]]:
    """Path, size and time of change (ns) of the files that a folder, a file or a pattern names, sorted by path.

    Without those of the folder `beside`, which the export itself makes, and those that cannot be looked at.
    """
    place, out = Path(name).expanduser().absolute(), Path(beside).expanduser().absolute()
    paths = walk_folder(place) if place.is_dir() else sorted(map(Path, glob(str(place), recursive=True)))
    found = []
    for path in (path for path in paths if not path.is_relative_to(out)):
        with suppress(OSError):
            about = path.stat()
            if stat.S_ISREG(about.st_mode):
                found.append((str(path), about.st_size, about.st_mtime_ns))
    return found


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file of an export but its record, by its path inside."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != RECORD)
    return {str(p.relative_to(folder)): _hash_file(p) for p in files}


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
