"""Writing so that a reader sees the old or the new, never a part; importing this module imports no framework."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from a2cli.errors import A2Error, CheckpointError, ConfigError, DataError

STALE_S = 2.0  # seconds; a temporary younger than that may be one whose writer is about to lock it
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})  # weights that are never opened


def show_name(name: str) -> str:
    """A file's name on one line: newlines and other unprintable characters escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def get_source_name(source: str) -> str:
    """A model or adapter as it goes on record: a hub id as it is, of a path the last part alone."""
    path = Path(source).expanduser()
    return path.absolute().name if path.exists() else source


def write_bytes(data: bytes | Iterable[bytes], path: str | Path, *, error: type[A2Error] = DataError) -> None:
    """Write a file that is the old one or the new one at every moment, also after kill -9 or a full disk.

    `data`, whole or in parts, is written beside the target, synced, renamed over it; the mode bits of a file that is
    replaced are kept. Raises `error` naming the path and the cause; no temporary stays.
    """
    path = Path(path)
    try:
        path = Path(os.path.realpath(path))  # through a link, not over it
        beside = path.parent / f".a2-{secrets.token_hex(8)}.tmp"  # short: the name may be 255 bytes long
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")  # renaming would put a file in its place
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(handle, "wb") as file:
                with suppress(OSError):  # who holds it lives: `remove_stale` leaves it alone
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for part in (data,) if isinstance(data, bytes) else data:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                os.chmod(beside, stat.S_IMODE(path.stat().st_mode))
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except (OSError, ValueError) as cause:
        raise error(
            f"{show_name(str(path))}: cannot be written: {_get_reason(cause)}",
            hint="check the folder and the free space",
        ) from cause


def remove_stale(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; the temporaries of those that live stay."""
    with suppress(OSError):
        for path in sorted(folder.glob(".a2-*.tmp")):
            with suppress(OSError), open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(file.fileno()).st_mtime > STALE_S:
                    path.unlink()


def make_folder(folder: str | Path, *, error: type[A2Error] = DataError) -> None:
    """Make a folder and those above it; one that exists is fine. Raises `error` naming it and the cause."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as cause:
        raise error(
            f"{show_name(str(folder))}: cannot be made: {_get_reason(cause)}", hint="choose another folder"
        ) from cause


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for one process at a time, until the block ends or the process dies.

    Raises `ConfigError` when another process holds it, `DataError` where nothing can be written.
    """
    try:
        handle = os.open(folder / ".lock", os.O_WRONLY | os.O_CREAT, 0o666)
    except OSError as cause:
        raise DataError(
            f"{show_name(str(folder))}: cannot be written: {_get_reason(cause)}",
            hint="check the folder and the free space",
        ) from cause
    with open(handle, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            raise ConfigError(
                f"{show_name(str(folder))}: another process is writing there",
                hint="wait for it, or name another folder",
            ) from cause
        yield


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill, which takes `folder`'s place, flushed to disk, when the block ends well.

    A reader sees the old folder, none or the new one, never a part; what a killed run left beside is removed.
    Raises `CheckpointError` when the disk refuses; the old folder then stays.
    """
    from safetensors import SafetensorError

    beside = folder.with_name(f".{folder.name}.new.tmp")
    before = folder.with_name(f".{folder.name}.old.tmp")
    moved = False
    try:
        for stale in (beside, before):
            if stale.exists():
                shutil.rmtree(stale)
        beside.mkdir(parents=True)
        yield beside
        for path in (*beside.rglob("*"), beside):
            if path.is_dir():
                _sync_folder(path)
            else:
                _sync_file(path)
        if folder.exists():
            os.replace(folder, before)
            moved = True
        os.replace(beside, folder)
        _sync_folder(folder.parent)
    except (OSError, SafetensorError) as cause:
        raise CheckpointError(f"{folder}: cannot be written: {_get_reason(cause)}") from cause
    finally:
        if moved and not folder.exists():
            os.replace(before, folder)
        shutil.rmtree(beside, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(before, ignore_errors=True)


def walk_folder(folder: Path) -> list[Path]:
    """Everything below a folder, sorted; links right in it are gone through, as a hub's snapshot has them."""
    links = (part for part in folder.glob("*") if part.is_symlink())  # rglob goes through none
    return sorted({*folder.rglob("*"), *(path for link in links for path in link.rglob("*"))})


def _get_reason(cause: Exception) -> str:
    return getattr(cause, "strerror", None) or str(cause)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Make a renaming itself durable; some file systems refuse, the files themselves are synced."""
    with suppress(OSError):
        _sync_file(folder)
