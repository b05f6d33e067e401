"""Pairs of a data set whose records can be reached in any order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from a2cli.data.order import choose_bucket, get_permutation, order_by_bucket
from a2cli.data.records import BadRecord, Pair
from a2cli.data.rows import MASK_COLUMNS
from a2cli.data.source import PairSource
from a2cli.data.tables import Table


class MappedSource(PairSource):
    """A table's records, shuffled anew every epoch; a worker process may get it by fork or pickled."""

    count: int

    def __init__(self, table: Table, *, seed: int) -> None:
        super().__init__()
        self.table, self.seed, self.count = table, seed, len(table.rows)
        self.batch = 1
        self.buckets: tuple[tuple[int, int], ...] = ()
        self.bucket_of_record = np.zeros(0, np.int64)
        self._orders: dict[int, np.ndarray] = {}

    def read(self, index: int) -> Pair:
        """Read the record that is sample `index`."""
        return self.table.reader.read(self.table.rows[self._get_number(index)])

    def get_size(self, index: int) -> tuple[int, int] | None:
        """Size of the bucket of the first sample in `index`'s micro-batch."""
        if not self.buckets:
            return None
        first = self._get_number(index - index % self.batch)
        return self.buckets[int(self.bucket_of_record[first])]

    def sort_into(
        self,
        buckets: tuple[tuple[int, int], ...],
        batch: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Give every record the bucket nearest to its target mask's box, and let micro-batches share one.

        A record whose mask cannot be read counts as a square: it is replaced when its turn comes.
        """
        masks = self.table.rows.select_columns(MASK_COLUMNS)
        numbers = np.zeros(self.count, np.int64)
        for number in range(self.count):
            try:
                aspect = self.table.reader.read_aspect(masks[number])
            except BadRecord:
                aspect = 1.0
            numbers[number] = choose_bucket(aspect, buckets)
            if progress:
                progress(number + 1, self.count)
        self.buckets, self.batch, self.bucket_of_record = buckets, batch, numbers
        self._orders.clear()

    def _get_number(self, index: int) -> int:
        epoch, position = divmod(index, self.count)
        if not self.buckets:
            return int(get_permutation(self.seed, epoch, self.count)[position])
        if epoch not in self._orders:
            self._orders = dict(list(self._orders.items())[-1:])
            self._orders[epoch] = order_by_bucket(self.bucket_of_record, self.batch, self.seed, epoch)
        return int(self._orders[epoch][position])
