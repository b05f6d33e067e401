"""A judge on this machine: pictures and words reach real models of transformers, nonsense is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judge_server import build_shot
from tiny_vlms import ANSWER, build_idefics3, build_llava, build_qwen2_vl
from transformers import AutoModelForImageTextToText

from a2cli.errors import BackboneError
from a2cli.evaluation.config import JudgeConfig
from a2cli.evaluation.judge import local
from a2cli.evaluation.judge.asking import NONSENSE
from a2cli.evaluation.judge.local import LocalModel, _HalfOnCuda, load_judge
from a2cli.evaluation.judge.opening import Judge, open_judge
from a2cli.evaluation.judge.showing import build_edit_ask, build_looks_ask
from a2cli.metrics.shots import Shot

BUILD: dict[str, Callable[[Path], str]] = {
    "qwen2_vl": build_qwen2_vl,
    "idefics3": build_idefics3,
    "llava": build_llava,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in BUILD.items()}


def open_local(source: str, cache: Path, **options: Any) -> Judge:
    return open_judge(JudgeConfig(api="local", model=source, device="cpu", swap=0.0, **options), cache)


@pytest.mark.parametrize("name", BUILD)
def test_words_and_pictures_become_tensors(folders: dict[str, str], name: str) -> None:
    """Without torchvision, also where the model's processor has a part for videos."""
    judge = load_judge(folders[name], "cpu")
    ask = build_edit_ask(build_shot(level=120), 64)
    inputs = judge.build_inputs(ask)
    text = judge.processor.tokenizer.decode(inputs["input_ids"][0])
    found = [text.find(part) for part in ask.parts if isinstance(part, str)]
    assert -1 not in found and found == sorted(found)
    assert text.endswith("<|im_start|>assistant\n") and "could not be read" not in text
    assert "could not be read" in judge.processor.tokenizer.decode(judge.build_inputs(ask, 1)["input_ids"][0])
    ids = inputs["input_ids"][0]
    pictures = (ids == judge.model.config.image_token_id).sum()
    if name == "qwen2_vl":
        assert inputs["image_grid_thw"].shape == (4, 3)
        assert pictures == inputs["image_grid_thw"].prod(1).sum() // 4
    else:
        assert inputs["pixel_values"].flatten(0, -4).shape[0] == 4
        assert pictures == 4 * (4 if name == "idefics3" else 16)
    dark, light = (judge.build_inputs(build_looks_ask(build_shot(v), 64))["pixel_values"] for v in (0, 255))
    assert (
        dark.shape == light.shape
        and float((light - dark).max()) >= 1.9
        and float((light - dark).min()) > -0.5
    )


@pytest.mark.parametrize("name", BUILD)
def test_nonsense_is_coverage_zero_and_no_number(
    folders: dict[str, str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MOST_TOKENS", 8)
    judge = open_local(folders[name], tmp_path, retries=1)
    assert judge.measure([build_shot()]) == [{}]
    report = judge.report()
    assert report["failed"] == {NONSENSE: 1} and report["coverage"] == dict.fromkeys(report["expected"], 0.0)
    assert report["details"][NONSENSE].startswith("cut off for its length") or report["tokens_out"] < 16
    assert report["calls"] == 2 and 0 < report["tokens_out"] <= 16 and report["budget"] is None
    assert not list(tmp_path.iterdir())
    json.dumps(report, allow_nan=False)


def test_a_model_that_answers_well(tmp_path: Path) -> None:
    source = build_qwen2_vl(tmp_path / "tiny", taught=True)
    cache = tmp_path / "cache"
    judge = open_local(source, cache)
    values = judge.measure([build_shot(), build_shot(9, id="two")])
    assert values == [{"vlm": 70, "vlm_boundary": 80, "vlm_realism": 70, "vlm_consistency": 60}] * 2
    assert judge.report()["tokens_out"] == 4 and judge.report()["answered"] == 2  # ANSWER and its end, twice
    assert judge.implementation.startswith("local: Qwen2VLForConditionalGeneration tiny ")
    kept = [json.loads(path.read_text()) for path in cache.glob("*.json")]
    assert [value["text"] for value in kept] == [ANSWER] * 2
    again = open_local(source, cache)
    assert again.measure([build_shot()]) == values[:1] and again.report()["calls"] == 0
    other = open_local(build_qwen2_vl(tmp_path / "other" / "tiny"), cache, retries=0)
    assert other.measure([build_shot()]) == [{}]  # another model of that name has answers of its own


def test_answers_are_greedy_whatever_the_model_says(
    folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MOST_TOKENS", 6)
    judge = load_judge(folders["llava"], "cpu")
    judge.model.generation_config.do_sample = True
    judge.model.generation_config.temperature = 50.0
    ask = build_looks_ask(build_shot(), 64)
    assert len({judge.answer(ask, 0).text for _ in range(3)}) == 1


def test_a_model_that_fails_on_an_ask_misses_that_one(
    folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = open_local(folders["llava"], tmp_path)
    model = judge.asker.model
    assert isinstance(model, LocalModel)
    weight = torch.nn.Parameter(torch.zeros(3, 3), requires_grad=False)
    model.model.model.multi_modal_projector.linear_1.weight = weight
    assert judge.measure([build_shot()]) == [{}]
    (detail,) = judge.report()["details"].values()
    assert "LlavaForConditionalGeneration" in detail and "fails: " in detail and judge.report()["calls"] == 1


def test_models_that_cannot_judge_are_refused(folders: dict[str, str], tmp_path: Path) -> None:
    bare = build_llava(tmp_path / "bare", template=False)
    with pytest.raises(BackboneError, match="no chat template"):
        load_judge(bare, "cpu")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(BackboneError, match="text: cannot be loaded"):
        load_judge(str(tmp_path / "text"), "cpu")
    with pytest.raises(BackboneError, match="no such model folder"):
        load_judge(str(tmp_path / "none"), "cpu")
    (Path(bare) / "pytorch_model.bin").touch()
    with pytest.raises(BackboneError, match=r"\.bin"):
        load_judge(bare, "cpu")


@pytest.mark.parametrize("size", [(1, 300), (1, 1)])
def test_odd_pictures_end_in_an_answer_or_a_failure(
    folders: dict[str, str], size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MOST_TOKENS", 2)
    picture = np.zeros((*size, 3), np.uint8)
    shot = Shot("odd", picture, np.ones(size, bool), picture, ref_rgb=picture)
    for name in BUILD:
        judge = open_local(folders[name], tmp_path, retries=0)
        assert judge.measure([shot]) == [{}] and sum(judge.report()["failed"].values()) == 1


def test_weights_on_cuda_are_bfloat16(folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MOST_TOKENS", 3)
    opener = _HalfOnCuda(AutoModelForImageTextToText, "cuda:0")
    model = opener.from_pretrained(folders["qwen2_vl"], dtype=torch.float32)  # as load_model asks
    assert model.dtype == torch.bfloat16
    judge = LocalModel(model, load_judge(folders["qwen2_vl"], "cpu").processor, folders["qwen2_vl"], "cpu")
    inputs = judge.build_inputs(build_looks_ask(build_shot(), 64))
    assert inputs["pixel_values"].dtype == torch.bfloat16 and inputs["input_ids"].dtype == torch.int64
    assert judge.answer(build_looks_ask(build_shot(), 64), 0).tokens is not None
