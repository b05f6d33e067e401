"""Counts against pairs that are known, from every layout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_pairs import make_pair, write_clean, write_imagefolder

from a2cli.cli import main
from a2cli.curation.stats import OTHERS, UNKNOWN, build_histogram, count_dataset
from a2cli.data.provenance import Provenance, Rights
from a2cli.data.rows import PICTURES
from a2cli.data.shards import build_row, write_parquet


def test_counts_of_known_pairs(tmp_path: Path) -> None:
    pairs = [make_pair(number) for number in range(10)]
    rights = Rights("elsewhere", licence="CC-BY-4.0")
    pairs[0] = replace(pairs[0], provenance=Provenance(rights, "one", generated={"model": "m"}).to_text())
    pairs[8] = replace(pairs[8], provenance=Provenance(rights, "one").to_text())
    pairs[1] = replace(pairs[1], provenance="", subcategory="")
    write_parquet(tmp_path / "in", pairs, split="train", shard_size=4)
    write_parquet(tmp_path / "in", [make_pair(3, "test")], split="test")
    found = count_dataset(str(tmp_path / "in"))
    assert (found.records, found.bad, found.groups, found.ungrouped, found.generated) == (11, 0, 9, 1, 1)
    assert found.splits == {"train": 10, "test": 1}
    assert found.categories["train"]["garments"] == 2 and found.categories["test"] == {"plants": 1}
    assert found.subcategories["portraits"] == {UNKNOWN: 1, "kind 0": 1}
    assert found.licences == {"CC0-1.0": 8, "CC-BY-4.0": 2, UNKNOWN: 1}
    assert found.sources == {"a folder": 8, "elsewhere": 2, UNKNOWN: 1}
    every = [*pairs, make_pair(3, "test")]
    sizes = [sum(len(build_row(pair, "x")[name]["bytes"]) for name in PICTURES) for pair in every]
    assert found.bytes == sum(sizes)
    shares = [float(pair.tar_mask.mean()) for pair in every]
    assert found.tar_share.quartiles == pytest.approx(np.quantile(shares, (0, 0.25, 0.5, 0.75, 1)))
    assert found.ref_side.quartiles == (48, 48, 48, 48, 48) and found.tar_aspect.quartiles is not None
    assert found.tar_aspect.quartiles[2] == 80 / 64
    assert found.ref_box_aspect.quartiles == pytest.approx([20 / 32] * 5)
    for histogram in (found.tar_share, found.ref_side, found.tar_box_aspect):
        assert sum(histogram.counts) == 11 and len(histogram.counts) == len(histogram.edges)
    assert json.loads(json.dumps(found.to_dict()))["categories"]["test"] == {"plants": 1}
    assert count_dataset(str(tmp_path / "in"), "test").records == 1


def test_bad_records_are_counted_apart(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "in", [make_pair(number) for number in range(6)])
    for number in (1, 4):
        (folder / f"train-00{number}.tar_image.png").write_bytes(b"text")
    steps: list[tuple[int, int]] = []
    found = count_dataset(str(folder), progress=lambda *step: steps.append(step))
    assert (found.records, found.bad) == (4, 2) and sum(found.tar_side.counts) == 4
    assert "record train-001: tar_image" in found.messages[0] and len(found.messages) == 2
    assert steps == [(done, 6) for done in range(1, 7)]


def test_a_data_set_of_which_nothing_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_imagefolder(tmp_path / "in", [make_pair(number) for number in range(2)])
    for picture in folder.glob("*.tar_mask.png"):
        picture.write_bytes(b"text")
    (tmp_path / "text.parquet").write_text("words")
    for path in (folder, tmp_path / "text.parquet"):
        page = tmp_path / "page.html"
        assert main(["dataset", "stats", str(path), "--html", str(page)]) == 2
        said = f"a2: {path}: no record can be used (a2 dataset validate says why)\n"
        assert capsys.readouterr() == ("", said) and not page.exists()


def test_a_file_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    folder = write_clean(tmp_path / "in", 8, 4)
    (folder / "text.parquet").write_text("words")
    found = count_dataset(str(folder))
    assert (found.records, found.bad) == (12, 1) and found.messages[0].count("text.parquet") == 1
    assert found.messages[0].startswith(f"{folder}/text.parquet: cannot be read: ")
    assert found.messages[0].endswith(" (mend or remove the file)")


def test_many_sources_are_cut_to_the_largest(tmp_path: Path) -> None:
    names = [f"source {number % 60}" for number in range(62)]
    pairs = [make_pair(n, provenance=Provenance(Rights(name)).to_text()) for n, name in enumerate(names)]
    found = count_dataset(str(write_imagefolder(tmp_path / "in", pairs)))
    assert len(found.sources) == 51 and found.sources[OTHERS] == 10
    assert list(found.sources.items())[:3] == [("source 0", 2), ("source 1", 2), ("source 10", 1)]


def test_a_histogram_counts_every_value_once() -> None:
    found = build_histogram([0.0, 0.5, 1.0, 1.0, 7.0], (0.0, 0.5, 1.0))
    assert found.counts == (1, 1, 3) and found.quartiles == (0.0, 0.5, 1.0, 1.0, 7.0)
    assert (
        build_histogram([], (0.0, 1.0)).counts == (0, 0) and build_histogram([], (0.0, 1.0)).quartiles is None
    )


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(write_clean(tmp_path / "in", 8, 4))
    assert main(["dataset", "stats", folder, "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == count_dataset(folder).to_dict() | {
        name: json.loads(json.dumps(value)) for name, value in count_dataset(folder).to_dict().items()
    }
    page = tmp_path / "page.html"
    assert main(["dataset", "stats", folder, "--html", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "records\t12" in lines and "garments\t1\t1" in lines and "CC0-1.0\t12" in lines
    assert any(line.startswith("tar share\t") for line in lines)
    assert page.read_text().startswith("<!doctype html>") or page.read_text().startswith("<!DOCTYPE html>")
