"""`a2 train --dry-run`: what would stop a run is said, what it would do is counted, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pair_folders import make_pairs, write_imagefolder
from runs import write_config

from a2cli.cli import main
from a2cli.config.load import build, parse_yaml
from a2cli.errors import A2Error
from a2cli.files import make_folder
from a2cli.training.checkpoint import save_checkpoint
from a2cli.training.config import TrainConfig
from a2cli.training.plan import plan_run


@pytest.fixture
def config(tmp_path: Path) -> str:
    write_imagefolder(tmp_path / "pairs", make_pairs(7))
    mapping: dict[str, Any] = {
        "output_dir": str(tmp_path / "run"),
        "steps": 10,
        "gradient_accumulation": 2,
        "model": {"train": "mot"},
        "adapter": {"num_experts": 3, "rank": 2},
        "data": {"path": str(tmp_path / "pairs"), "resolution": 64, "batch_size": 3},
    }
    return str(write_config(tmp_path, mapping))


def test_a_plan_counts_and_writes_nothing(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", "--config", config, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["samples"]["count"] == 7 and sum(plan["samples"]["categories"].values()) == 7
    assert plan["batch"] == 6 and plan["start"] == 0
    assert plan["budget"]["total"] == sum(v for k, v in plan["budget"].items() if k != "total")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_parameters_are_those_a_run_trains(config: str) -> None:
    from a2cli.training.objectives.edit import EditObjective

    plan = plan_run(config)
    trained = EditObjective(plan.config).named_parameters()
    assert plan.parameters == sum(parameter.numel() for _, parameter in trained)


def test_what_is_printed_is_a_config_with_comments(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", config, "seed=5", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert build(TrainConfig, parse_yaml(shown, where="shown")) == plan_run(config, ["seed=5"]).config
    assert "# samples: 7; of 7 opened: animals 3" in shown and "# memory of a process:" in shown


def test_a_bad_record_is_named_and_does_not_stop_the_plan(config: str, tmp_path: Path) -> None:
    picture = sorted((tmp_path / "pairs").glob("*.tar_image.png"))[2]
    picture.write_bytes(picture.read_bytes()[:40])
    plan = plan_run(config)
    assert len(plan.source.bad) == 1 and picture.name.split(".")[0] in plan.source.bad[0]
    assert "# cannot be used: " in plan.format()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.path=/no/such/pairs", "/no/such/pairs"),
        ("model.path=/no/such/model", "/no/such/model"),
        ("model.path=model", "model: no such model folder"),
        ("model.backbone=nanoo", "nanoo"),
        ("data.resolution=70", "70"),
        ("stepz=3", "stepz.*steps"),
        ("optimizer.lr=-1", "lr must be positive"),
        ("trackers=[wandb]", "wandb is not installed"),
        ("data.split=validation", "validation"),
    ],
)
def test_what_would_stop_a_run_stops_its_plan(config: str, override: str, message: str) -> None:
    with pytest.raises(A2Error, match=message):
        plan_run(config, [override])


def test_resuming_is_checked(config: str, tmp_path: Path) -> None:
    with pytest.raises(A2Error, match="no such checkpoint"):
        plan_run(config, resume=str(tmp_path / "nowhere"))
    assert plan_run(config, resume="auto").start == 0
    make_folder(tmp_path / "run" / "checkpoints")
    save_checkpoint(tmp_path / "run" / "checkpoints" / "step-4", {}, {"step": 4})
    assert plan_run(config, resume="auto").start == 4
    with pytest.raises(A2Error, match="--resume auto goes on"):
        plan_run(config)
    (tmp_path / "file").write_text("")
    with pytest.raises(A2Error, match="is no folder"):
        plan_run(config, [f"output_dir={tmp_path}/file/run"])


@pytest.mark.parametrize("backbone", ["nano", "flux-fill"])
@pytest.mark.parametrize("key", ["adapter", "region", "path"])
def test_what_a_region_adapter_goes_on_is_looked_for(config: str, backbone: str, key: str) -> None:
    changes = [
        "model.train=region",
        f"model.backbone={backbone}",
        "adapter=null",
        "region={num_heads: 2, head_dim: 16, predictor: null}",
    ]
    if backbone == "flux-fill":  # a hub's model, whose weights a plan does not load
        assert plan_run(config, changes).parameters is None
    with pytest.raises(A2Error, match="/nowhere"):
        plan_run(config, [*changes, f"model.{key}=/nowhere"])
