"""Exports in the programs they are for: peft, diffusers' own pipeline, a2; against a2's own frozen routing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxFillPipeline, FluxTransformer2DModel
from export_things import get_config, get_gates
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor

from a2cli.backbones.blocks import get_blocks
from a2cli.backbones.flux import NANO_FOLDER
from a2cli.config.export import ExportConfig
from a2cli.engine.pipeline import EditPipeline
from a2cli.exporting.card import Written
from a2cli.exporting.diffusers_lora import write_diffusers
from a2cli.exporting.kohya import write_kohya
from a2cli.exporting.models import write_merged_model
from a2cli.exporting.peft_folders import get_targets, write_peft
from a2cli.exporting.routing import FrozenRouting
from a2cli.exporting.source import Source
from a2cli.mot import load_adapter

Build = Callable[..., Source]
Writer = Callable[[Source, Path], Written]


@pytest.fixture
def build(tiny_base: Path, tiny_experts: Path, tiny_pairs: Path, tmp_path: Path) -> Build:
    """Sources whose frozen gates differ from block to block, also in number."""

    def make(**changes: object) -> Source:
        source = Source(get_config(tiny_experts, tiny_base, tiny_pairs, tmp_path / "out", **changes))
        gates = get_gates([block.name for block in get_blocks(load_flux(tiny_base))])
        chosen = {name: (values > 0).float() for name, values in gates.items()}
        source.__dict__["routing"] = FrozenRouting(gates, chosen, 1, 0.0, "usage", "two gates made up")
        return source

    return make


def load_flux(model: Path) -> FluxTransformer2DModel:
    return FluxTransformer2DModel.from_pretrained(model, subfolder="transformer", torch_dtype=torch.float32)


def answer(flux: FluxTransformer2DModel) -> Tensor:
    """What the transformer says of noise, as its own pipelines call it."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(6, 3)
    ids[:, 2] = torch.arange(6)
    with torch.no_grad():
        return flux(
            hidden_states=torch.randn(1, 6, 288, generator=generator),
            encoder_hidden_states=torch.randn(1, 3, 32, generator=generator),
            pooled_projections=torch.randn(1, 32, generator=generator),
            timestep=torch.tensor([0.4]),
            img_ids=ids,
            txt_ids=torch.zeros(3, 3),
            return_dict=False,
        )[0]


def get_frozen_answer(source: Source, gates: dict[str, Tensor] | None = None) -> Tensor:
    """a2's own: the same gates merged into the experts' base."""
    flux = load_flux(Path(str(source.config.model)))
    handle, _ = load_adapter(flux, get_blocks(flux), source.origin.folder, base_hash=source.origin.base_hash)
    assert source.routing is not None
    handle.merge({name: values[None] for name, values in (gates or source.routing.gates).items()})
    return answer(flux)


def load_into_pipeline(source: Source, folder: Path, file: str) -> FluxTransformer2DModel:
    """The file through `FluxFillPipeline.load_lora_weights`."""
    model = str(source.config.model)
    pipe = FluxFillPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKL.from_pretrained(model, subfolder="vae"),
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
        transformer=load_flux(Path(model)),
    )
    pipe.load_lora_weights(str(folder), weight_name=file)
    return pipe.transformer


