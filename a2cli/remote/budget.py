"""How much of a paid API may still be used, over all processes that share a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from a2cli.errors import DataError
from a2cli.files import show_name

ASKED = ".asked"


@dataclass(frozen=True)
class Budget:
    """At most `most` names are counted in `folder`: files NAME.asked and, with `kept`, files NAME plus that ending.

    NAME.asked is there before anything is asked for and survives kill -9: what may have been paid stays counted.
    """

    folder: Path
    most: int
    kept: str = ASKED

    def take(self, name: str) -> bool:
        """Count a name before it is asked for; False where nothing is left. A name that counts already counts once.

        Raises `DataError` where nothing can be written.
        """
        try:
            with _hold(self.folder):
                taken = self._list()
                if name not in taken and len(taken) >= self.most:
                    return False
                (self.folder / f"{name}{ASKED}").touch()
                return True
        except OSError as error:
            where = show_name(str(self.folder))
            raise DataError(
                f"{where}: answers cannot be kept there: {error.strerror}", hint="choose another folder"
            ) from error

    def give_back(self, name: str) -> None:
        """Take the mark away: it was not paid, or what came is kept under the other ending."""
        (self.folder / f"{name}{ASKED}").unlink(missing_ok=True)

    def count(self) -> int:
        """How many names count; 0 where there is no folder."""
        return len(self._list()) if self.folder.is_dir() else 0

    def _list(self) -> set[str]:
        return {path.stem for path in self.folder.iterdir() if path.suffix in (ASKED, self.kept)}


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    """Hold a folder for one process at a time, waiting for the others."""
    with open(folder / ".budget.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
