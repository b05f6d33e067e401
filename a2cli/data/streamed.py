"""Pairs of a data set that is read from its start, in place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import count as count_up
from typing import Any

import numpy as np

from a2cli.data.calls import explain
from a2cli.data.order import shuffle_stream
from a2cli.data.records import BadRecord, Pair
from a2cli.data.source import PairSource
from a2cli.data.tables import Stream
from a2cli.errors import DataError
from a2cli.files import show_name


class StreamedSource(PairSource):
    """A stream's records, shuffled by a buffer anew every epoch; samples are best read with rising numbers.

    Every process reads the whole stream and decodes its own samples alone, so the number of workers changes nothing.
    A number below those read last starts the stream again, and so does a worker process, whether it got the source
    by fork or pickled.
    """

    _rows: Iterator[Mapping[str, Any]]
    _next: int  # number of the row that `_rows` gives next
    _recent: dict[int, Pair | BadRecord]
    _process: int  # the one `_rows` was opened in

    def __init__(self, stream: Stream, *, buffer: int, seed: int) -> None:
        super().__init__()
        self.stream, self.buffer, self.seed, self.count = stream, buffer, seed, stream.count
        self._restart()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": iter(()), "_process": 0}

    def read(self, index: int) -> Pair:
        """Read sample `index`; the records before it are passed over undecoded."""
        gone = index < self._next and index not in self._recent
        if self._process != os.getpid() or gone:
            self._restart()
        if index not in self._recent:
            self._remember(index, self._pass_over_to(index))
        found = self._recent[index]
        if isinstance(found, BadRecord):
            raise found
        return found

    def at_once(self) -> StreamedSource:
        """The same stream without a buffer to be filled first."""
        return StreamedSource(self.stream, buffer=1, seed=self.seed)

    def _pass_over_to(self, index: int) -> Mapping[str, Any]:
        try:
            while True:
                row = next(self._rows)
                self._next += 1
                if self._next > index:
                    return row
        except DataError:
            self._process = 0  # what raised is used up: whoever asks again starts again
            raise

    def _remember(self, index: int, row: Mapping[str, Any]) -> None:
        """Keep the last pair and the bad records just before it: the next samples may have to ask for it again."""
        if not isinstance(self._recent.get(index - 1), BadRecord):
            self._recent.clear()
        try:
            self._recent[index] = self.stream.reader.read(row)
        except BadRecord as error:
            self._recent[index] = error

    def _restart(self) -> None:
        self._process = os.getpid()
        self._rows = self._iterate()
        self._next = 0
        self._recent = {}

    def _iterate(self) -> Iterator[Mapping[str, Any]]:
        for epoch in count_up():
            row = None
            for row in shuffle_stream(self._read_rows(epoch), self.buffer, self.seed, epoch):
                yield row
            if row is None:
                raise DataError(
                    f"{show_name(self.stream.reader.where)}: no records", hint="check the data set"
                )

    def _read_rows(self, epoch: int) -> Iterator[Mapping[str, Any]]:
        """Rows of one epoch, the order of the shards shuffled.

        The buffer is a2's own: that of `datasets` joins a column's pictures in one Arrow array, which ends at 2 GiB.
        `iter`, unlike `__iter__`, does not share the rows out among a loader's workers.
        """
        order = np.random.default_rng([self.seed, epoch])
        rows = self.stream.rows.shuffle(generator=order, buffer_size=1, max_buffer_input_shards=1)
        try:
            for batch in rows.iter(batch_size=1):
                yield {name: values[0] for name, values in batch.items()}
        except Exception as error:  # as in `tables`: a shard may turn out damaged, a connection break
            raise explain(error, self.stream.reader.where) from error
