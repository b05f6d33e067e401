"""Parquet shards: what was written comes back, each file whole or absent, and `datasets` reads the folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pair_folders import is_same, make_pair, make_pairs

from a2cli.data.records import Pair
from a2cli.data.shards import write_parquet
from a2cli.data.source import SourceConfig, open_source
from a2cli.errors import ConfigError, DataError


def test_shards_and_their_counts(
    tmp_path: Path, arrow_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = [replace(pair, provenance='{"licence": "CC0"}') for pair in make_pairs(10)]
    paths = write_parquet(tmp_path / "new" / "pairs", iter(pairs), split="train", shard_size=4)
    assert [path.name for path in paths] == [f"train-{i:05d}.parquet" for i in range(3)]
    assert capfd.readouterr() == ("", "")
    counts = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    assert [row["pairs"] for row in counts] == [4, 4, 2] and {row["split"] for row in counts} == {"train"}
    assert counts[0]["categories"] == {"animals": 2, "plants": 1, "vehicles": 1}
    assert sorted(file.name for file in paths[0].parent.iterdir()) == sorted(
        name for path in paths for name in (path.name, path.with_suffix(".json").name)
    )
    source = open_source(SourceConfig(path=str(paths[0].parent)), seed=0)
    found = sorted((source.get_pair(i) for i in range(10)), key=lambda pair: pair.id)
    assert all(map(is_same, found, pairs))


def test_datasets_reads_the_folder_as_it_is(tmp_path: Path, arrow_cache: Path) -> None:
    from datasets import load_dataset

    write_parquet(tmp_path / "pairs", make_pairs(5), split="train", shard_size=2)
    write_parquet(tmp_path / "pairs", make_pairs(3, "test"), split="test", shard_size=2)
    both = load_dataset(str(tmp_path / "pairs"))
    assert {name: len(rows) for name, rows in both.items()} == {"train": 5, "test": 3}
    assert np.array_equal(np.asarray(both["test"][1]["tar_image"]), make_pair(1).tar_rgb)
    assert both["train"][0]["ref_mask"].mode == "L"
    for split, count in (("train", 5), ("test", 3)):
        assert open_source(SourceConfig(path=str(tmp_path / "pairs"), split=split), seed=0).count == count


def test_a_run_that_ends_early_leaves_whole_shards(tmp_path: Path, arrow_cache: Path) -> None:
    def break_off() -> Iterator[Pair]:
        yield from make_pairs(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parquet(tmp_path, break_off(), split="train", shard_size=2)
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == [
        f"train-{i:05d}.parquet" for i in range(2)
    ]
    assert not list(tmp_path.glob(".*"))
    assert open_source(SourceConfig(path=str(tmp_path)), seed=0).count == 4


def test_wrong_use_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "full", make_pairs(1), split="train")
    for folder, pairs, settings, message in (
        ("full", make_pairs(1), {"split": "train"}, "already holds shards of 'train'"),
        ("a", [], {"split": "train"}, "no pairs to write"),
        ("b", [make_pair(0), make_pair(0)], {"split": "train"}, "'train-000' stands twice"),
        ("c", make_pairs(1), {"split": "../x"}, "cannot name a split"),
        ("d", make_pairs(1), {"split": "train", "shard_size": 0}, "shard_size must be 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_parquet(tmp_path / folder, pairs, **settings)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/x: cannot be made"):
        write_parquet(tmp_path / "file" / "x", make_pairs(1), split="train")
