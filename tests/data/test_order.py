"""Orders: every record once an epoch, a function of numbers alone; micro-batches of one shape."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from a2cli.data.order import choose_bucket, get_buckets, get_permutation, order_by_bucket, shuffle_stream
from a2cli.errors import ConfigError


def list_order(seed: int, epoch: int, count: int) -> list[int]:
    return get_permutation(seed, epoch, count).tolist()


def test_every_epoch_visits_each_record_once_in_an_order_of_its_own() -> None:
    orders = [list_order(5, epoch, 100) for epoch in range(3)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in [*orders, list_order(6, 0, 100)]}) == 4
    assert orders[0] != list(range(100))


def test_an_order_is_the_same_in_another_process_and_cannot_be_changed() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(list_order, 5, 7, 50).result() == list_order(5, 7, 50)
    with pytest.raises(ValueError, match="read-only"):
        get_permutation(5, 7, 50)[0] = 1
    assert get_permutation(5, 7, 50) is get_permutation(5, 7, 50)


@pytest.mark.parametrize("buffer", [1, 10, 1000])
def test_a_shuffled_stream_holds_every_row_once(buffer: int) -> None:
    rows = list(shuffle_stream(range(100), buffer, 3, 0))
    assert sorted(rows) == list(range(100)) and (rows == list(range(100))) == (buffer == 1)
    assert rows == list(shuffle_stream(range(100), buffer, 3, 0))
    assert buffer == 1 or rows != list(shuffle_stream(range(100), buffer, 3, 1))
    assert all(row < place + buffer for place, row in enumerate(rows))  # none comes before it was read


def test_a_stream_is_read_no_further_than_the_buffer() -> None:
    source = iter(range(100))
    shuffled = shuffle_stream(source, 10, 3, 0)
    next(shuffled)
    assert next(source) == 10


@pytest.mark.parametrize(
    ("resolution", "token_px", "max_aspect"), [(128, 16, 2), (512, 16, 2), (1024, 64, 3)]
)
def test_buckets_keep_area_and_come_in_both_directions(
    resolution: int, token_px: int, max_aspect: float
) -> None:
    buckets = get_buckets(resolution, token_px, max_aspect)
    assert (resolution, resolution) in buckets and len(buckets) >= 5
    assert {(w, h) for h, w in buckets} == set(buckets)
    for h, w in buckets:
        assert h % token_px == 0 and w % token_px == 0
        assert abs(h * w / resolution**2 - 1) <= 0.1
        assert 1 / max_aspect <= h / w <= max_aspect
    assert [h / w for h, w in buckets] == sorted({h / w for h, w in buckets})


def test_buckets_of_a_nano() -> None:
    assert get_buckets(128, 16) == ((96, 176), (112, 144), (128, 128), (144, 112), (176, 96))
    assert get_buckets(128, 16, max_aspect=1) == ((128, 128),)
    for wrong in ((120, 16, 2.0), (128, 16, 0.5), (0, 16, 2.0)):
        with pytest.raises(ConfigError):
            get_buckets(*wrong)


def test_the_bucket_is_the_nearest_by_ratio() -> None:
    buckets = get_buckets(128, 16)
    assert [choose_bucket(w / h, buckets) for h, w in buckets] == list(range(5))
    assert buckets[choose_bucket(1.05, buckets)] == (128, 128)
    assert buckets[choose_bucket(100, buckets)] == (96, 176)  # wide things get a wide bucket
    assert buckets[choose_bucket(0.01, buckets)] == (176, 96)
    assert choose_bucket(0.5, buckets) == 4 - choose_bucket(2.0, buckets)


@pytest.mark.parametrize("count", [1, 7, 200])
@pytest.mark.parametrize("batch", [1, 4, 16])
def test_bucketed_orders_hold_each_record_once_and_micro_batches_one_bucket(count: int, batch: int) -> None:
    bucket_of_record = np.random.default_rng(0).integers(0, 5, count)
    run = [order_by_bucket(bucket_of_record, batch, 9, epoch) for epoch in range(4)]
    assert all(sorted(order) == list(range(count)) for order in run)
    samples = np.concatenate(run)
    whole = samples[: len(samples) // batch * batch].reshape(-1, batch)
    mixed = sum(len(set(bucket_of_record[row])) > 1 for row in whole)
    # what is left of five buckets, and the micro-batch an epoch may share with the one before
    assert mixed <= 4 * (5 * (batch - 1) // batch + 2)
    if count == 200:
        assert mixed <= len(whole) // 2 and (batch > 1 or mixed == 0)
        assert not np.array_equal(run[0], run[1])


def test_whole_batches_are_shuffled_and_the_rest_comes_last() -> None:
    bucket_of_record = np.repeat([0, 1, 2], [40, 42, 41])
    order = order_by_bucket(bucket_of_record, 4, seed=1, epoch=0)
    buckets = bucket_of_record[order]
    firsts = buckets[:120].reshape(-1, 4)
    assert (firsts == firsts[:, :1]).all()
    assert buckets[120:].tolist() == [1, 1, 2]
    assert not np.array_equal(firsts[:, 0], np.sort(firsts[:, 0]))


def test_a_batch_begun_in_one_epoch_is_completed_first_in_the_next() -> None:
    bucket_of_record = np.repeat([0, 1], [10, 11])  # 21 records, batches of 4: epoch 1 begins 1 into a batch
    order = order_by_bucket(bucket_of_record, 4, seed=1, epoch=1)
    whole = bucket_of_record[order[3:15]].reshape(-1, 4)
    assert (whole == whole[:, :1]).all()
