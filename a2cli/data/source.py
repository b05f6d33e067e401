"""Where the pairs of a run come from: synthesis or a data set, as one numbered row of samples without end.

Sample `index` is a pure function of the source's settings, the seed and the index: neither worker processes nor a
resumed run change it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from a2cli.config.suggest import get_suggestion
from a2cli.data.records import BadRecord, Pair
from a2cli.data.synth import SynthConfig, synthesise
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import ConfigError, DataError

MAX_BAD = 32  # records in a row that cannot be used, after which it is the data set that is wrong


@dataclass(frozen=True)
class SourceConfig:
    """Which pairs a run sees.

    `path` is a folder with `metadata.jsonl`, parquet shards (file, folder or glob), a folder that
    `Dataset.save_to_disk` wrote, or a hub id; without one pairs are synthesised as `synth` says. `pairs` keeps the
    first so many. `hold_out` names categories of which no pair is seen (of synthesised ones as subjects; things around
    them are drawn as ever). `streaming` reads shards in place, in their order shuffled by a buffer of `shuffle_buffer`
    undecoded records, held in memory by every worker; else each pair may be reached at any time.
    """

    path: str | None = None
    split: str = "train"
    streaming: bool = False
    shuffle_buffer: int = 1000
    pairs: int | None = None
    hold_out: tuple[str, ...] = ()
    synth: SynthConfig = field(default_factory=SynthConfig)

    def __post_init__(self) -> None:
        if self.path == "":
            raise ConfigError("path is empty", hint="leave it out for synthesised pairs")
        if self.pairs is not None and self.pairs < 1:
            raise ConfigError(f"pairs must be 1 or more, not {self.pairs}")
        if self.shuffle_buffer < 1:
            raise ConfigError(f"shuffle_buffer must be 1 or more, not {self.shuffle_buffer}")
        if self.streaming and self.path is None:
            raise ConfigError("streaming needs a path", hint="synthesised pairs are made as they are needed")
        if self.streaming and self.hold_out:
            raise ConfigError(
                "hold_out needs every record's category, which a stream tells one by one",
                hint="streaming: false, or a data set that `a2 dataset split` made without them",
            )
        if self.path is None:
            get_kept_categories(self.hold_out)


class PairSource(ABC):
    """Samples of a run, numbered from 0. `count` is how many records an epoch has, None if that is unknown."""

    count: int | None

    def __init__(self) -> None:
        self._reported: set[str] = set()

    @abstractmethod
    def read(self, index: int) -> Pair:
        """Read sample `index` itself. Raises `DataError` if its record cannot be used."""

    def get_pair(self, index: int) -> Pair:
        """Read sample `index`, or the next one that can be used; a bad record is logged once in a process.

        Raises `DataError` when 32 in a row are bad, `ConfigError` for a negative index.
        """
        if index < 0:
            raise ConfigError(f"sample {index}: there are none before 0")
        for offset in range(MAX_BAD):
            try:
                return self.read(index + offset)
            except BadRecord as error:
                self._report(error)
                last = error
        raise DataError(
            f"{MAX_BAD} records in a row cannot be used, the last: {last.message}",
            hint=last.hint or "check the data set",
        )

    def get_size(self, index: int) -> tuple[int, int] | None:
        """The working size (h, w) in px of the micro-batch sample `index` is in; None without aspect buckets."""
        return None

    def at_once(self) -> PairSource:
        """These records from where none has to wait until others are read: for a look at a few."""
        return self

    def _report(self, error: DataError) -> None:
        if error.message not in self._reported:
            self._reported.add(error.message)
            logging.getLogger("a2cli").warning("%s; the next record takes its place", error.message)


class SynthSource(PairSource):
    """Synthesised pairs: as many as one asks for, or the first `pairs` again and again."""

    def __init__(self, config: SourceConfig, *, seed: int) -> None:
        super().__init__()
        self.config, self.seed, self.count = config, seed, config.pairs
        self.categories = get_kept_categories(config.hold_out)

    def read(self, index: int) -> Pair:
        """Synthesise sample `index`; the categories follow each other."""
        number = index % self.count if self.count else index
        return synthesise(
            number,
            seed=self.seed,
            split=self.config.split,
            config=self.config.synth,
            category=self.categories[number % len(self.categories)],
            others=self.categories,
        )


def get_kept_categories(hold_out: Sequence[str]) -> tuple[str, ...]:
    """UniEdit's categories but for those held out. Raises `ConfigError` for an unknown one and when none is left."""
    for name in hold_out:
        if name not in CATEGORIES:
            raise ConfigError(
                f"hold_out: no category is called {name!r}", hint=get_suggestion(name, CATEGORIES)
            )
    kept = tuple(name for name in CATEGORIES if name not in hold_out)
    if not kept:
        raise ConfigError("hold_out: no category is left", hint="keep one")
    return kept


def open_source(
    config: SourceConfig,
    *,
    seed: int,
    batch: int = 1,
    buckets: tuple[tuple[int, int], ...] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PairSource:
    """Open the pairs of a run.

    With `buckets` (see `a2cli.data.order.get_buckets`) the order keeps micro-batches of `batch` samples in one
    bucket, which takes a look at every target mask, told to `progress` as (done, total). Raises `DataError` or
    `ConfigError` with a remedy for a path that holds no pairs, a split that is not there and a missing column.
    """
    if buckets is not None and (config.path is None or config.streaming):
        raise ConfigError("aspect buckets need pairs on disk", hint="set data.path, data.streaming: false")
    if config.path is None:
        return SynthSource(config, seed=seed)
    if config.streaming:
        from a2cli.data.streamed import StreamedSource
        from a2cli.data.tables import open_stream

        stream = open_stream(config.path, config.split, config.pairs)
        return StreamedSource(stream, buffer=config.shuffle_buffer, seed=seed)
    from a2cli.data.mapped import MappedSource
    from a2cli.data.tables import open_table

    table = open_table(config.path, config.split, config.pairs, config.hold_out)
    source = MappedSource(table, seed=seed)
    if buckets is not None:
        source.sort_into(buckets, batch, progress)
    return source


@dataclass(frozen=True)
class SourceReport:
    """What a look at a source showed.

    `count` as in `PairSource`; `opened` samples were read, `categories` counts the usable ones, `bad` says what is
    wrong with the others.
    """

    count: int | None
    opened: int
    categories: dict[str, int]
    bad: tuple[str, ...]


def check_source(source: PairSource, limit: int = 8) -> SourceReport:
    """Read `limit` samples, at most one epoch: a run's first ones, a stream's without filling its buffer.

    Raises `DataError` if none can be used.
    """
    categories: Counter[str] = Counter()
    bad = []
    opened = min(limit, source.count or limit)
    source = source.at_once()
    for index in range(opened):
        try:
            categories[source.read(index).category] += 1
        except BadRecord as error:
            bad.append(str(error))
    if opened and not categories:
        raise DataError(f"none of the first {opened} records can be used: {bad[0]}")
    return SourceReport(source.count, opened, dict(categories), tuple(bad))
