"""`--vram`, `--offload`, `--quantize`: sizes are read, impossible pairs refused."""

from __future__ import annotations

from typing import Any

import pytest

from a2cli.config.memory import MemoryConfig, read_size
from a2cli.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8_000_000_000),
        ("8 gb", 8_000_000_000),
        ("7.5GiB", 8_053_063_680),
        (" 6000MB ", 6_000_000_000),
        ("512mib", 536_870_912),
        (None, None),
    ],
)
def test_sizes(text: str | None, size: int | None) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "8", "8G", "GB", "-8GB", "0GB", "8,5GB", "1e3GB", "٨GB", "8GB 2", "8TB", "nanGB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--vram") as caught:
        read_size(text)
    assert "8GB" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vram": 0}, "--vram is 0 bytes"),
        ({"offload": "modle"}, r"--offload 'modle' is unknown \(.*model"),
        ({"quantize": "nf5"}, r"--quantize 'nf5' is unknown \(.*nf4"),
        (
            {"offload": "sequential", "quantize": "nf4"},
            "--offload sequential moves weights of full width alone",
        ),
        ({"offload": "model", "quantize": "int8"}, "--quantize int8 makes weights that stay"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MemoryConfig(**options)


def test_what_goes_together_is_taken() -> None:
    for quantize in ("nf4", "torchao-int8"):
        assert MemoryConfig(1, "model", quantize).quantize == quantize
    assert MemoryConfig(offload="none", quantize="int8").offload == "none"
