from __future__ import annotations

import subprocess
import sys

import pytest

from a2cli.errors import ConfigError
from a2cli.mot import MotConfig


def test_the_paper_is_the_default() -> None:
    config = MotConfig()
    assert (config.num_experts, config.rank, config.routing, config.targets) == (8, 32, "agr", "all")
    assert config.alpha == 32 and config.scaling == 1 and not config.renormalize
    assert MotConfig(rank=8, alpha=16).scaling == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"num_experts": 1},
        {"num_experts": 0},
        {"rank": 0},
        {"rank": 2.5},
        {"num_experts": True},
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"routing": "soft"},
        {"targets": "mlp"},
        {"router_hidden": 0},
        {"renormalize": "no"},
        {"routing": "top_k", "top_k": 9},
        {"routing": "top_k", "top_k": 1, "renormalize": True},
        {"routing": "agr", "shared_expert": True},
        {"routing": "top_k", "num_experts": 2, "shared_expert": True},
    ],
)
def test_impossible_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        MotConfig(**bad)  # type: ignore[arg-type]


def test_a_config_costs_no_framework() -> None:
    code = "import sys; from a2cli.mot import MotConfig; MotConfig(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
