"""Rows that are trained before they edit: made once, gone on with after a stop, each what its file says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_tasks import make_task
from needs import needs_font
from pair_folders import make_pair, write_imagefolder

from a2cli.config.load import load_config, load_yaml
from a2cli.data.source import open_source
from a2cli.errors import ConfigError
from a2cli.evaluation.config import EvalConfig, MethodConfig, TrainFirst
from a2cli.evaluation.editing.training_first import get_overrides, load_training, train_first
from a2cli.evaluation.methods import build_method
from a2cli.evaluation.records.protocols import parse_protocols
from a2cli.metrics.table import choose_metrics

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "configs" / "eval"


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edits import save_tiny

    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "pairs"
    return write_imagefolder(folder, [make_pair(number, height=64, width=64) for number in range(6)])


@pytest.fixture
def method(tiny_model: Path, pairs: Path) -> MethodConfig:
    """Four steps on six pairs, saved after each."""
    overrides = (
        "steps=4",
        "save_every=1",
        "log_every=1",
        "precision=fp32",
        "trackers=[]",
        "data={resolution: 64, batch_size: 2, workers: 0, path: %s}" % pairs,  # noqa: UP031, braces
        "adapter={num_experts: 2, rank: 2}",
    )
    train = TrainFirst(str(ROOT / "configs" / "train" / "nano-mot.yaml"), overrides)
    return MethodConfig("row", model=str(tiny_model), train=train)


def get_state(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class Stop(Exception):
    """A run that is cut off."""


def stop_at(step: int) -> Any:
    def progress(done: int, total: int, row: dict[str, Any]) -> None:
        if done == step:
            raise Stop

    return progress


def test_a_row_is_trained_once_on_the_model_it_edits_with(method: MethodConfig, tmp_path: Path) -> None:
    trained = train_first(method, tmp_path)
    assert trained == replace(method, train=None, adapter=str(tmp_path / "train" / "row" / "adapter"))
    row = build_method(trained, device="cpu")
    base = build_method(replace(method, train=None, adapter="none"), device="cpu")
    assert row.identity["adapter_hash"] and row.identity["base_hash"] == base.identity["base_hash"]
    assert (row.edit(make_task()) != base.edit(make_task())).any()
    before = get_state(tmp_path)
    assert train_first(method, tmp_path, stop_at(4)) == trained  # not a step of it is made again
    assert get_state(tmp_path) == before


def test_a_stopped_training_goes_on(method: MethodConfig, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        train_first(method, tmp_path / "stopped", stop_at(3))
    steps: list[int] = []
    trained = train_first(method, tmp_path / "stopped", lambda done, total, row: steps.append(done))
    assert steps == [3, 4]  # the third was made but not saved
    straight = train_first(method, tmp_path / "straight")
    adapters = [Path(str(config.adapter)) / "adapter_model.safetensors" for config in (trained, straight)]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def test_a_last_checkpoint_without_its_adapter_is_not_taken_for_finished(
    method: MethodConfig, tmp_path: Path
) -> None:
    weights = Path(str(train_first(method, tmp_path).adapter)) / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.unlink()
    (tmp_path / "train" / "row" / "report.html").unlink()
    train_first(method, tmp_path)
    assert weights.read_bytes() == whole


def test_other_settings_are_another_training(method: MethodConfig, tmp_path: Path) -> None:
    train_first(method, tmp_path)
    assert method.train is not None
    for change, name in (("steps=5", "steps"), ("optimizer.lr=0.5", "optimizer"), ("seed=9", "seed")):
        other = replace(method, train=replace(method.train, overrides=(*method.train.overrides, change)))
        with pytest.raises(ConfigError, match=f"trained with other settings: {name}"):
            train_first(other, tmp_path)


def test_what_makes_no_adapter_is_refused(method: MethodConfig, tmp_path: Path) -> None:
    assert method.train is not None
    base = replace(method, train=TrainFirst(str(ROOT / "configs" / "train" / "nano-base.yaml")))
    with pytest.raises(
        ConfigError, match=r"methods\.row: .*nano-base\.yaml trains base, which makes no adapter"
    ):
        train_first(base, tmp_path)
    wrong = replace(method, train=replace(method.train, overrides=("stepps=4",)))
    with pytest.raises(ConfigError, match=r"methods\.row: .*unknown key 'stepps' \(did you mean 'steps'"):
        train_first(wrong, tmp_path)
    plain = MethodConfig("nano")
    assert train_first(plain, tmp_path) is plain and not list(tmp_path.iterdir())


def list_rows() -> Iterator[tuple[str, MethodConfig]]:
    for file in sorted(CONFIGS.glob("*.yaml")):
        for method in load_config(EvalConfig, file).methods:
            if method.train is not None:
                yield file.stem, method


RUN = {f"ablation-{name}" for name in ("without-experts", "moe-ffn", "fine", "fine-rough", "full")} | {
    "hold_out-no-wear",
    *(f"region_ablation-{name}" for name in ("B-adapter", "C-loss", "G-all")),
}
ROWS = [pytest.param(stem, method, id=f"{stem}-{method.name}") for stem, method in list_rows()]


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_configs_are_valid_and_say_how_they_are_run(file: Path) -> None:
    config = load_config(EvalConfig, file)
    assert config.methods and config.run and config.out == f"runs/eval-{file.stem.replace('_', '-')}"
    assert f"a2 eval --config configs/eval/{file.name}" in file.read_text()
    assert set(load_yaml(file)) >= {"title", "data", "methods", "protocols", "metrics", "out", "run"}
    assert parse_protocols(config.protocols, config.rough_radius) and choose_metrics(config.metrics)


@pytest.mark.parametrize(("stem", "row"), ROWS)
def test_shipped_rows_are_trainings(
    stem: str, row: MethodConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    training = load_training(row, get_overrides(row, tmp_path))
    assert training.model.backbone == row.backbone and training.output_dir == str(tmp_path)


def test_the_ablation_is_table_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    methods = {method.name: method for method in load_config(EvalConfig, CONFIGS / "ablation.yaml").methods}
    assert list(methods) == ["without-experts", "moe-ffn", "untrained", "fine", "fine-rough", "full"]
    assert methods["untrained"].train is None and methods["untrained"].adapter == "none"
    runs = {n: load_training(m, get_overrides(m, tmp_path)) for n, m in methods.items() if m.train}
    assert runs["without-experts"].lora is not None and runs["without-experts"].adapter is None
    assert [run.adapter.targets for run in runs.values() if run.adapter] == ["ffn", "all", "all", "all"]
    assert [runs[name].mats.stages for name in ("fine", "fine-rough", "full")] == [
        ("fine",),
        ("fine", "rough"),
        ("fine", "rough", "box"),
    ]
    assert len({(run.steps, run.data, run.optimizer, run.seed) for run in map(_hashable, runs.values())}) == 1


def _hashable(run: Any) -> Any:
    return replace(run, data=str(run.data), optimizer=str(run.optimizer))


def test_no_held_out_category_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(EvalConfig, CONFIGS / "hold_out.yaml")
    held = {
        method.name: set(load_training(method, get_overrides(method, tmp_path)).data.hold_out)
        for method in config.methods
        if method.train
    }
    assert held == {
        "all": set(),
        "no-wear": {"garments", "accessories"},
        "no-wear-moe": {"garments", "accessories"},
        "no-portraits": {"portraits"},
        "no-portraits-moe": {"portraits"},
    }
    assert set(config.data.categories) == set().union(*held.values())


@needs_font
@pytest.mark.parametrize(("stem", "row"), [row for row in ROWS if row.id in RUN])
def test_shipped_rows_run(
    stem: str, row: MethodConfig, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For two steps on a tiny model; what is left out of the training comes in no sample of it."""
    monkeypatch.chdir(ROOT)
    assert row.train is not None
    small = (
        "steps=2",
        "save_every=2",
        "log_every=1",
        "data.batch_size=2",
        "data.workers=0",
        "data.resolution=64",
        "data.synth.size=64",
        "trackers=[]",
    )
    row = replace(
        row, model=str(tiny_model), train=replace(row.train, overrides=(*row.train.overrides, *small))
    )
    data = load_training(row, get_overrides(row, tmp_path)).data
    source = open_source(data, seed=0)
    assert not {source.get_pair(number).category for number in range(8)} & set(data.hold_out)
    trained = train_first(row, tmp_path)
    edited = np.asarray(build_method(trained, device="cpu").edit(make_task()))
    assert edited.shape == make_task().source.shape