def test_peft_loads_the_mixture_and_every_expert(build: Build, tmp_path: Path) -> None:
    source = build(format="peft")
    write_peft(source, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == [
        *(f"expert_{i}" for i in range(4)),
        "merge",
    ]
    assert source.routing is not None
    before = answer(load_flux(Path(str(source.config.model))))
    one = {name: torch.eye(4)[2] for name in source.routing.gates}
    for name, gates in (("merge", None), ("expert_2", one)):
        flux = load_flux(Path(str(source.config.model)))
        model = PeftModel.from_pretrained(flux, str(tmp_path / name))
        wanted = get_frozen_answer(source, gates)
        assert float((wanted - before).abs().max()) > 0.05
        torch.testing.assert_close(answer(flux), wanted, rtol=0, atol=1e-5)
        said = json.loads((tmp_path / name / "adapter_config.json").read_text())
        assert said["base_model_name_or_path"] is None and model.peft_config  # no hub id: nothing to look up
    ranks = {
        t.shape[0]
        for n, t in load_file(tmp_path / "merge" / "adapter_model.safetensors").items()
        if "lora_A" in n
    }
    assert ranks == {4, 6}  # two and three experts of rank 2


def test_a2_takes_the_folder_as_an_adapter_and_asks_no_hub(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*given: object, **named: object) -> None:
        raise AssertionError("the hub was asked")

    source = build(format="peft")
    source.origin = replace(source.origin, base_id="owner/base")
    write_peft(source, tmp_path)
    said = json.loads((tmp_path / "merge" / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == "owner/base"
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", ask)
    pipeline = EditPipeline.load(
        "nano", model=str(source.config.model), adapter=str(tmp_path / "merge"), device="cpu"
    )
    torch.testing.assert_close(
        answer(pipeline.backbone.transformer), get_frozen_answer(source), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("bare", [False, True])
def test_diffusers_loads_the_file(build: Build, tmp_path: Path, bare: bool) -> None:
    """Also without the metadata, which not every release reads."""
    source = build()
    write_diffusers(source, tmp_path)
    (file,) = tmp_path.iterdir()
    tensors = load_file(file)
    assert all(
        n.startswith("transformer.") and n.endswith((".lora_A.weight", ".lora_B.weight")) for n in tensors
    )
    if bare:
        from safetensors.torch import save_file

        save_file(tensors, file)
    flux = load_into_pipeline(source, tmp_path, file.name)
    torch.testing.assert_close(answer(flux), get_frozen_answer(source), rtol=0, atol=1e-5)


def test_diffusers_loads_what_is_for_comfyui(build: Build, tmp_path: Path) -> None:
    """As far as it goes at another width than FLUX.1's: the double blocks."""
    source = build(format="comfyui")
    source.__dict__["deltas"] = {p: d for p, d in source.whole.items() if not p.startswith("single")}
    assert source.routing is not None
    written = write_kohya(source, tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name == "four-experts-usage.safetensors" and written.facts == {"modules": 8}
    flux = load_into_pipeline(source, tmp_path, file.name)
    gates = {n: v * (not n.startswith("single")) for n, v in source.routing.gates.items()}
    torch.testing.assert_close(answer(flux), get_frozen_answer(source, gates), rtol=0, atol=1e-5)


def test_a_smaller_rank_and_half_precision_come_close(build: Build, tmp_path: Path) -> None:
    source = build(rank=5, dtype="float16")
    write_diffusers(source, tmp_path)
    tensors = load_file(tmp_path / "pytorch_lora_weights.safetensors")
    assert {t.dtype for t in tensors.values()} == {torch.float16}
    assert max(t.shape[0] for n, t in tensors.items() if "lora_A" in n) == 5 and 0 < source.lost < 0.3
    flux = load_into_pipeline(source, tmp_path, "pytorch_lora_weights.safetensors")
    wanted, before = get_frozen_answer(source), answer(load_flux(Path(str(source.config.model))))
    assert 1e-5 < float((answer(flux) - wanted).abs().mean()) < 0.3 * float((wanted - before).abs().mean())


def test_a_plain_adapter_goes_through_every_format(tiny_base: Path, tiny_pairs: Path, tmp_path: Path) -> None:
    """Ranks and scales that differ by pattern, a scale that is not 1."""
    from peft import LoraConfig, get_peft_model

    flux = load_flux(tiny_base)
    names = [
        "transformer_blocks.0.attn.to_q",
        "transformer_blocks.0.ff.net.2",
        "single_transformer_blocks.0.proj_out",
    ]
    config = LoraConfig(
        r=2, lora_alpha=5, target_modules=names, rank_pattern={"ff.net.2": 3}, alpha_pattern={"attn.to_q": 7}
    )
    model = get_peft_model(flux, config)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    model.save_pretrained(str(tmp_path / "plain"))
    wanted = answer(flux)

    def get(format: str) -> Source:
        return Source(get_config(tmp_path / "plain", tiny_base, tiny_pairs, tmp_path / "out", format=format))

    for format, write in (("diffusers", write_diffusers), ("comfyui", write_kohya), ("peft", write_peft)):
        source = get(format)
        folder = tmp_path / format
        folder.mkdir()
        assert source.routing is None and source.origin.backbone == ""
        limits = write(source, folder).limits
        assert "mixture" not in limits and "one pass" in limits
        if format == "peft":
            flux = load_flux(tiny_base)
            PeftModel.from_pretrained(flux, str(folder / "merge"))
        elif format == "diffusers":
            flux = load_into_pipeline(source, folder, "pytorch_lora_weights.safetensors")
        else:
            assert len(load_file(folder / "plain.safetensors")) == 9
            continue
        torch.testing.assert_close(answer(flux), wanted, rtol=0, atol=1e-5)


def test_a_name_that_ends_another_one_means_only_itself() -> None:
    assert get_targets({"a.proj_out": 1, "b": 2}) == ["a.proj_out", "b"]
    assert get_targets({"proj_out": 1, "a.proj_out": 1}) == r"a\.proj_out|proj_out"


@pytest.mark.parametrize("write", [write_peft, write_diffusers, write_merged_model])
def test_the_programs_of_nanos_cards_run(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(ExportConfig(adapter="nano", format="diffusers", out="out", category="garments"))
    names = [block.name for block in get_blocks(load_flux(NANO_FOLDER))]
    gates = {name: torch.eye(8)[i % 8] for i, name in enumerate(names)}
    source.__dict__["routing"] = FrozenRouting(gates, gates, 1, 0.0, "garments", "gates made up")
    written = write(source, tmp_path)
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", written.use, re.DOTALL)
    space: dict[str, object] = {}
    exec(program, space)
    assert isinstance(space.get("pipe", space.get("transformer")), FluxFillPipeline | PeftModel)
