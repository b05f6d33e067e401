"""The members of a tar archive as places of bytes in it; nothing is extracted."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from a2cli.building.readers.parts import Blob
from a2cli.building.readers.rejects import Unfit, get_cause
from a2cli.building.readers.walk import LITTER, join_names
from a2cli.files import show_name

Member = tuple[str, Blob | Unfit]  # a member's own name, and where its bytes lie or why they must not be used
END = bytes(tarfile.BLOCKSIZE)


def list_members(path: Path, shown: str) -> Iterator[Member]:
    """The files in an archive, in its order; links, devices and names that lead outside come with an `Unfit`.

    Hidden files, litter and folders are left out. Raises `Unfit` ("damaged archive") when it ends too early or a header
    is broken, after all that lies before.
    """
    size = os.path.getsize(path)
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
                if member.offset_data + member.size > size:
                    damage = _get_damage(shown, f"it ends within {show_name(member.name)}")
                    yield (
                        member.name.removeprefix("./"),
                        damage,
                    )  # of which sample it is tells that others are whole
                    raise damage
                if member.isdir() or _is_litter(member.name):
                    continue
                yield member.name.removeprefix("./"), _get_blob(member, path, shown)
            end = archive.offset
        with open(path, "rb") as file:
            file.seek(end)
            if file.read(tarfile.BLOCKSIZE) != END:  # tarfile stops at a broken header as if it were the end
                raise _get_damage(shown, "a broken header, or no end")
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise _get_damage(shown, get_cause(error)) from error


def _is_litter(name: str) -> bool:
    return any(
        part in LITTER or (part.startswith(".") and part not in (".", ".."))
        for part in PurePosixPath(name).parts
    )


def _get_blob(member: tarfile.TarInfo, path: Path, shown: str) -> Blob | Unfit:
    name = join_names(shown, show_name(member.name.removeprefix("./")))
    if member.name.startswith("/") or ".." in PurePosixPath(member.name).parts:
        return Unfit("outside the source", f"{name}: leads outside the archive", hint="make it again")
    if not member.isreg() or member.issparse():
        return Unfit(
            "not a regular file", f"{name}: a link, device or sparse file", hint="pack the file itself"
        )
    return Blob(str(path), name, member.offset_data, member.size)


def _get_damage(shown: str, cause: str) -> Unfit:
    return Unfit("damaged archive", f"{shown}: a damaged archive: {cause}", hint="download or pack it again")
