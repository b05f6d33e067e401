"""Blocks and heads as traits name them: read, written again, and refused where they are not there."""

from __future__ import annotations

import pytest

from a2cli.errors import ConfigError
from a2cli.localize import read_choice, show_choice

COUNTS = {"transformer_blocks.0": 2, "single_transformer_blocks.0": 4, "single_transformer_blocks.1": 4}


def test_what_is_written_is_what_was_read() -> None:
    entries = ("single_transformer_blocks.1:0,2", "transformer_blocks.0", "single_transformer_blocks.0:3")
    choice = read_choice(entries, COUNTS, "here")
    assert list(choice.items()) == [
        ("single_transformer_blocks.1", (0, 2)),
        ("transformer_blocks.0", None),
        ("single_transformer_blocks.0", (3,)),
    ]
    assert show_choice(choice) == entries and read_choice((), COUNTS, "here") == {}
    every = read_choice(("transformer_blocks.0:1,0",), COUNTS, "here")  # all there are
    assert show_choice(every) == ("transformer_blocks.0",)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            ("single_transformer_block.1:0",),
            "here: there is no block .*did you mean 'single_transformer_blocks.1'",
        ),
        (("transformer_blocks.0:2",), r"there is no head 2 \(0 to 1\)"),
        (("transformer_blocks.0:",), "is no choice of heads"),
        (("transformer_blocks.0:0,,1",), "is no choice of heads"),
        (("transformer_blocks.0:-1",), "is no choice of heads"),
        (("transformer_blocks.0:²",), "is no choice of heads"),
        (("transformer_blocks.0:9999999",), "is no choice of heads"),
        (("transformer_blocks.0:1,1",), "names a head twice"),
        (("transformer_blocks.0", "transformer_blocks.0:1"), "'transformer_blocks.0' is named twice"),
    ],
)
def test_what_is_not_there_is_named(entries: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_choice(entries, COUNTS, "here")
