"""Where pairs come from: the same samples from every layout, for any number of workers, bad records replaced."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needs import needs_font
from pair_folders import Samples, get_values, is_same, make_pair, make_pairs, write_imagefolder, write_layout
from torch.utils.data import DataLoader

from a2cli.data.order import get_buckets
from a2cli.data.records import BadRecord, Pair
from a2cli.data.shards import write_parquet
from a2cli.data.source import PairSource, SourceConfig, check_source, open_source
from a2cli.data.streamed import StreamedSource
from a2cli.data.synth import SynthConfig
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import ConfigError, DataError

LAYOUTS = ["imagefolder", "parquet", "glob", "saved"]
PAIRS = make_pairs(10)
BY_ID = {pair.id: pair for pair in PAIRS}

pytestmark = pytest.mark.usefixtures("arrow_cache")


def get_ids(source: PairSource, numbers: range) -> list[str]:
    return [source.get_pair(number).id for number in numbers]


def spoil(folder: Path, number: int, part: str, data: bytes = b"\x89PNG\r\n\x1a\nrotten") -> None:
    """Damage one picture of an imagefolder."""
    (folder / f"{number:03d}.{part}.png").write_bytes(data)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("streaming", [False, True])
def test_every_layout_gives_the_pairs_that_were_written(tmp_path: Path, layout: str, streaming: bool) -> None:
    path = write_layout(layout, tmp_path / "pairs", PAIRS)
    source = open_source(SourceConfig(path=path, streaming=streaming), seed=3)
    assert source.count == 10 and source.get_size(0) is None
    epochs = [[source.get_pair(10 * epoch + i) for i in range(10)] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(pair.id for pair in epoch) == sorted(BY_ID)
        assert all(is_same(pair, BY_ID[pair.id]) for pair in epoch)
    assert len({tuple(pair.id for pair in epoch) for epoch in epochs}) == 3
    again = open_source(SourceConfig(path=path, streaming=streaming), seed=3)
    assert get_ids(again, range(12, 20)) == [pair.id for pair in epochs[1][2:]]  # as a resumed run does
    other = open_source(SourceConfig(path=path, streaming=streaming), seed=4)
    assert get_ids(other, range(20)) != [pair.id for pair in epochs[0] + epochs[1]]


def test_the_order_does_not_depend_on_the_layout(tmp_path: Path) -> None:
    orders = [
        get_ids(open_source(SourceConfig(path=write_layout(name, tmp_path / name, PAIRS)), seed=3), range(20))
        for name in LAYOUTS
    ]
    assert all(order == orders[0] for order in orders)


@pytest.mark.parametrize("layout", ["imagefolder", "parquet"])
@pytest.mark.parametrize("streaming", [False, True])
def test_worker_processes_change_nothing(tmp_path: Path, layout: str, streaming: bool) -> None:
    path = write_layout(layout, tmp_path / "pairs", PAIRS)
    source = open_source(SourceConfig(path=path, streaming=streaming, shuffle_buffer=4), seed=3)
    check_source(source)  # what is open here already must not matter to a worker
    numbers = range(1, 25, 3)
    alone = [get_values(source.get_pair(number)) for number in numbers]
    for workers in (0, 1, 2):
        loader = DataLoader(
            Samples(source, numbers), batch_size=None, num_workers=workers, timeout=60 if workers else 0
        )
        assert [get_values(pair) for pair in loader] == alone
    copy = pickle.loads(pickle.dumps(source))  # as a spawned worker gets it
    assert [get_values(copy.get_pair(number)) for number in numbers] == alone


def test_a_spawned_worker_reads_a_stream(tmp_path: Path) -> None:
    path = write_layout("parquet", tmp_path / "pairs", PAIRS)
    source = open_source(SourceConfig(path=path, streaming=True), seed=3)
    loader = DataLoader(
        Samples(source, range(6)), batch_size=None, num_workers=1, multiprocessing_context="spawn", timeout=60
    )
    assert [pair.id for pair in loader] == get_ids(source, range(6))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("streaming", [False, True])
def test_the_first_pairs_alone(tmp_path: Path, layout: str, streaming: bool) -> None:
    path = write_layout(layout, tmp_path / "pairs", PAIRS)
    source = open_source(SourceConfig(path=path, streaming=streaming, pairs=6), seed=0)
    assert source.count == 6
    for epoch in range(2):
        ids = get_ids(source, range(6 * epoch, 6 * epoch + 6))
        assert sorted(ids) == [pair.id for pair in PAIRS[:6]]
    assert open_source(SourceConfig(path=path, streaming=streaming, pairs=99), seed=0).count == 10


@pytest.mark.parametrize("streaming", [False, True])
def test_a_bad_record_is_replaced_by_the_next_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, streaming: bool
) -> None:
    whole, folder = (write_imagefolder(tmp_path / name, PAIRS) for name in ("whole", "damaged"))
    spoil(folder, 4, "tar_image")
    spoil(folder, 7, "ref_mask", b"")
    config = SourceConfig(path=str(whole), streaming=streaming)
    ids = get_ids(open_source(config, seed=3), range(40))
    expected = list(ids)
    for place in reversed(range(40)):
        if ids[place] in ("train-004", "train-007"):
            expected[place] = expected[place + 1] if place < 39 else "?"
    source = open_source(replace(config, path=str(folder)), seed=3)
    with caplog.at_level(logging.WARNING, "a2cli"):
        assert get_ids(source, range(39)) == expected[:39]
    assert len(caplog.messages) == 2
    assert any(
        "record train-004: tar_image" in m and "004.tar_image.png" in m and "damaged" in m
        for m in caplog.messages
    )
    assert any("record train-007: ref_mask" in m and "empty" in m for m in caplog.messages)


def test_neighbouring_bad_records_do_not_start_a_stream_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, folder = (write_imagefolder(tmp_path / name, PAIRS) for name in ("whole", "damaged"))
    ids = get_ids(open_source(SourceConfig(path=str(whole), streaming=True), seed=3), range(10))
    for name in ids[3:7]:
        spoil(folder, int(name[-3:]), "tar_image")
    source = open_source(SourceConfig(path=str(folder), streaming=True), seed=3)
    starts: list[int] = []
    read_rows = StreamedSource._read_rows
    monkeypatch.setattr(
        StreamedSource, "_read_rows", lambda self, epoch: starts.append(epoch) or read_rows(self, epoch)
    )
    numbers = [0, 2, 3, 3, 4, 5, 6, 7, 7, 9]
    assert [source.get_pair(n).id for n in numbers] == [ids[7 if 3 <= n <= 7 else n] for n in numbers]
    assert starts == [0]
    assert source.get_pair(1).id == ids[1] and starts == [0, 0]  # back again: from the start


def test_many_bad_records_in_a_row_are_an_error(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", PAIRS)
    for number in range(10):
        spoil(folder, number, "tar_mask")
    source = open_source(SourceConfig(path=str(folder)), seed=3)
    with pytest.raises(DataError, match=r"32 records in a row cannot be used, the last: .*tar_mask"):
        source.get_pair(0)
    with pytest.raises(DataError, match="none of the first 8 records"):
        check_source(source)
    with pytest.raises(ConfigError, match="none before 0"):
        source.get_pair(-1)


def test_what_is_wrong_with_a_pair_is_named(tmp_path: Path) -> None:
    shape, blank = (20, 28), np.zeros((20, 28), bool)
    bad = [
        replace(make_pair(0), tar_mask=np.ones((10, 10), bool)),
        replace(make_pair(1), tar_mask=blank),
        replace(make_pair(2), ref_mask=np.zeros((16, 18), bool)),
    ]
    write_parquet(tmp_path, [*bad, make_pair(3)], split="train")
    source = open_source(SourceConfig(path=str(tmp_path)), seed=0)
    found = {}
    for index in range(4):
        try:
            assert source.read(index).tar_mask.shape == shape
        except BadRecord as error:
            found[str(error).split("record ")[1].split(":")[0]] = str(error)
    assert "tar_mask: mask: the mask is 10 x 10, the source is 28 x 20" in found["train-000"]
    assert "tar_mask: it marks nothing" in found["train-001"]
    assert "ref_mask: it marks nothing" in found["train-002"]
    assert len(found) == 3 and all(str(tmp_path) in message for message in found.values())


def test_a_look_at_a_source_counts_and_lists(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", make_pairs(5))
    spoil(folder, 2, "tar_image")
    report = check_source(open_source(SourceConfig(path=str(folder)), seed=0), limit=99)
    assert (report.count, report.opened) == (5, 5)
    assert report.categories == {"animals": 2, "plants": 2}
    assert len(report.bad) == 1 and "train-002" in report.bad[0]
    assert check_source(open_source(SourceConfig(path=str(folder)), seed=0), limit=2).opened == 2


def test_a_look_at_a_stream_reads_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_layout("parquet", tmp_path / "pairs", PAIRS)
    read: list[str] = []
    read_rows = StreamedSource._read_rows

    def note(self: StreamedSource, epoch: int) -> Iterator[Mapping[str, Any]]:
        for row in read_rows(self, epoch):
            read.append(row["id"])
            yield row

    monkeypatch.setattr(StreamedSource, "_read_rows", note)
    report = check_source(open_source(SourceConfig(path=path, streaming=True), seed=0), limit=3)
    assert (report.count, report.opened, len(read)) == (10, 3, 3)


def test_masks_and_pictures_are_read_as_everywhere(tmp_path: Path) -> None:
    """16 bits, a turned photo, a soft mask and one with 0 and 1: what `open_photo` and `read_mask` make of them."""
    from PIL import Image

    folder = write_imagefolder(tmp_path / "pairs", [make_pair(0)])
    pair = make_pair(0)
    tar = Image.fromarray(np.ascontiguousarray(np.rot90(pair.tar_rgb)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    tar.save(folder / "000.tar_image.png", exif=exif)
    soft = np.where(pair.tar_mask, 140, 110).astype(np.uint16) * 257
    Image.fromarray(soft).save(folder / "000.tar_mask.png")
    Image.fromarray(pair.ref_mask.astype(np.uint8)).save(folder / "000.ref_mask.png")
    assert is_same(open_source(SourceConfig(path=str(folder)), seed=0).get_pair(0), pair)


def test_micro_batches_share_the_shape_of_their_masks(tmp_path: Path) -> None:
    path = write_layout("parquet", tmp_path / "pairs", make_pairs(24))
    buckets = get_buckets(128, 16)
    seen: list[tuple[int, int]] = []
    source = open_source(
        SourceConfig(path=path),
        seed=1,
        batch=4,
        buckets=buckets,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 24) for done in range(1, 25)]
    shapes = {"animals": (128, 128), "plants": (96, 176), "vehicles": (176, 96)}
    for index in range(72):
        assert source.get_size(index) == shapes[source.get_pair(index).category]  # 8 records of each
    assert sorted(get_ids(source, range(24, 48))) == [pair.id for pair in make_pairs(24)]
    copy = pickle.loads(pickle.dumps(source))
    assert get_ids(copy, range(8)) == get_ids(source, range(8)) and copy.get_size(5) == source.get_size(5)


def test_a_mask_that_cannot_be_read_counts_as_a_square(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", make_pairs(4))
    spoil(folder, 1, "tar_mask")
    source = open_source(SourceConfig(path=str(folder)), seed=1, batch=1, buckets=get_buckets(128, 16))
    sizes = {source.get_size(i) for i in range(4)}
    assert sizes == {(128, 128), (176, 96)}  # none is wide but the damaged one


def test_settings_are_checked() -> None:
    for wrong in ({"path": ""}, {"pairs": 0}, {"shuffle_buffer": 0}, {"streaming": True}):
        with pytest.raises(ConfigError):
            SourceConfig(**wrong)  # type: ignore[arg-type]
    for config in (SourceConfig(), SourceConfig(path="somewhere", streaming=True)):
        with pytest.raises(ConfigError, match="aspect buckets need pairs on disk"):
            open_source(config, seed=0, buckets=get_buckets(128, 16))


def test_synthesised_pairs_are_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int, str, int]] = []

    def note(
        index: int, *, seed: int, split: str, config: SynthConfig, category: str, others: tuple[str, ...]
    ) -> Pair:
        assert category == CATEGORIES[index % 8] and others == CATEGORIES
        made.append((index, seed, split, config.size))
        return make_pair(index)

    monkeypatch.setattr("a2cli.data.source.synthesise", note)
    endless = open_source(SourceConfig(synth=SynthConfig(size=64)), seed=5)
    assert endless.count is None and endless.get_pair(1000).id == "train-1000"
    few = open_source(SourceConfig(pairs=16, split="test"), seed=6)
    assert few.count == 16 and few.get_pair(35).id == "train-003"
    assert made == [(1000, 5, "train", 64), (3, 6, "test", 128)]
    assert check_source(few, limit=99).opened == 16


@pytest.mark.parametrize("layout", LAYOUTS)
def test_categories_that_are_held_out_come_in_no_sample(tmp_path: Path, layout: str) -> None:
    path = write_layout(layout, tmp_path / "pairs", PAIRS)
    source = open_source(SourceConfig(path=path, hold_out=("plants",)), seed=3)
    kept = {pair.id for pair in PAIRS if pair.category != "plants"}
    assert source.count == len(kept) < 10
    assert set(get_ids(source, range(2 * len(kept)))) == kept
    few = open_source(SourceConfig(path=path, hold_out=("plants", "animals"), pairs=2), seed=3)
    assert set(get_ids(few, range(4))) == {"train-002", "train-005"}  # the first two of what is left


def test_a_category_that_is_not_there_cannot_be_held_out(tmp_path: Path) -> None:
    path = write_layout("imagefolder", tmp_path / "pairs", PAIRS)
    with pytest.raises(
        ConfigError, match=r"no record is of the category 'plant' \(did you mean 'plants'\?\)"
    ):
        open_source(SourceConfig(path=path, hold_out=("plant",)), seed=3)
    with pytest.raises(ConfigError, match="no category is left"):
        open_source(SourceConfig(path=path, hold_out=("animals", "plants", "vehicles")), seed=3)
    with pytest.raises(ConfigError, match="streaming: false"):
        SourceConfig(path=path, hold_out=("plants",), streaming=True)
    with pytest.raises(ConfigError, match=r"no category is called 'garment' \(did you mean 'garments'\?\)"):
        SourceConfig(hold_out=("garment",))
    with pytest.raises(ConfigError, match="no category is left"):
        SourceConfig(hold_out=CATEGORIES)


def test_a_bad_record_is_still_told_of_beside_held_out_categories(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", PAIRS)
    with (folder / "metadata.jsonl").open("a") as file:
        file.write("no JSON\n")
    source = open_source(SourceConfig(path=str(folder), hold_out=("plants",)), seed=3)
    bad = check_source(source, limit=20).bad
    assert source.count == 8 and len(bad) == 1 and "line 11" in bad[0]


@needs_font
def test_held_out_categories_are_not_synthesised() -> None:
    synth = SynthConfig(size=32)
    held = ("garments", "accessories")
    source = open_source(SourceConfig(hold_out=held, synth=synth, pairs=12), seed=0)
    found = [source.get_pair(number).category for number in range(12)]
    assert found[:6] == [name for name in CATEGORIES if name not in held] and found[6:] == found[:6]
    assert is_same(source.get_pair(13), source.get_pair(1))
    plain = open_source(SourceConfig(synth=synth), seed=0)
    assert [plain.get_pair(number).category for number in range(8)] == list(CATEGORIES)
