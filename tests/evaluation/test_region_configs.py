"""The shipped evaluations of regions in miniature: holding, the ablation and the sweep of what an adapter is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from needs import needs_font

from a2cli.config.load import load_config
from a2cli.evaluation.config import EvalConfig
from a2cli.evaluation.editing.training_first import get_overrides, load_training
from a2cli.evaluation.run import run_eval

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs" / "eval"
CHANGES = [
    "data.per_category=null",
    "data.limit=1",
    "data.synth.size=64",
    "workers=1",
    "gallery=1",
    "bootstrap=50",
]


def load_small(name: str, model: Path, adapter: Path, out: Path) -> EvalConfig:
    """A shipped config over one small record, by the tiny model; what it trains first is put in place."""
    config = load_config(EvalConfig, CONFIGS / f"{name}.yaml", [*CHANGES, f"out={out}"])
    methods = []
    for method in config.methods:
        if method.kind == "a2":
            wants = method.region is not None or method.localize is not None
            folder = str(adapter) if wants else "none"
            method = replace(method, model=str(model), train=None, adapter=folder)
        methods.append(method)
    return replace(config, methods=tuple(methods), device="cpu")


def check_run(config: EvalConfig) -> None:
    outcome = run_eval(config)
    assert outcome.failures == [] and outcome.exit_code == 0
    assert len(outcome.rows) == len(config.methods) == len({row.method for row in outcome.rows})
    for row in outcome.rows:
        assert row.values.keys() >= {"l1", "l1@mask", "psnr", "changed_outside", "leak@mask"}
        if row.method not in ("target", "nano-found"):
            assert row.values["changed_outside"] == pytest.approx(row.values["changed_outside@mask"])
    assert f"## Against {config.against}" in (Path(str(config.out)) / "results.md").read_text()


@needs_font
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("region_hold", ("nano", "nano-hold")),
        ("region_ablation", ("A-base", "G-all")),
        ("region_sweep", ("exact", "shift-6pct")),
    ],
)
def test_shipped_region_configs_run(
    name: str,
    rows: tuple[str, str],
    tiny_nano: Path,
    tiny_region: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two rows of each: every row loads a model."""
    monkeypatch.chdir(ROOT)
    config = load_small(name, tiny_nano, tiny_region, tmp_path / "out")
    config = replace(config, methods=tuple(method for method in config.methods if method.name in rows))
    assert len(config.methods) == 2
    check_run(config)


@pytest.mark.slow
@needs_font
@pytest.mark.parametrize("name", ["region_hold", "region_ablation", "region_sweep"])
def test_all_rows_of_shipped_region_configs_run(
    name: str, tiny_nano: Path, tiny_region: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    check_run(load_small(name, tiny_nano, tiny_region, tmp_path / "out"))


def test_the_ablation_is_table_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One part more a row; all else of the trainings is the same, and each edits with what it was trained with."""
    monkeypatch.chdir(ROOT)
    methods = load_config(EvalConfig, CONFIGS / "region_ablation.yaml").methods
    assert [method.name[0] for method in methods] == list("ABCDEFG") and methods[0].adapter == "none"
    runs = {method.name[0]: load_training(method, get_overrides(method, tmp_path)) for method in methods[1:]}
    told = {method.name[0] for method in methods if method.region == "exact"}
    assert told == {row for row, run in runs.items() if run.model.train == "region"} == set("BDEFG")
    parts: dict[str, Any] = {
        row: (run.region.gate, run.region.predictor is not None, run.loss.region_alpha)
        for row, run in runs.items()
        if run.region is not None
    }
    assert parts == {
        "B": (False, False, 0),
        "D": (False, False, 2),
        "E": (True, False, 2),
        "F": (False, True, 2),
        "G": (True, True, 2),
    }
    assert runs["C"].lora is not None and runs["C"].loss.region_alpha == 2
    shared = {
        (run.steps, run.seed, str(run.data), str(run.optimizer), str(run.mats)) for run in runs.values()
    }
    assert len(shared) == 1 and runs["B"].data.synth.instructions == 1


def test_the_sweep_is_of_the_last_row(monkeypatch: pytest.MonkeyPatch) -> None:
    ablation = load_config(EvalConfig, CONFIGS / "region_ablation.yaml")
    sweep = load_config(EvalConfig, CONFIGS / "region_sweep.yaml")
    adapter = f"{ablation.out}/train/{ablation.methods[-1].name}/adapter"
    assert {method.adapter for method in sweep.methods} == {adapter, "none"}
    changes = {method.name: method.region_change for method in sweep.methods if method.region == "exact"}
    assert changes.pop("exact") is None and len(changes) == 7
    assert all(name.startswith(str(change).partition(":")[0]) for name, change in changes.items())
    assert len(set(changes.values())) == 7 and sweep.protocols == ("box",)


def test_holding_is_measured_on_replacements_alone() -> None:
    config = load_config(EvalConfig, CONFIGS / "region_hold.yaml")
    assert config.data.tasks == ("replace",) and config.data.synth.instructions == 1
    rows = {method.name: method.localize for method in config.methods if method.kind == "a2"}
    assert rows == {"nano": None, "nano-hold": "mask", "nano-found": "auto"} and config.against == "nano"
