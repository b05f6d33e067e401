"""Every shipped training config fits the dataclasses it is read into, and survives a dump."""

from __future__ import annotations

from pathlib import Path

import pytest

from a2cli.config.load import build, dump_yaml, load_config, parse_yaml, to_dict
from a2cli.training.config import TrainConfig

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("file", sorted((CONFIGS / "train").glob("*.yaml")), ids=lambda file: file.name)
def test_train_configs_are_valid(file: Path) -> None:
    """Each is run for two steps in tests/training/test_shipped_configs.py."""
    config = load_config(TrainConfig, file)
    assert build(TrainConfig, to_dict(config)) == config
    assert build(TrainConfig, parse_yaml(dump_yaml(config), where="shown")) == config


@pytest.mark.parametrize("file", sorted((CONFIGS / "accelerate").glob("*.yaml")), ids=lambda file: file.name)
def test_launch_files_are_what_accelerate_reads(file: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    launch = load_config_from_file(str(file))
    assert launch.num_processes >= 2 and str(launch.compute_environment.value) == "LOCAL_MACHINE"
