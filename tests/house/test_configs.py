"""Every shipped training config fits the dataclasses it is read into, and survives a dump."""

from __future__ import annotations

from pathlib import Path

import pytest

from a2cli.config.load import build, load_config, parse_yaml, to_dict
from a2cli.training.config import TrainConfig

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("file", sorted((CONFIGS / "train").glob("*.yaml")), ids=lambda file: file.name)
def test_train_configs_are_valid(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from a2cli.cli import main

    config = load_config(TrainConfig, file)
    assert build(TrainConfig, to_dict(config)) == config
    assert main(["train", "--config", str(file), "seed=5", "--dry-run"]) == 0
    shown = parse_yaml(capsys.readouterr().out, where="shown")
    assert build(TrainConfig, shown) == load_config(TrainConfig, file, ["seed=5"])
