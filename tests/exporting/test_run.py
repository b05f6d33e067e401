"""`a2 export` from end to end: what it writes, says, refuses, replaces and sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from edits import Done
from export_things import get_config
from safetensors.torch import load_file, save_file

from a2cli.cli import main
from a2cli.config.export import ExportConfig
from a2cli.errors import CheckpointError, ConfigError
from a2cli.exporting.run import run_export
from a2cli.exporting.target import RECORD, get_fingerprint, is_finished

ASSETS = Path(__file__).parents[2] / "a2cli" / "assets"
Run = Callable[..., Done]


@pytest.fixture
def run(
    tiny_base: Path,
    tiny_experts: Path,
    tiny_pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """`a2 export` of the tiny experts in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def export(*arguments: object, adapter: object = tiny_experts) -> Done:
        given = ["--model", tiny_base, "--data", tiny_pairs, "--pairs", 2, "--device", "cpu"]
        capsysbinary.readouterr()
        code = main(["export", str(adapter), *map(str, given), *map(str, arguments)])
        out, err = capsysbinary.readouterr()
        return Done(code, out, err.decode())

    return export


def read_card(folder: Path) -> tuple[dict[str, Any], str]:
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


@pytest.fixture
def style(tmp_path: Path) -> Path:
    """A low-rank adapter made elsewhere, of FLUX.1 Fill: nothing but its own file has to be opened."""
    folder = tmp_path / "style"
    folder.mkdir()
    config = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["proj_out"],
        "base_model_name_or_path": "black-forest-labs/FLUX.1-Fill-dev",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    name = "base_model.model.single_transformer_blocks.0.proj_out"
    tensors = {f"{name}.lora_A.weight": torch.ones(2, 40), f"{name}.lora_B.weight": torch.ones(8, 2)}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def test_an_export_says_what_it_is_and_what_it_lost(run: Run, tmp_path: Path) -> None:
    done = run("--format", "diffusers", "-o", "out", "--measure", 1, "--json")
    assert done.code == 0, done.stderr
    (record,) = done.records
    assert record["path"] == "out" and record["to"] == "diffusers" and record["routing"] == "usage"
    limits, loss = done.stderr.splitlines()
    assert limits.startswith("diffusers: The experts' routing") and "one pass" in limits
    assert loss.startswith("loss: edits of 1 held-out pair") and f"{record['loss']['apart']:.4f}" in loss
    front, text = read_card(tmp_path / "out")
    assert (front["library_name"], front["license"]) == ("diffusers", "unknown") and "base_model" not in front
    error = f"{record['loss']['frozen']:.4f}"
    for said in ("4 of rank 2", error, "load_lora_weights", '"steps": 3', "its own card", limits[11:]):
        assert said in text, said
    gates = json.loads((tmp_path / "out" / "routing.json").read_text())
    assert gates["samples"] == 2 and [len(g) for g in gates["gates"].values()] == [4, 4]
    files = {str(p.relative_to(tmp_path / "out")): p for p in (tmp_path / "out").rglob("*")}
    assert set(files) == {*record["files"], RECORD}
    assert is_finished(tmp_path / "out", record["fingerprint"])
    assert len({path.stat().st_mode for path in files.values()}) == 1
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


def test_only_an_export_is_replaced_and_comes_out_the_same(run: Run, style: Path, tmp_path: Path) -> None:
    arguments = ("--format", "comfyui", "-o")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for out in (mine, mine / "thesis.txt", style):
        done = run(*arguments, out, adapter=style)
        assert (done.code, done.stdout) == (2, b"") and "is no export" in done.stderr
    assert (mine / "thesis.txt").read_text() == "years of work"
    (tmp_path / "out").mkdir()  # empty
    assert run(*arguments, "out", adapter=style).lines == ["out"]
    one = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / "left over").touch()
    assert run(*arguments, "out", adapter=style).code == 0
    assert (
        one == {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} and "style.safetensors" in one
    )


def test_another_base_or_data_set_in_the_same_place_is_another_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("model", "data", "elsewhere", "synth"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"one")
    (tmp_path / "model" / "link").symlink_to(tmp_path / "elsewhere")

    def look(**changes: str) -> str:
        config = ExportConfig(
            "nano", "peft", **{"out": "model/out", "model": "~/model", "data": "data", **changes}
        )
        return get_fingerprint(config, "adapter")

    seen = {look(), look(data="data/*"), look(data="data/weights")}
    for folder in ("model", "elsewhere", "data"):
        (tmp_path / folder / "weights").write_bytes(b"other")
        seen.add(look())
    seen |= {look(data="data/*"), look(data="data/weights")}
    assert len(seen) == 8  # each change seen, by each name
    (tmp_path / "model" / "out").mkdir()
    (tmp_path / "model" / "out" / "made").touch()  # by the export itself
    (tmp_path / "data" / "gone").symlink_to("nowhere")
    assert look() in seen
    before = look(data="synth")
    (tmp_path / "synth" / "weights").write_bytes(b"other")  # the word means the pairs that a2 makes
    assert look(data="synth") == before


