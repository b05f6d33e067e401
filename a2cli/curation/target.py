"""The folder that a command fills: new or empty at first, and after a killed run cleared of what that left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from a2cli.errors import ConfigError, DataError
from a2cli.files import lock_folder, make_folder, show_name, write_bytes

LOCK, UNFINISHED = ".lock", ".unfinished"


def check_target(out: Path, source: str, *, may_hold: tuple[str, ...] = ()) -> None:
    """Raise `ConfigError` for a folder that holds more than `may_hold`, or that lies within the source.

    What a killed run began to fill counts as empty.
    """
    shown = show_name(str(out))
    try:
        if out.exists() and not out.is_dir():
            raise ConfigError(f"{shown}: is a file", hint="name a folder")
        names = {file.name for file in out.iterdir()} if out.exists() else set()
        place = Path(source).expanduser().resolve()
        inside = place.is_dir() and out.resolve().is_relative_to(place)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{shown}: cannot be written: {error}", hint="name another folder") from error
    if inside:
        raise ConfigError(f"{shown}: lies in the source", hint="name another folder")
    if UNFINISHED not in names and names - {LOCK, *may_hold}:
        raise ConfigError(f"{shown}: is not empty", hint="name another folder or clear it")


@contextmanager
def fill_target(out: Path, source: str, *, may_hold: tuple[str, ...] = ()) -> Iterator[None]:
    """Hold an empty folder while the block fills it; one that a killed run left is emptied first.

    A mark stands in the folder until the block ends well. Raises as `check_target` and `lock_folder` do, `DataError`
    where nothing can be written.
    """
    make_folder(out)
    with lock_folder(out):
        check_target(out, source, may_hold=may_hold)  # under the lock: another process may have been here
        try:
            for file in out.iterdir():
                if file.name not in (LOCK, UNFINISHED):
                    shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()
        except OSError as error:
            raise DataError(f"{show_name(str(out))}: cannot be cleared: {error}") from error
        write_bytes(b"", out / UNFINISHED)
        yield
        (out / UNFINISHED).unlink(missing_ok=True)
