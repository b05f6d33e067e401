"""Locks between processes that share a folder: files, held by flock, gone when the last one lets go or dies."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from a2cli.errors import DataError
from a2cli.files import show_name

FOLDER = ".a2-claims"
RECORDS_LOCK, CLAIM = "records.lock", ".claim"
# What some network file systems say, where one process alone is right.
_LOCKLESS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class Locks:
    """The locks of one folder of records, in its sub-folder `.a2-claims`; raises `DataError` where none can be made."""

    def __init__(self, records: Path) -> None:
        self.folder = records / FOLDER

    @contextmanager
    def claim(self, id: str) -> Iterator[bool]:
        """Hold one item for the length of the block; False where another process, or another thread, has it."""
        name = hashlib.sha256(id.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        with self._hold(f"{name}{CLAIM}", wait=False) as held:
            yield held

    @contextmanager
    def hold_records(self) -> Iterator[None]:
        """Hold the files of records for the length of the block, waiting for those who have them."""
        with self._hold(RECORDS_LOCK, wait=True):
            yield

    def clear(self) -> None:
        """Remove what dead processes left, and the folder where nobody holds anything."""
        with suppress(OSError):
            for path in sorted(self.folder.iterdir()):
                if path.name == RECORDS_LOCK or path.suffix == CLAIM:  # nothing else is ours
                    with self._hold(path.name, wait=False):
                        pass
            self.folder.rmdir()

    @contextmanager
    def _hold(self, name: str, *, wait: bool) -> Iterator[bool]:
        path = self.folder / name
        handle = self._open(path, wait=wait)
        try:
            yield handle is not None
        finally:
            if handle is not None:
                path.unlink(missing_ok=True)  # while it is held: whoever waits for it sees that it is gone
                os.close(handle)

    def _open(self, path: Path, *, wait: bool) -> int | None:
        """A handle that holds the file of that name; None where it is held and `wait` is False."""
        while True:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:  # the folder was cleared just now
                continue
            except OSError as error:
                raise DataError(
                    f"{show_name(str(self.folder))}: cannot be made: {error.strerror}",
                    hint="records of a batch are kept there; name another folder with -o",
                ) from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return None
            except OSError as error:
                if error.errno not in _LOCKLESS:
                    os.close(handle)
                    raise
            except BaseException:
                os.close(handle)
                raise
            if _is_same(handle, path):
                return handle
            os.close(handle)  # its holder removed it while this process waited


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