def test_what_fails_leaves_the_old_export(
    tiny_base: Path, tiny_experts: Path, tiny_pairs: Path, style: Path, tmp_path: Path
) -> None:
    list(run_export(get_config(style, tiny_base, tiny_pairs, tmp_path / "out")))
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with pytest.raises(ConfigError, match="--measure 0"):  # one of its folders has but one split
        list(
            run_export(get_config(tiny_experts, tiny_base, tiny_pairs / "train", tmp_path / "out", measure=2))
        )
    tensors = load_file(style / "adapter_model.safetensors")
    save_file({n: t * 1e30 for n, t in tensors.items()}, style / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="holds NaN or infinite values as torch"):
        list(run_export(get_config(style, tiny_base, tiny_pairs, tmp_path / "out", dtype="float16")))
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


def test_another_base_a_region_adapter_and_strangers_are_refused(run: Run, tmp_path: Path) -> None:
    arguments = ("--format", "peft", "-o", "out")
    done = run(*arguments, adapter="nano")  # trained on the base inside a2, not on --model
    assert done.code == 2 and "made for nano" in done.stderr and not (tmp_path / "out").exists()
    done = run(*arguments, adapter=ASSETS / "nano-region")
    assert done.code == 2 and "no other format carries such a gate" in done.stderr
    done = run(*arguments, adapter=tmp_path / "nowhere")
    assert done.code == 2 and "nowhere" in done.stderr
    done = run("--format", "merged", "-o", "out")
    assert done.code == 2 and "--for" in done.stderr and not (tmp_path / "out").exists()
    done = run(*arguments, "--for", "garment")
    assert done.code == 2 and "did you mean 'garments'?" in done.stderr
    done = run(*arguments, "--backbone", "flux-fill")
    assert done.code == 2 and "made for nano" in done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"category": "plants", "ref": "cat.png"}, "two routings"),
        ({"photo": "a.png", "mask": "b.png"}, "--for-ref"),
        ({"ref": "cat.png", "photo": "a.png"}, "one edit"),
        ({"out": "lora.safetensors"}, "is a folder"),
        ({"push_to_hub": "https://x/y"}, "no repository"),
        ({"private": True}, "--push-to-hub"),
        ({"rank": 0}, "--rank"),
        ({"dtype": "float8"}, "--dtype"),
        ({"format": "gguf"}, "--format"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ExportConfig(**{"adapter": "nano", "format": "peft", "out": "out"} | changes)


def test_a_failed_upload_costs_no_second_export(
    run: Run, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    monkeypatch.setattr("a2cli.exporting.hub.PAUSE", 0.0)
    arguments = ("--format", "diffusers", "-o", "out", "--push-to-hub", "me/tiny")
    done = run(*arguments, adapter=style)
    assert (done.code, done.lines) == (1, ["out"]) and "is written, but not sent" in done.stderr
    record = tmp_path / "out" / RECORD
    written = record.stat().st_ino
    assert run(*arguments, adapter=style).code == 1 and record.stat().st_ino == written
    (tmp_path / "out" / "README.md").write_text("touched")  # no longer what was written: made anew
    assert run(*arguments, adapter=style).code == 1 and record.stat().st_ino != written


def test_a_card_for_flux_names_the_base_and_its_licence(
    style: Path, tiny_base: Path, tiny_pairs: Path, tmp_path: Path
) -> None:
    changes = {"format": "comfyui", "model": None, "dtype": "auto"}
    (done,) = run_export(get_config(style, tiny_base, tiny_pairs, tmp_path / "out", **changes))
    front, text = read_card(tmp_path / "out")
    base = "black-forest-labs/FLUX.1-Fill-dev"
    assert (front["base_model"], front["base_model_relation"]) == (base, "adapter") and base in text
    assert front["license_name"].startswith("flux-1-dev") and "None: these are the adapter's own" in text
    assert done.record["routing"] is None and not (tmp_path / "out" / "routing.json").exists()
    tensors = load_file(tmp_path / "out" / "style.safetensors")
    up = tensors["lora_unet_single_blocks_0_linear2.lora_up.weight"]
    assert torch.equal(up, torch.full((8, 2), 2.0))  # alpha / r is baked in
    with pytest.raises(ConfigError, match="no routing"):
        list(run_export(get_config(style, tiny_base, tiny_pairs, tmp_path / "o", category="animals")))


def test_a_merged_model_keeps_how_its_adapter_cropped(
    style: Path, tiny_base: Path, tiny_pairs: Path, tmp_path: Path
) -> None:
    """Crops that follow the mask are said by the adapter's recipe, and a merged model is used without it."""
    name = "base_model.model.single_transformer_blocks.0.attn.to_q"
    tensors = {f"{name}.lora_A.weight": torch.ones(2, 64), f"{name}.lora_B.weight": torch.ones(64, 2)}
    save_file(tensors, style / "adapter_model.safetensors")
    origin = {"format": "a2-lora", "backbone": "nano", "recipe": {"buckets": True}}
    (style / "a2_origin.json").write_text(json.dumps(origin))
    list(
        run_export(get_config(style, tiny_base, tiny_pairs, tmp_path / "out", format="merged", dtype="auto"))
    )
    before, after = (json.loads((p / "a2_traits.json").read_text()) for p in (tiny_base, tmp_path / "out"))
    assert not before["buckets"] and after == before | {"buckets": True}
    weights = load_file(next((tmp_path / "out" / "transformer").glob("*.safetensors")))
    plain = load_file(next((tiny_base / "transformer").glob("*.safetensors")))
    key = "single_transformer_blocks.0.attn.to_q.weight"
    torch.testing.assert_close(weights[key], (plain[key].float() + 4).half())
