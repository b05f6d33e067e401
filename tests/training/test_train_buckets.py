"""`a2 train` with aspect buckets: micro-batches of one shape, shapes kept together, results that edit so."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edits import save_tiny
from pair_folders import make_pair, make_pairs, write_imagefolder
from runs import read_rows, write_config

from a2cli.backbones.flux import NanoBackbone
from a2cli.config.load import build
from a2cli.data.order import choose_bucket, get_buckets
from a2cli.data.source import SynthSource, open_source
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import ConfigError
from a2cli.training.checkpoint import load_checkpoint
from a2cli.training.config import TrainConfig
from a2cli.training.objectives.edit import EditObjective
from a2cli.training.processes import Processes
from a2cli.training.run import run_train
from a2cli.training.samples import get_size
from a2cli.training.schedule import get_samples

COUNT, BATCH = 12, 2  # four pairs each with a square, a wide and a tall subject
BUCKETS = get_buckets(64, 16)  # 48 x 80, 64 x 64, 80 x 48
KINDS: dict[str, dict[str, Any]] = {
    "base": {"model": {"train": "base", "architecture": {"traits": {"buckets": True}}}},
    "mot": {"model": {"train": "mot"}, "adapter": {"num_experts": 3, "rank": 2}},
    "lora": {"model": {"train": "lora"}, "lora": {"rank": 2}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model (`tiny nano`) and pairs of mixed aspects (`pairs`)."""
    folder = tmp_path_factory.mktemp("buckets")
    save_tiny(folder)
    write_imagefolder(folder / "pairs", make_pairs(COUNT))
    return folder


def get_mapping(kind: str, folder: Path, output: Path, **data: Any) -> dict[str, Any]:
    chosen = KINDS[kind]
    pairs = {"path": str(folder / "pairs"), "resolution": 64, "batch_size": BATCH, "workers": 0}
    return {
        "steps": 6,
        "save_every": 2,
        "log_every": 1,
        "seed": 3,
        "precision": "fp32",
        "trackers": [],
        "output_dir": str(output),
        **chosen,
        "model": {"path": str(folder / "tiny nano"), **chosen["model"]},
        "data": {**pairs, "buckets": True, **data},
        "mats": {"mode": "mixed"},
        "optimizer": {"lr": 0.01, "warmup": 1},
        "sample": {"pairs": 3, "split": "train", "steps": 1},
    }


def open_objective(kind: str, folder: Path, **data: Any) -> EditObjective:
    return EditObjective(build(TrainConfig, get_mapping(kind, folder, folder / "unused", **data)))


@cache
def get_aspects() -> dict[str, float]:
    """Width over height of every subject, by its prompt."""
    found = {}
    for pair in make_pairs(COUNT):
        rows, columns = (pair.tar_mask.any(axis) for axis in (1, 0))
        found[pair.prompt] = columns.sum() / rows.sum()
    return found


def get_bucket(prompt: str) -> tuple[int, int]:
    return BUCKETS[choose_bucket(get_aspects()[prompt], BUCKETS)]


def get_batches(objective: EditObjective, count: int) -> list[tuple[list[tuple[int, int]], dict[str, Any]]]:
    """Micro-batches of a run, each with the buckets of its samples by themselves."""
    batches = []
    for step in range(count):
        samples = get_samples(step, 0, batch_size=objective.config.data.batch_size, accumulation=1)
        own = [get_bucket(objective.source.get_pair(sample).prompt) for sample in samples]
        batches.append((own, objective.make_batch(step, samples)))
    return batches


