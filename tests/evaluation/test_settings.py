"""A file, changes and options into one configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from a2cli.errors import ConfigError
from a2cli.evaluation.config import MethodConfig
from a2cli.evaluation.origin import get_settings
from a2cli.evaluation.settings import check_places, load_eval_config, parse_judge, split_words


def test_options_go_over_changes_and_these_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "data: {path: synth, limit: 9}\nmethods: [nano, {name: mine, adapter: a}, paste]\nseed: 1\n"
        "metrics: psnr, ssim\nprotocols: all\nout: runs/x\nworkers: 3\n"
    )
    config = load_eval_config(
        str(file), ["seed=2", "workers=4"], {"workers": 5, "data.limit": 4, "seed": None}
    )
    assert (config.data.limit, config.seed, config.workers, config.out) == (4, 2, 5, "runs/x")
    assert config.methods == (
        MethodConfig("nano", backbone="nano"),
        MethodConfig("mine", adapter="a"),
        MethodConfig("paste", kind="paste"),
    )
    assert config.metrics == ("psnr", "ssim") and config.protocols == ("all",)


def test_pred_and_methods_take_each_others_place(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("data: {path: d}\nmethods: [paste]\nrun: true\nout: o\n")
    config = load_eval_config(str(file), (), {"pred": str(tmp_path)})
    assert (config.pred, config.methods, config.run) == (str(tmp_path), (), False)
    file.write_text("data: {path: d}\npred: edits\nout: o\n")
    assert load_eval_config(str(file), (), {"methods": ["paste"]}).pred is None


def test_protocols_of_finished_edits_are_those_they_have_folders_of(tmp_path: Path) -> None:
    options: dict[str, Any] = {"pred": str(tmp_path), "data.path": "d"}
    assert load_eval_config(None, (), options).protocols == ("fine",)
    for name in ("box", "rough", "other"):
        (tmp_path / name).mkdir()
    assert load_eval_config(None, (), options).protocols == ("rough", "box")
    assert load_eval_config(None, (), options | {"protocols": ["fine"]}).protocols == ("fine",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pred": "x"}, "nothing says which records"),
        ({"methods": ["paste"]}, "methods need a folder"),
        ({"methods": ["paste", "paste"], "out": "o"}, "paste is named twice"),
        ({"methods": ["a b"], "out": "o"}, "cannot be that of a folder"),
        ({"methods": ["paste=x"], "out": "o"}, "a baseline has no adapter"),
        ({"pred": "x", "data.path": "d", "data.benchmark": "magicbrus"}, "did you mean 'magicbrush'?"),
        ({"pred": "x", "data.path": "d", "batch_size": 0}, "batch_size must be 1 or more"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_eval_config(None, (), options)
    assert message in str(caught.value)


@pytest.mark.parametrize("device", ["foo", "cuda:x", "cuda:", "CPU", ""])
def test_a_device_is_one_of_the_known(device: str) -> None:
    for options in ({"device": device}, {"judge.model": "m", "judge.device": device}):
        with pytest.raises(ConfigError, match="device: there is no "):
            load_eval_config(None, (), {"pred": "x", "data.path": "d", **options})


def test_a_path_that_leads_nowhere_is_told_with_its_file_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run.yaml"
    head = "out: o\nrun: true\n"

    def check(text: str, **options: Any) -> str:
        file.write_text(head + text)
        try:
            check_places(str(file), load_eval_config(str(file), (), options))
        except ConfigError as error:
            return str(error).removeprefix(f"{file}: ")
        return ""

    away = "no such file or folder (paths start where a2 is run"
    photos = "data: {limit: 1, synth: {photos: photos}}\nmethods: [paste]\n"
    assert check(photos) == f"data.synth.photos: photos: {away}; change it with --set data.synth.photos=PATH)"
    options = {"data.synth.photos": "elsewhere"}
    assert check(photos, **options).startswith("data.synth.photos: elsewhere: no such")
    (tmp_path / "photos").mkdir()
    assert check(photos) == ""
    weights = "methods: [paste]\nweights: {folder: w}\n"
    assert check(weights).startswith(f"weights.folder: w: {away}")
    assert check(weights, **{"weights.folder": "other"}) == ""  # it says so itself
    data = "data: {path: d}\nmethods: [paste]\n"
    assert check(data).startswith("data.path: d: ") and check(data, **{"data.path": "synth"}) == ""
    method = "{name: m, backbone: flux-fill, model: some/model, adapter: %s}"
    assert check(f"methods: [{method % 'a'}]").startswith(f"methods[0].adapter: a: {away})")
    assert check(f"methods: [{method % 'none'}]") == ""
    train = "methods: [{name: m, train: {config: t.yaml}}]"
    assert check(train).startswith("methods[0].train.config: t.yaml: ") and check(train, run=False) == ""


def test_words_are_split_at_commas_but_a_shift_is_one() -> None:
    assert split_words(["fine, rough", "dilate:8%"]) == ["fine", "rough", "dilate:8%"]
    assert split_words(["shift:32,-8,fine", "shift:8%"]) == ["shift:32,-8", "fine", "shift:8%"]
    assert split_words(["", " , "]) == []


def test_a_judge_is_an_api_and_a_model() -> None:
    assert parse_judge("local:/models/a:b") == {"judge.api": "local", "judge.model": "/models/a:b"}
    assert parse_judge(None) == {}
    for text, message in (
        ("opnai:m", "did you mean 'openai'?"),
        ("openai", "such as openai:MODEL"),
        (":", "such as"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse_judge(text)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("file", "told", "backbone"),
    [
        ("adapter_config.json", '{"backbone": "flux-fill"}', "flux-fill"),
        ("a2_origin.json", '{"backbone": "flux-fill"}', "flux-fill"),
        ("adapter_config.json", '{"peft_type": "LORA"}', "nano"),
        ("adapter_config.json", "[", "nano"),
    ],
)
def test_an_adapter_says_which_backbone_it_is_of(tmp_path: Path, file: str, told: str, backbone: str) -> None:
    (tmp_path / file).write_text(told)
    (method,) = load_eval_config(None, (), {"methods": [f"mine={tmp_path}"], "out": "o"}).methods
    assert (method.name, method.kind, method.backbone) == ("mine", "a2", backbone)


def test_settings_on_record_name_no_place(tmp_path: Path) -> None:
    train = {"config": "t.yaml", "overrides": [f"data.path={tmp_path}", "steps=4"]}
    options = {"methods": [{"name": "m", "train": train}], "out": str(tmp_path), "data.path": "~/pairs"}
    kept = get_settings(load_eval_config(None, (), options))
    assert kept["methods"][0]["train"]["overrides"] == [f"data.path={tmp_path.name}", "steps=4"]
    assert (kept["out"], kept["data"]["path"]) == (tmp_path.name, "pairs")
