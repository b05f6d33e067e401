"""Move pairs from one layout to another: every record opened once, pictures' bytes kept where they are sound."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from a2cli.config.suggest import get_suggestion
from a2cli.curation.layouts.detect import READERS, WRITERS, check_layout, detect_layout
from a2cli.curation.layouts.records import (
    Failure,
    Found,
    Listed,
    Record,
    Texts,
    Written,
    build_failure,
)
from a2cli.curation.layouts.viton_hd import read_viton_hd
from a2cli.curation.target import check_target, fill_target
from a2cli.data.shards import check_split_name
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.files import show_name, write_bytes

FAILURES = "failures.jsonl"
Progress = Callable[[int], None]


@dataclass(frozen=True)
class ConvertConfig:
    """What to read and what to write. `read` is a layout's name or "auto", `write` one that can be written.

    `split` and `category` choose records, then `limit` the first of them. `shard_size` records make a shard.
    `unpaired` takes VITON-HD's pairs as its file lists them.
    """

    source: str
    out: Path
    read: str = "auto"
    write: str = "parquet"
    split: str | None = None
    category: str | None = None
    limit: int | None = None
    shard_size: int = 128
    unpaired: bool = False

    def __post_init__(self) -> None:
        if self.read != "auto" and self.read not in READERS:
            raise ConfigError(
                f"--from {self.read!r} is unknown", hint=get_suggestion(self.read, ["auto", *READERS])
            )
        if self.write not in WRITERS:
            if self.write in READERS:
                raise ConfigError(f"{self.write} is read, not written", hint="--to " + ", ".join(WRITERS))
            raise ConfigError(f"--to {self.write!r} is unknown", hint=get_suggestion(self.write, WRITERS))
        for name, value in (("--limit", self.limit), ("--shard-size", self.shard_size)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be 1 or more, not {value}")
        if self.split is not None:
            check_split_name(self.split)


def convert(
    config: ConvertConfig, progress: Progress | None = None
) -> Generator[Written | Failure, None, None]:
    """Convert a data set; yields each file when it is complete, and each record that was left out, in order.

    A record that cannot be used is a failure, listed in OUT/failures.jsonl, and the rest goes on. Raises `A2Error`
    before anything is written for what cannot be meant, and `DataError` when no record at all could be written.
    """
    listed = _open_source(config)
    check_target(config.out, config.source, may_hold=(FAILURES,))
    with fill_target(config.out, config.source, may_hold=(FAILURES,)):
        failures: list[Failure] = []
        written = 0
        try:
            for outcome in _run(config, listed, progress):
                if isinstance(outcome, Failure):
                    failures.append(outcome)
                else:
                    written += outcome.records
                yield outcome
        finally:  # also after an interrupt, what failed until then is told
            _write_failures(config.out, failures)
    if not written:
        raise _get_nothing_error(config, len(failures))


def _open_source(config: ConvertConfig) -> Iterator[Listed]:
    name = detect_layout(config.source) if config.read == "auto" else config.read
    if config.unpaired and name != "viton-hd":
        raise ConfigError(f"--unpaired is for viton-hd, this is {name}")
    check_layout(config.source, name)
    if name == "viton-hd":
        return read_viton_hd(config.source, config.split, unpaired=config.unpaired)
    return READERS[name](config.source, config.split)


def _run(
    config: ConvertConfig, listed: Iterator[Listed], progress: Progress | None
) -> Iterator[Written | Failure]:
    writer = WRITERS[config.write](config.out, config.shard_size)
    seen: set[tuple[str, str]] = set()
    chosen = (item for item in listed if _is_chosen(item, config.category))
    for done, item in enumerate(_take(chosen, config.limit), start=1):
        outcome = item if isinstance(item, Failure) else _load(item, seen)
        if isinstance(outcome, Failure):
            yield outcome
        else:
            seen.add((outcome.texts.split, outcome.texts.id))
            yield from writer.add(outcome)
        if progress:
            progress(done)
    yield from writer.close()


def _is_chosen(item: Listed, category: str | None) -> bool:
    return category is None or isinstance(item, Failure) or item.texts.category == category


def _take(items: Iterator[Listed], limit: int | None) -> Iterator[Listed]:
    """Up to `limit` records, and the failures that stand before the last of them."""
    if limit is None:
        yield from items
        return
    count = 0
    for item in items:
        yield item
        count += isinstance(item, Found)
        if count == limit:
            return


def _load(found: Found, seen: set[tuple[str, str]]) -> Record | Failure:
    texts = found.texts
    try:
        _check_texts(texts)
    except A2Error as error:
        return build_failure(error, texts.id, reason="its texts cannot be used")
    if (texts.split, texts.id) in seen:
        twice = DataError(
            f"record {show_name(texts.id)}: its id stands twice", hint="records need ids of their own"
        )
        return build_failure(twice, texts.id, reason="an id that stands twice")
    try:
        return Record(texts, found.load())
    except DataError as error:
        return build_failure(error, texts.id, reason="its pictures cannot be used")


def _check_texts(texts: Texts) -> None:
    if not texts.id:
        raise DataError("a record without an id", hint="give it one")
    check_split_name(texts.split)
    try:
        "".join(astuple(texts)).encode()
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise DataError(
            f"record {show_name(texts.id)}: its texts are no text", hint="mend the record"
        ) from error


def _write_failures(folder: Path, failures: list[Failure]) -> None:
    if failures:
        rows = "".join(json.dumps(failure.to_dict()) + "\n" for failure in failures)
        write_bytes(rows.encode(), folder / FAILURES)


def _get_nothing_error(config: ConvertConfig, failed: int) -> DataError:
    where = show_name(config.source)
    if failed:
        return DataError(f"{where}: none of its records can be used", hint=f"see {config.out / FAILURES}")
    if config.category is not None and config.category not in CATEGORIES:
        hint = get_suggestion(config.category, CATEGORIES)
        return DataError(f"{where}: no record of category {config.category!r}", hint=hint)
    chosen = " ".join(word for word in (config.split, config.category) if word)
    return DataError(f"{where}: no {chosen + ' ' if chosen else ''}records", hint="check the data set")