def test_micro_batches_have_one_shape_and_a_run_has_several(folder: Path) -> None:
    seen = []
    for own, batch in get_batches(open_objective("mot", folder), COUNT // BATCH):
        height, width = own[0]
        assert own == [own[0]] * BATCH  # twelve pairs leave nothing over: no micro-batch is mixed
        assert {tuple(batch[key].shape) for key in ("target", "masked")} == {(BATCH, height, width, 3)}
        assert batch["mask"].shape == (BATCH, height, width) and batch["mask"].flatten(1).any(1).all()
        assert batch["weight"].shape == (BATCH, height * width // 256)
        assert batch["reference"].shape == (BATCH, 64, 64, 3)
        seen.append((height, width))
    assert sorted(seen) == sorted(2 * BUCKETS)
    squares = get_batches(open_objective("mot", folder, buckets=False), COUNT // BATCH)
    assert {batch["target"].shape[1:3] for _, batch in squares} == {(64, 64)}
    assert any(own[0] != own[1] for own, _ in squares)


@pytest.mark.parametrize("data", [{"batch_size": 3}, {"streaming": True}])
def test_the_first_sample_decides_in_a_mixed_micro_batch(folder: Path, data: dict[str, Any]) -> None:
    objective = open_objective("lora", folder, **data)
    batches = get_batches(objective, 12)
    assert any(len(set(own)) > 1 for own, _ in batches)
    for own, batch in batches:
        assert tuple(batch["target"].shape[1:3]) == own[0]
    assert len({own[0] for own, _ in batches}) == 3
    if objective.config.data.streaming:  # its order is its own
        plain = open_source(objective.config.data, seed=objective.config.seed)
        assert [objective.source.get_pair(i).id for i in range(COUNT)] == [
            plain.get_pair(i).id for i in range(COUNT)
        ]


def test_synthesised_pairs_keep_their_order_and_choose_their_size(folder: Path) -> None:
    objective = open_objective("lora", folder, path=None)
    assert isinstance(objective.source, SynthSource)
    for number, size in ((0, (64, 64)), (1, (48, 80)), (2, (80, 48))):
        assert get_size(make_pair(number).tar_mask, objective.config.data, 16) == size


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_equals_straight_and_the_result_edits_in_buckets(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    straight = {**get_mapping(kind, folder, tmp_path / "straight"), "sample_every": 3}
    run_train(str(write_config(tmp_path, straight)))

    def stop(step: int, total: int, figures: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    parts = str(write_config(tmp_path / "p", {**straight, "output_dir": str(tmp_path / "parts")}))
    with pytest.raises(KeyboardInterrupt):
        run_train(parts, progress=stop)
    torch.manual_seed(99)
    run_train(parts, resume="auto")
    one, two = (
        load_checkpoint(tmp_path / run / "checkpoints" / "step-6")[0] for run in ("straight", "parts")
    )
    assert one.keys() == two.keys() and [k for k in one if not torch.equal(one[k], two[k])] == []
    rows = read_rows(tmp_path / "straight")
    assert rows == read_rows(tmp_path / "parts") and all(np.isfinite(row["loss"]) for row in rows)
    assert len(list((tmp_path / "straight" / "samples").glob("step-*.png"))) == 2

    model, adapter = folder / "tiny nano", str(tmp_path / "straight" / "adapter")
    if kind == "base":
        model, adapter = tmp_path / "straight" / "model", "none"
        assert NanoBackbone.load(str(model)).traits.buckets
    else:
        name = {"mot": "adapter_config.json", "lora": "a2_origin.json"}[kind]
        assert json.loads((Path(adapter) / name).read_text())["recipe"]["buckets"] is True
    pipeline = EditPipeline.load("nano", model=str(model), adapter=adapter, device="cpu")
    grids, decode = [], pipeline.backbone.decode_tokens

    def watch(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        grids.append(grid)
        return decode(tokens, grid)

    monkeypatch.setattr(pipeline.backbone, "decode_tokens", watch)
    for number in range(3):
        pair = make_pair(number)
        out = pipeline.edit(pair.tar_rgb, pair.tar_mask, pair.ref_rgb, pair.ref_mask, steps=1)
        assert np.array_equal(out[~pair.tar_mask], pair.tar_rgb[~pair.tar_mask])
    assert grids == [(4, 4), (3, 5), (5, 3)]


def test_targets_are_cached_in_their_own_bucket_and_encoded_anew_in_another(
    folder: Path, tmp_path: Path
) -> None:
    def fill() -> EditObjective:
        objective = open_objective(
            "lora", folder, batch_size=3, cache_latents=True, cache_dir=str(tmp_path / "cache")
        )
        objective.place(Processes(cpu=True, autocast=False, gradient_accumulation=1, idle=False))
        return objective

    def count(objective: EditObjective) -> int:
        """Targets that were not known, over three epochs."""
        memo = objective.backbone.memo
        memo.misses, strangers = 0, 0
        for own, batch in get_batches(objective, 12):
            objective.loss(batch, 1.0, [0] * 3)
            strangers += sum(bucket != own[0] for bucket in own)
        assert memo.hits > 0 and strangers > memo.misses  # most come again
        return int(memo.misses)

    assert 0 < count(fill()) <= 2 * COUNT
    assert count(fill()) == 0  # content-addressed: known by now


def test_a_run_trains_what_its_result_will_be_given(folder: Path, tmp_path: Path) -> None:
    mapping = get_mapping("base", folder, tmp_path / "run")
    del mapping["model"]["architecture"]
    for overrides, message in (
        ([], r"data\.buckets: the model would edit in squares.*model\.architecture\.traits\.buckets: true"),
        (
            ["data.buckets=false", "model.architecture.traits.buckets=true"],
            r"data\.buckets: false, and the model edits in aspect buckets.*data\.buckets: true",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            run_train(str(write_config(tmp_path, mapping)), overrides)
    assert not (tmp_path / "run").exists()
