"""In which order a run sees its records, and at which size: pure functions of numbers and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeVar

import numpy as np

from a2cli.errors import ConfigError

_T = TypeVar("_T")
_STREAM = 23  # sets this use of a run's seed apart from its others
AREA_SLACK = 0.1  # relative difference in area up to which a bucket stands beside the square


@lru_cache(maxsize=2)
def get_permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of one epoch: (count,) int64, each record number once, read-only.

    The last two are kept: a run is within one epoch or between two.
    """
    order = _get_rng(seed, epoch).permutation(count)
    order.flags.writeable = False
    return order


def shuffle_stream(rows: Iterable[_T], buffer: int, seed: int, epoch: int) -> Iterator[_T]:
    """Yield every row once, each drawn from the `buffer` that lie ready: an order for what has no numbers."""
    rng = _get_rng(seed, epoch)
    waiting: list[_T] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) >= buffer:
            yield _take(waiting, rng)
    while waiting:
        yield _take(waiting, rng)


def get_buckets(resolution: int, token_px: int, max_aspect: float = 2.0) -> tuple[tuple[int, int], ...]:
    """Working sizes (h, w) in px, from wide to tall: the square, and other shapes of nearly its area.

    Sides are multiples of `token_px`, h / w lies in [1 / max_aspect, max_aspect], areas within 10 % of
    resolution^2. A multiple of the backbone's token side as `token_px` gives fewer buckets. Raises `ConfigError` for a
    resolution that is no multiple of `token_px` and for `max_aspect` below 1.
    """
    if token_px < 1 or resolution < token_px or resolution % token_px:
        raise ConfigError(f"resolution {resolution}: buckets need a multiple of {token_px}")
    if max_aspect < 1:
        raise ConfigError(f"max_aspect must be 1 or more, not {max_aspect}")
    side = resolution // token_px
    shapes = set()
    for short in range(1, side + 1):
        long = round(side * side / short)
        near = abs(short * long - side * side) <= AREA_SLACK * side * side
        if near and long <= max_aspect * short:
            shapes |= {(short, long), (long, short)}
    return tuple(
        (h * token_px, w * token_px) for h, w in sorted(shapes, key=lambda shape: shape[0] / shape[1])
    )


def choose_bucket(aspect: float, buckets: tuple[tuple[int, int], ...]) -> int:
    """The number of the bucket nearest to `aspect` (width over height), by the ratio of the two."""
    return int(np.argmin([abs(np.log(aspect * h / w)) for h, w in buckets]))


def order_by_bucket(bucket_of_record: np.ndarray, batch: int, seed: int, epoch: int) -> np.ndarray:
    """The order of one epoch in which micro-batches share a bucket: (n,) record numbers, each once.

    `bucket_of_record` (n,) int. Micro-batches are `batch` samples that follow each other in the run, so one may
    begin in the epoch before: what completes it comes first, at random. Then whole micro-batches of one bucket each,
    shuffled; then what is left of the buckets, side by side, in micro-batches that mix them.
    """
    count = len(bucket_of_record)
    rng = _get_rng(seed, epoch)
    shuffled = rng.permutation(count)
    begun = -epoch * count % batch
    head, rest = shuffled[:begun], shuffled[begun:]
    whole, left = [], []
    for bucket in np.unique(bucket_of_record[rest]):
        members = rest[bucket_of_record[rest] == bucket]
        cut = len(members) // batch * batch
        whole.append(members[:cut].reshape(-1, batch))
        left.append(members[cut:])
    batches = np.concatenate(whole) if whole else np.empty((0, batch), np.int64)
    return np.concatenate([head, rng.permutation(batches).ravel(), *left])


def _get_rng(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, _STREAM, epoch])


def _take(waiting: list[_T], rng: np.random.Generator) -> _T:
    place = int(rng.integers(len(waiting)))
    waiting[place], waiting[-1] = waiting[-1], waiting[place]
    return waiting.pop()
