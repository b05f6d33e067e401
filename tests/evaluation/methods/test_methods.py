"""Baselines and a2 as rows of a table: what they make is what the functions below them make."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_tasks import make_task

from a2cli.backbones.registry import list_backbones
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import BackboneError, ConfigError, DataError
from a2cli.evaluation.config import BASELINES, MethodConfig, MethodKind, TrainFirst
from a2cli.evaluation.methods import build_method
from a2cli.evaluation.methods.editor import A2Method
from a2cli.evaluation.records.cases import Task
from a2cli.metrics.baselines import (
    fill_mean,
    fill_telea,
    paste_poisson,
    paste_reference,
    register_and_paste,
)

TASK = make_task()


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edits import save_tiny

    return save_tiny(tmp_path_factory.mktemp("model"))


def is_kept(edited: np.ndarray, task: Task) -> bool:
    return edited.dtype == np.uint8 and np.array_equal(edited[~task.mask], task.source[~task.mask])


@pytest.mark.parametrize("kind", BASELINES)
def test_baselines_are_the_functions_of_their_name(kind: MethodKind) -> None:
    method = build_method(MethodConfig("row", kind=kind))
    assert method.name == "row" and method.identity.items() >= {"kind": kind, "baseline": True}.items()
    assert {"a2", "opencv"} <= method.identity.keys()  # what their pixels depend on
    case = TASK.case
    assert case.ref_rgb is not None and case.ref_mask is not None
    inputs = TASK.source, TASK.mask, case.ref_rgb, case.ref_mask
    wanted = {
        "mean": fill_mean(*inputs),
        "telea": fill_telea(*inputs[:2]),
        "paste": paste_reference(*inputs),
        "registered": register_and_paste(*inputs),
        "poisson": paste_poisson(*inputs),
        "target": case.target,
    }[kind]
    edited = method.edit(TASK)
    assert wanted is not None and np.array_equal(edited, wanted) and is_kept(edited, TASK)
    assert not np.array_equal(edited[TASK.mask], TASK.source[TASK.mask])


@pytest.mark.parametrize("kind", BASELINES)
def test_a_reference_without_a_mask_is_cut_out_and_none_is_an_error(kind: MethodKind) -> None:
    method = build_method(MethodConfig("row", kind=kind))
    assert is_kept(method.edit(make_task(ref_mask=None)), TASK)
    without = make_task(ref_rgb=None, ref_mask=None)
    if kind in ("telea", "target"):
        assert is_kept(method.edit(without), TASK)
        return
    with pytest.raises(DataError, match="case-0: no reference"):
        method.edit(without)


def test_without_a_target_nothing_is_perfect() -> None:
    with pytest.raises(DataError, match="case-0: no target"):
        build_method(MethodConfig("best", kind="target")).edit(make_task(target=None))


def test_a2_makes_what_the_pipeline_makes(tiny_model: Path) -> None:
    config = MethodConfig("mine", model=str(tiny_model), adapter="none", steps=2, guidance=1.0)
    method = build_method(config, device="cpu")
    case = TASK.case
    assert case.ref_rgb is not None and case.ref_mask is not None
    pipeline = EditPipeline.load("nano", model=str(tiny_model), adapter="none", device="cpu")

    def edit(prompt: str, seed: int = 0) -> np.ndarray:
        return pipeline.edit(
            TASK.source, TASK.mask, case.ref_rgb, case.ref_mask, prompt=prompt, steps=2, seed=seed
        )

    edited = method.edit(TASK)
    assert np.array_equal(edited, edit("a red cup")) and is_kept(edited, TASK)
    assert np.array_equal(method.edit(make_task(prompt="")), edit("animals"))
    assert not np.array_equal(edit("animals"), edited)
    assert np.array_equal(method.edit(replace(TASK, seed=5)), edit("a red cup", 5))
    with pytest.raises(DataError, match="no reference"):
        method.edit(make_task(ref_rgb=None))


def test_the_identity_tells_what_decides_an_edit(tiny_model: Path) -> None:
    method = build_method(MethodConfig("mine", model=str(tiny_model), adapter="none"), device="cpu")
    told = method.identity
    assert json.loads(json.dumps(told)) == told
    assert told["kind"] == "a2" and told["baseline"] is False and told["steps"] == 2
    assert told["model"] == "tiny nano" and len(told["base_hash"]) == 16  # no path of this machine
    shipped = build_method(MethodConfig("nano", steps=1), device="cpu").identity
    assert shipped["base_hash"] != told["base_hash"] and shipped["adapter_hash"] and shipped["steps"] == 1


def test_nan_is_an_error_and_no_black_picture(tiny_model: Path) -> None:
    method = build_method(MethodConfig("mine", model=str(tiny_model), adapter="none"), device="cpu")
    assert isinstance(method, A2Method)
    with torch.no_grad():
        method.pipeline.backbone.transformer.proj_out.weight[0, 0] = float("nan")
    with pytest.raises(BackboneError, match="NaN"):
        method.edit(TASK)


@pytest.mark.skipif(
    "example" not in {info.name for info in list_backbones()}, reason="plugins/a2-example is not installed"
)
def test_a_plugin_is_a_method_like_any_other() -> None:
    method = build_method(MethodConfig("plugged", backbone="example"), device="cpu")
    edited = method.edit(TASK)
    assert is_kept(edited, TASK) and method.identity["backbone"] == "example"
    with pytest.raises(BackboneError, match="example has no FluxFillPipeline"):
        build_method(MethodConfig("plugged", kind="fill", backbone="example"), device="cpu")


def test_what_cannot_be_a_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="has to be trained first"):
        build_method(MethodConfig("row", train=TrainFirst("configs/train/nano-mot.yaml")))
    with pytest.raises(BackboneError, match="did you mean 'nano'"):
        build_method(MethodConfig("row", backbone="nanno"))
    for wrong in ({"kind": "fill", "adapter": "x"}, {"kind": "mean", "adapter": "x"}, {"redux": "x"}):
        with pytest.raises(ConfigError, match=r"takes no (adapter|redux)"):
            MethodConfig("row", **wrong)  # type: ignore[arg-type]
