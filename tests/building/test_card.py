"""The data card: counts, licences, versions; text from the data stays text; the front matter is YAML."""

from __future__ import annotations

import yaml

from a2cli.building.card import LIBRARIES, MOST_ROWS, build_card
from a2cli.building.config import BuildConfig, InputConfig
from a2cli.building.output import BuildReport
from a2cli.config.load import to_dict
from a2cli.versions import get_versions


def make_report(**changes: object) -> BuildReport:
    values: dict[str, object] = {
        "inputs": 12,
        "pairs": 5,
        "failed": 1,
        "rejects": {"permit: no licence stated": 4, "quality: blurred": 2, "read: damaged": 1},
        "dropped": {"blurred": 9},
        "categories": {"animals": 3, "plants": 2},
        "subcategories": {"animals/dog": 3},
        "licences": {"CC0-1.0": 5},
        "sources": {"<script>|x": 5},
        "seconds": {},
        "shards": ("train-00000.parquet",),
        "settings": to_dict(BuildConfig((InputConfig("videos"),), allow_licence=("CC0-1.0",))),
        "versions": get_versions(LIBRARIES),
    }
    return BuildReport(**{**values, **changes})  # type: ignore[arg-type]


def test_it_says_what_there_is() -> None:
    card = build_card(make_report(), "my_pairs", "train")
    head, body = card.removeprefix("---\n").split("---\n", 1)
    front = yaml.safe_load(head)
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "train-*.parquet"}]
    assert front["size_categories"] == ["n<1K"] and front["pretty_name"] == "my_pairs"
    assert "5 pairs of one subject seen twice, out of 12 inputs." in body
    for row in (
        "| animals | 3 |",
        "| CC0-1.0 | 5 |",
        "| permit: no licence stated | 4 |",
        "| blurred | 9 |",
        "| detect | embedded |",
        "| numpy | " + get_versions(LIBRARIES)["numpy"] + " |",
    ):
        assert row in body, row
    assert "Allowed: CC0-1.0." in body and "was not checked" not in body
    assert "<script>" not in card and "&#60;script&#62;\\|x" in body


def test_it_says_when_nothing_was_checked_or_left_out() -> None:
    settings = to_dict(BuildConfig((InputConfig("videos"),)))
    card = build_card(make_report(settings=settings, rejects={}, dropped={}), "x", "train")
    assert "the right to use the pictures was not checked" in card
    assert "## What was left out\n\nNothing." in card and "Single views" not in card


def test_long_tables_are_cut_and_say_so() -> None:
    sources = {f"place {i:03d}": i + 1 for i in range(MOST_ROWS + 7)}
    card = build_card(make_report(sources=sources), "x", "train")
    assert "| place 046 | 47 |" in card and "| place 000 |" not in card
    assert f"| 7 more | {sum(range(1, 8))} |" in card
