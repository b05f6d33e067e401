"""Governance: only what an allowed licence covers goes on, and the reject quotes the licence."""

from __future__ import annotations

import pytest

from a2cli.building.permit import Permit, get_licence_key
from a2cli.building.records import Item, Reject
from a2cli.data.provenance import Provenance, Rights, parse_provenance


def make_item(licence: str) -> Item:
    return Item("one", "group", (), rights=Rights(source="somewhere", licence=licence))


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("CC-BY-4.0", None),
        ("cc by 4.0", None),
        ("CC0-1.0", None),
        ("CC0-1.0 AND CC-BY-4.0", None),
        ("MIT OR CC0-1.0", None),
        ("MIT OR CC0-1.0 AND CC-BY-4.0", None),
        ("CC0-1.0 AND OFL-1.1", "licence CC0-1.0 AND OFL-1.1 not allowed"),
        ("CC0-1.0 AND (CC-BY-4.0 OR MIT)", "licence CC0-1.0 AND (CC-BY-4.0 OR MIT) not allowed"),
        ("CC-BY-NC-4.0", "licence CC-BY-NC-4.0 not allowed"),
        ("CC-BY-3.0", "licence CC-BY-3.0 not allowed"),
        ("", "no licence stated"),
        ("  ", "no licence stated"),
    ],
)
def test_only_allowed_licences_pass(licence: str, reason: str | None) -> None:
    item = make_item(licence)
    result = Permit(("CC-BY-4.0", "cc0-1.0"))(item)
    if reason is None:
        assert result is item
    else:
        assert result == Reject("one", "permit", reason, "somewhere")
    assert Permit(None)(item) is item


def test_versions_and_terms_are_part_of_a_licence() -> None:
    assert get_licence_key("CC BY_SA 4.0") == get_licence_key("cc-by-sa-4.0") == "cc-by-sa-4.0"


def test_provenance_survives_its_text_and_takes_any_text() -> None:
    whole = Provenance(
        Rights("a place", "a name", "CC0-1.0", "asked"),
        "the dog",
        "a.png",
        "b.png",
        {"segment": "x"},
        {"sharpness_ref": 0.5},
        {"model": "y"},
    )
    assert parse_provenance(whole.to_text()) == whole
    assert parse_provenance(Provenance().to_text()) == Provenance() == parse_provenance("")
    assert parse_provenance("a shop's catalogue").rights.source == "a shop's catalogue"
    assert parse_provenance('{"license": "MIT", "group": 7, "tools": [1]}') == Provenance(
        Rights(licence="MIT"), group="7"
    )
    assert parse_provenance("[1, 2]").rights.source == "[1, 2]"
    assert parse_provenance("[" * 100_000).rights.source.startswith("[[")
