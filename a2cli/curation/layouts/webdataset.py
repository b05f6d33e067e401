"""Pairs in WebDataset tars: the files of one record stand together and share the name up to the first dot.

    KEY.json           {"id", "split", "category", "subcategory", "prompt", "provenance"}
    KEY.ref_image.png  KEY.ref_mask.png  KEY.tar_image.jpg  KEY.tar_mask.png

Of an edit that a sentence asks for there are also KEY.src_image.png, perhaps KEY.src_mask.png, "task" and "keyword".
Shards are `SPLIT-00000.tar`. KEY is made of the id (`get_stem`), so no two records of a split share one. A tar's bytes
are a function of its records alone: no times, no owners, one order.
"""

from __future__ import annotations

import glob
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import IO, Any

from a2cli.curation.layouts.records import (
    Failure,
    Found,
    Listed,
    Record,
    Texts,
    build_failure,
    get_stem,
    load_pictures,
)
from a2cli.curation.layouts.tables import get_shard_split
from a2cli.data.instructed import INSTRUCTION_TEXTS, SOURCE_PICTURES
from a2cli.data.records import BadRecord
from a2cli.data.rows import MEND
from a2cli.data.shards import TEXTS
from a2cli.errors import DataError
from a2cli.files import show_name, write_bytes

MEMBER_BYTES = 1 << 30
RETAR = "write the tar again, without links and devices"


def list_tars(path: str) -> list[Path]:
    """Tars by name: in a folder, a single one, or those of a pattern; none if there are none."""
    place = Path(path).expanduser()
    if place.is_dir():
        return sorted(file for file in place.glob("*.tar") if file.is_file())
    found = [place] if place.is_file() else [Path(name) for name in glob.glob(str(place), recursive=True)]
    return sorted(file for file in found if file.suffix == ".tar" and file.is_file())


def read_webdataset(path: str, split: str | None) -> Iterator[Listed]:
    """List the records of all tars in order; a damaged tar gives what stands before the damage, and a failure."""
    for file in list_tars(path):
        try:
            with open(file, "rb") as stream:
                for item in _read_tar(file, stream):
                    if isinstance(item, Failure) or split in (None, item.texts.split):
                        yield item
        except (tarfile.TarError, OSError, EOFError) as error:
            cause = DataError(
                f"{show_name(str(file))}: the tar cannot be read on: {error}", hint="get the file again"
            )
            yield build_failure(cause, id=file.name)


def _read_tar(file: Path, stream: IO[bytes]) -> Iterator[Listed]:
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        members = (member for member in tar if not member.isdir())
        for key, group in groupby(members, key=lambda member: _split_name(member.name)[0]):
            yield _build_found(file, key, {m.name: _read_member(tar, m) for m in group})
        if stream.seek(0, io.SEEK_END) < tar.offset + tarfile.BLOCKSIZE:  # every tar ends in blocks of zeros
            raise tarfile.ReadError("it ends too soon")


def _split_name(name: str) -> tuple[str, str]:
    """A member's key and the rest of its name: "a/b.ref_image.png" -> "a/b", "ref_image.png"."""
    start = name.rfind("/") + 1
    stem, _, rest = name[start:].partition(".")
    return name[:start] + stem, rest


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | DataError:
    """A member's bytes, or why they are not read."""
    place = PurePosixPath(member.name)
    if place.is_absolute() or ".." in place.parts:
        return DataError(f"{show_name(member.name)} leads out of the tar", hint=RETAR)
    if not member.isreg() or member.issparse() or member.size > MEMBER_BYTES:
        return DataError(f"{show_name(member.name)} is not a regular file of at most 1 GiB", hint=RETAR)
    opened = tar.extractfile(member)
    data = opened.read() if opened else b""
    if len(data) < member.size:
        raise tarfile.ReadError(f"it ends within {show_name(member.name)}")
    return data


def _build_found(file: Path, key: str, members: Mapping[str, bytes | DataError]) -> Listed:
    where = f"{file}: {key}"
    named: dict[str, bytes] = {}
    try:
        for name, data in members.items():
            if isinstance(data, DataError):
                raise DataError(f"{show_name(where)}: {data.message}", hint=data.hint)
            named[_split_name(name)[1]] = data
        texts = _parse_texts(where, named.get("json"), key, get_shard_split(file.name))
    except DataError as error:
        return build_failure(error, id=key)
    there = {rest.split(".")[0] for rest in named} & set(SOURCE_PICTURES)
    return Found(texts, partial(load_pictures, texts, where, partial(_get_member, where, named), there))


def _parse_texts(where: str, data: bytes | None, key: str, split: str) -> Texts:
    if data is None:
        raise DataError(f"{show_name(where)}: no {show_name(key)}.json with its texts", hint=MEND)
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{show_name(where)}: its json is not JSON: {error}", hint=MEND) from error
    if not isinstance(value, dict):
        raise DataError(f"{show_name(where)}: its json is not an object", hint=MEND)
    names = (*TEXTS, *INSTRUCTION_TEXTS)
    said = {name: value[name] for name in names if isinstance(value.get(name), str) and value[name]}
    return Texts(**{"id": key, "split": split, **said})


def _get_member(where: str, named: Mapping[str, bytes], column: str) -> bytes:
    found = [data for rest, data in named.items() if rest.split(".")[0] == column]
    if len(found) != 1:
        cause = "no picture" if not found else "there are several"
        raise BadRecord(f"{show_name(where)}: {column}: {cause}", hint=MEND)
    return found[0]


def write_tar(folder: Path, number: int, split: str, records: list[Record]) -> Path:
    """Write `SPLIT-00000.tar`, whole or not at all. Raises `DataError` when it cannot be written."""
    path = folder / f"{split}-{number:05d}.tar"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for record in records:
            key = get_stem(record.texts.id)
            texts = record.get_texts()
            said = {name: texts[name] for name in (*TEXTS, *INSTRUCTION_TEXTS) if name in texts}
            _add_member(tar, f"{key}.json", json.dumps(said).encode())
            for column, picture in record.pictures.items():
                _add_member(tar, f"{key}.{column}{picture.suffix}", picture.data)
    write_bytes(buffer.getvalue(), path)
    return path


def _add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # its time, owner and group are 0 and nameless
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
