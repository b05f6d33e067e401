"""The settings of a region adapter."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from a2cli.config.load import build, to_dict
from a2cli.errors import ConfigError
from a2cli.region import PredictorConfig, RegionConfig


def test_the_defaults_are_the_papers() -> None:
    config = RegionConfig()
    assert (config.get_heads(3072), config.head_dim) == (24, 128)
    assert (config.num_instruction_tokens, config.fusion_layers, config.mask_grid**2) == (64, 2, 256)
    assert config.gate and config.adapter and config.predictor == PredictorConfig(query_grid=16, layers=1)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"num_heads": 0}, "num_heads"),
        ({"head_dim": 6}, "multiple of 4"),
        ({"head_dim": True}, "head_dim"),
        ({"fusion_layers": 10**9}, "fusion_layers"),
        ({"mask_grid": 2.0}, "mask_grid"),
        ({"gate": 1}, "true or false"),
        ({"adapter": False, "predictor": None}, "nothing is left"),
    ],
)
def test_a_value_out_of_range_is_named(values: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        RegionConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"width": 20, "num_heads": 8},
        {"noise": 1.5},
        {"noise": float("nan")},
        {"layers": 0},
        {"decoder_width": 20, "num_heads": 8},
    ],
)
def test_a_predictor_out_of_range_is_named(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        PredictorConfig(**values)


def test_it_goes_through_yaml_and_back() -> None:
    config = RegionConfig(num_heads=6, head_dim=32, predictor=PredictorConfig(width=192, noise=0.5))
    assert build(RegionConfig, to_dict(config)) == config
    assert build(RegionConfig, {"predictor": None}).predictor is None
    with pytest.raises(ConfigError, match=r"predictor: unknown key 'layer'.*layers"):
        build(RegionConfig, {"predictor": {"layer": 2}})


def test_the_settings_import_no_framework() -> None:
    code = (
        "import sys, a2cli.region; a2cli.region.RegionConfig()\n"
        "print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
