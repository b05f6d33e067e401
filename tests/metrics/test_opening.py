"""What can be opened is, each by itself; what cannot is missing with one line that says why and what to do."""

from __future__ import annotations

import importlib
import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_networks import build_weights, make_shot

from a2cli.errors import BackboneError, ConfigError
from a2cli.metrics.measure import Weights
from a2cli.metrics.opening import Opened, describe_metrics, group_infos, open_measures
from a2cli.metrics.table import METRICS, choose_metrics, find_metric


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "weights"))


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def open_named(names: str, folder: Path | None) -> Opened:
    weights = Weights(folder=None if folder is None else str(folder))
    return open_measures(choose_metrics(names.split(",")), weights, "cpu")


def get_names(opened: Opened) -> list[list[str]]:
    return [[info.name for info in measure.infos] for measure in opened.measures]


def test_every_family_has_its_module() -> None:
    for info in METRICS.values():
        if info.family != "judge":
            build = importlib.import_module(f"a2cli.metrics.{info.family}").build_measure
            assert list(inspect.signature(build).parameters) == ["infos", "weights", "device"], info.family


def test_metrics_that_need_no_network_open_and_measure() -> None:
    opened = open_named("default", None)
    assert opened.missing == {} and opened.set_measures == []
    asked = [info.name for info in choose_metrics(["default"])]
    assert [name for names in get_names(opened) for name in names] == asked
    found = [measure.measure([make_shot(1)])[0] for measure in opened.measures]
    for measure, values in zip(opened.measures, found, strict=True):
        assert {find_metric(key) for key in values} <= set(measure.infos) and measure.implementation
    assert {"l1", "psnr@crop", "ssim", "histogram", "seam"} <= {key for values in found for key in values}


def test_one_network_missing_takes_nothing_else_with_it(own: Path) -> None:
    shutil.rmtree(own / "dinov2")
    opened = open_named("l1,clip_i,clip_t,dino_i,dino_i_ref,dino1_i,lpips_alex,fid", own)
    assert get_names(opened) == [["l1"], ["clip_i", "clip_t"], ["dino1_i"]]
    assert opened.set_measures == []
    assert opened.missing.keys() == {"dino_i", "dino_i_ref", "lpips_alex", "fid"}
    for name, part in {
        "dino_i": "facebook/dinov2-base: cannot be loaded",
        "dino_i_ref": "into DIR/dinov2",
        "lpips_alex": "alexnet",
        "fid": "inception",
    }.items():
        assert part in opened.missing[name] and "\n" not in opened.missing[name]


def test_without_words_the_rest_of_clip_opens(own: Path) -> None:
    for path in (own / "clip").glob("tokenizer*"):
        path.unlink()
    opened = open_named("clip_i,clip_i_ref,clip_t", own)
    assert get_names(opened) == [["clip_i", "clip_i_ref"]]
    assert list(opened.missing) == ["clip_t"] and "tokenizer" in opened.missing["clip_t"]


def test_pickled_weights_are_missing_weights(own: Path) -> None:
    """FAULTS 19."""
    torch.save(load_file(own / "clip" / "model.safetensors"), own / "clip" / "pytorch_model.bin")
    opened = open_named("clip_i", own)
    assert opened.measures == []
    assert "pickled weights are never opened (convert them to safetensors)" in opened.missing["clip_i"]


def test_judges_are_passed_over() -> None:
    opened = open_measures([METRICS["vlm"], METRICS["vie_o"]], Weights(), "cpu")
    assert opened == Opened()


def test_what_no_metric_can_do_without_is_an_error(folder: Path, tmp_path: Path) -> None:
    infos = choose_metrics(["l1", "dino1_i"])
    with pytest.raises(BackboneError, match="device abacus"):
        open_measures(infos, Weights(folder=str(folder)), "abacus")
    for nowhere in (tmp_path / "nowhere", folder / "dino" / "config.json"):
        with pytest.raises(ConfigError, match="no such folder of weights"):
            open_measures(infos, Weights(folder=str(nowhere)), "cpu")
        with pytest.raises(ConfigError, match="no such folder of weights"):
            describe_metrics(Weights(folder=str(nowhere)))


def test_every_metric_is_in_one_group_with_those_of_its_network() -> None:
    groups = group_infos(METRICS.values())
    asked = [info.name for info in METRICS.values() if info.family != "judge"]
    assert sorted(info.name for group in groups for info in group) == sorted(asked)
    assert len({(group[0].family, group[0].weights) for group in groups}) == len(groups)
    assert ["clip_i", "clip_i_ref", "clip_t", "clip_dir"] in [
        [info.name for info in group] for group in groups
    ]


def test_the_table_says_what_is_lacking(own: Path) -> None:
    rows = {row.name: row for row in describe_metrics()}
    assert list(rows) == list(METRICS)
    assert rows["l1"].lacks == "" and rows["l1"].better == "lower" and rows["ssim"].better == "higher"
    assert rows["clip_t"].lacks == "weights: clip" and rows["clip_t"].needs == ("prompt",)
    assert rows["lpips_vgg"].lacks == "weights: vgg16, lpips_vgg"
    assert rows["kid"].lacks == "weights: inception" and rows["vlm"].lacks == "a judge"
    (own / "dinov2" / "model.safetensors").unlink()
    (own / "inception.safetensors").touch()
    rows = {row.name: row for row in describe_metrics(Weights(folder=str(own)))}
    assert [rows[name].lacks for name in ("clip_i", "dino_i", "dino1_i", "fid")] == [
        "",
        "weights: dinov2",
        "",
        "",
    ]


def test_the_hub_s_cache_counts(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "hub" / "models--facebook--dino-vits16"
    shutil.copytree(folder / "dino", place / "snapshots" / "0123abcd")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0123abcd")
    rows = {row.name: row for row in describe_metrics()}
    assert rows["dino1_i"].lacks == "" and rows["dino_i"].lacks == "weights: dinov2"
    opened = open_named("dino1_i,dino_i", None)
    assert get_names(opened) == [["dino1_i"]] and list(opened.missing) == ["dino_i"]
    assert "ViTModel facebook/dino-vits16@0123abcd, float32" in opened.measures[0].implementation
    assert np.isfinite(opened.measures[0].measure([make_shot(1)])[0]["dino1_i"])
    assert describe_metrics(Weights(dino="/no/such/folder"))[list(rows).index("dino1_i")].lacks
