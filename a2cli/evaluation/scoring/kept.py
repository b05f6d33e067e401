"""What was measured before, so that a run that was stopped measures nothing twice."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import TracebackType
from zipfile import BadZipFile

import numpy as np

from a2cli.errors import DataError
from a2cli.files import make_folder, show_name, write_bytes
from a2cli.metrics.measure import Values
from a2cli.metrics.shots import Shot

VALUES, FEATURES = "values.jsonl", "features"


def digest_shot(shot: Shot) -> str:
    """SHA-256 of all that a value of an edit may depend on: its pictures, its masks, its words; not its name."""
    words = [shot.hole, shot.prompt, shot.instruction, shot.source_prompt]
    digest = hashlib.sha256(json.dumps(words).encode())
    for array in (
        shot.edited,
        shot.mask,
        shot.source,
        shot.target,
        shot.ref_rgb,
        shot.ref_mask,
        shot.exact,
        shot.region,
    ):
        digest.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class KeptValues:
    """Values by key in FOLDER/values.jsonl, a line each, written as they come; in memory alone without a folder.

    Lines that cannot be read, such as the last one of a run that was killed, count for nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._values: dict[str, Values] = {}
        self._file = None
        if folder is None:
            return
        make_folder(folder)
        path = folder / VALUES
        try:
            text = path.read_bytes() if path.exists() else b""
            self._values = dict(filter(None, map(_parse_line, text.split(b"\n"))))
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by __exit__
            if text and not text.endswith(b"\n"):
                self._file.write(b"\n")
        except OSError as error:
            raise _refuse(path, error) from error

    def __enter__(self) -> KeptValues:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def get(self, key: str) -> Values | None:
        """What is known under a key."""
        return self._values.get(key)

    def put(self, key: str, values: Values) -> None:
        """Keep values; they are in the file when this returns. Raises `DataError` when the disk refuses."""
        self._values[key] = values
        if self._file is None:
            return
        line = json.dumps({"key": key, "values": values}, allow_nan=False).encode() + b"\n"
        try:
            if self._file.write(line) < len(line):  # the disk is full; the next write would say so
                self._file.write(b"\n")
        except OSError as error:
            raise _refuse(Path(self._file.name), error) from error


class KeptFeatures:
    """Features of edits in FOLDER/features, a file each: too many to hold, and dear to compute."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FEATURES

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The features kept under a key, by value's name; None for none or a damaged file."""
        try:
            with np.load(self._get_path(key), allow_pickle=False) as file:
                return {name: file[names] for names in file.files for name in names.split(",")}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def put(self, key: str, features: Mapping[str, np.ndarray]) -> None:
        """Keep features; what several names share is written once. Raises `DataError` when the disk refuses."""
        shared: dict[int, list[str]] = {}
        for name, array in features.items():
            shared.setdefault(id(array), []).append(name)
        file = BytesIO()
        np.savez(file, **{",".join(names): features[names[0]] for names in shared.values()})  # type: ignore[arg-type]
        path = self._get_path(key)
        make_folder(path.parent)
        write_bytes(file.getvalue(), path)

    def clear(self) -> None:
        """Remove them all."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _get_path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.npz"


def _parse_line(line: bytes) -> tuple[str, Values] | None:
    try:
        record = json.loads(line)
        values = {str(name): float(value) for name, value in record["values"].items()}
        return (str(record["key"]), values) if all(map(math.isfinite, values.values())) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _refuse(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{show_name(str(path))}: cannot be written: {error.strerror}",
        hint="check the folder and the free space",
    )
