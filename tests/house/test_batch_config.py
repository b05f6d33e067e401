"""BatchConfig: what makes one command many edits."""

from __future__ import annotations

from typing import Any

import pytest

from a2cli.config.batch import BatchConfig, read_shard
from a2cli.config.load import build, to_dict
from a2cli.errors import ConfigError


def test_defaults_survive_a_round_trip() -> None:
    config = BatchConfig(manifest="-", null=True, shard=(2, 4), limit=3)
    assert build(BatchConfig, to_dict(config)) == config
    assert (BatchConfig().workers, BatchConfig().engine, BatchConfig().retries) == (1, "local", 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"manifest": ""}, "empty name"),
        ({"preview": "-"}, "--preview needs a file name"),
        ({"null": True}, "add --manifest -"),
        ({"limit": 0}, "--limit is 0"),
        ({"workers": 0}, "--workers is 0"),
        ({"retries": -1}, "--retries is -1"),
        ({"timeout_s": 0}, "--timeout is 0"),
        ({"timeout_s": float("nan")}, "--timeout is nan"),
        ({"engine": "rai"}, "did you mean 'ray'"),
        ({"address": "auto"}, "add --engine ray"),
        ({"shard": (0, 4)}, "--shard 0/4: no such part"),
        ({"shard": (5, 4)}, "--shard 5/4: no such part"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BatchConfig(**changes)


def test_shards_are_written_as_fractions() -> None:
    assert read_shard(None) is None and read_shard("1/4") == (1, 4) and read_shard(" 12/12 ") == (12, 12)
    for text in ("4", "1/", "a/4", "-1/4", "1/4/2", "\u0661/4", ""):
        with pytest.raises(ConfigError, match="write I/N"):
            read_shard(text)
