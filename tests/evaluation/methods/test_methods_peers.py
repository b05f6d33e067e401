"""The peers: diffusers' own pipeline beside ours, the diptych's layout, LoRAs of both makings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_tasks import make_task
from PIL import Image
from safetensors.torch import load_file, save_file

from a2cli.errors import BackboneError, CheckpointError
from a2cli.evaluation.config import MethodConfig
from a2cli.evaluation.methods import build_method
from a2cli.evaluation.methods.diptych import CONTEXT, DiptychMethod, build_canvas
from a2cli.evaluation.methods.fill import FillMethod, get_size
from a2cli.images.geometry import get_bounding_box, get_zoom_crop
from a2cli.lora.adapter import inject_lora
from a2cli.lora.config import LoraConfig

SQUARE = make_task(height=64, width=64)
ODD = make_task(1, height=37, width=90)


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FLUX.1 Fill in miniature with Redux's parts."""
    from flux_folder import build_flux_folder

    return build_flux_folder(tmp_path_factory.mktemp("flux"))


@pytest.fixture(scope="module")
def plain(flux: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without Redux's parts, as FLUX.1 Fill is published."""
    folder = tmp_path_factory.mktemp("plain") / "fill"
    shutil.copytree(flux, folder)
    for part in ("image_encoder", "image_embedder"):
        shutil.rmtree(folder / part)
    return folder


def open_fill(model: Path, **settings: object) -> FillMethod:
    config = MethodConfig(
        "fill",
        kind="fill",
        backbone="flux-fill",
        model=str(model),
        **{"steps": 2, "resolution": 64} | settings,
    )  # type: ignore[arg-type]
    method = build_method(config, device="cpu")
    assert isinstance(method, FillMethod)
    return method


def open_diptych(model: Path, **settings: object) -> DiptychMethod:
    given = {"steps": 2, "resolution": 64, "guidance": 30.0} | settings
    config = MethodConfig("pair", kind="diptych", backbone="flux-fill", model=str(model), **given)  # type: ignore[arg-type]
    method = build_method(config, device="cpu")
    assert isinstance(method, DiptychMethod)
    return method


def test_fill_is_the_pipeline_of_diffusers(plain: Path) -> None:
    """The parts opened by a2 and texts encoded by a2, against `from_pretrained` and a prompt."""
    from diffusers import FluxFillPipeline

    theirs = FluxFillPipeline.from_pretrained(str(plain))
    theirs.set_progress_bar_config(disable=True)
    wanted = theirs(
        prompt="a red cup",
        image=Image.fromarray(SQUARE.source),
        mask_image=Image.fromarray(SQUARE.mask.astype(np.uint8) * 255),
        height=64,
        width=64,
        num_inference_steps=2,
        guidance_scale=30.0,
        generator=torch.Generator().manual_seed(SQUARE.seed),
        output_type="np",
    ).images[0]
    method = open_fill(plain)
    ours = method.fill.paint(
        SQUARE.source, SQUARE.mask, method.fill.encode_text("a red cup"), seed=SQUARE.seed
    )
    assert np.allclose(ours, wanted * 255, atol=0.01)  # the autoencoder's memory lies in another order
    assert np.array_equal(method.edit(SQUARE), np.rint(ours).astype(np.uint8))


def test_fill_keeps_the_size_and_sees_nothing_under_the_mask(plain: Path) -> None:
    method = open_fill(plain)
    edited = method.edit(ODD)
    assert edited.shape == ODD.source.shape and edited.dtype == np.uint8
    assert (edited[~ODD.mask] != ODD.source[~ODD.mask]).any()  # nothing is pasted back
    assert method.identity["paste_back"] is False and method.identity["reference"] is False
    other = SQUARE.source.copy()
    other[SQUARE.mask] = (255, 0, 90)
    assert np.array_equal(method.edit(replace(SQUARE, source=other)), method.edit(SQUARE))
    without = replace(SQUARE, case=replace(SQUARE.case, ref_rgb=None, ref_mask=None))
    assert np.array_equal(method.edit(without), method.edit(SQUARE))
    assert not np.array_equal(method.edit(replace(SQUARE, seed=9)), method.edit(SQUARE))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 90), (1, 4096), (1200, 800)])
def test_fill_works_at_about_the_same_number_of_pixels(height: int, width: int) -> None:
    h, w = get_size(height, width, 256, 16)
    assert h % 16 == w % 16 == 0 and min(h, w) >= 16
    if max(height, width) / min(height, width) < 4:
        assert 0.85 < h * w / 256**2 < 1.15 and abs(np.log(h / w * width / height)) < 0.15


def test_nan_is_an_error(plain: Path) -> None:
    method = open_fill(plain)
    with torch.no_grad():
        method.fill.backbone.transformer.proj_out.weight[0, 0] = float("nan")
    with pytest.raises(BackboneError, match="NaN"):
        method.edit(SQUARE)


def test_both_run_over_nano_and_say_that_it_is_no_rival(caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("fill", "diptych"):
        method = build_method(
            MethodConfig("row", kind=kind, steps=1, resolution=64),  # type: ignore[arg-type]
            device="cpu",
        )
        assert method.edit(ODD).shape == ODD.source.shape
    assert [record.message for record in caplog.records if "no rival" in record.message] == [
        "row: nano never learnt to start from noise alone, as fill does: its edits are noise, no rival",
        "row: nano never learnt to start from noise alone, as diptych does: its edits are noise, no rival",
    ]
    with pytest.raises(BackboneError, match="resolution 100"):
        build_method(MethodConfig("row", kind="fill", resolution=100), device="cpu")


def test_the_canvas_shows_the_reference_left_and_the_crop_right() -> None:
    reference = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    crop, canvas, mask = build_canvas(ODD.source, ODD.mask, reference)
    assert canvas.shape == (32, 64, 3) and mask.shape == (32, 64) and mask.dtype == bool
    assert np.array_equal(canvas[:, :32], reference) and not mask[:, :32].any()
    box = get_bounding_box(ODD.mask)
    assert box is not None and crop.width == crop.height >= min(90, CONTEXT * (box[2] - box[0]))
    hole = (np.abs(canvas[:, 32:].astype(int) - 127).max(-1) < 2) & mask[:, 32:]
    assert hole.any() and mask[:, 32:].sum() > hole.sum()  # the mask is dilated


@pytest.mark.parametrize("where", [(0, 0), (36, 89), (18, 40)])
def test_a_mask_of_one_pixel_is_still_seen(where: tuple[int, int]) -> None:
    mask = np.zeros((37, 90), bool)
    mask[where] = True
    _, _, shown = build_canvas(ODD.source, mask, np.zeros((16, 16, 3), np.uint8))
    assert shown.any()
    _, _, shown = build_canvas(ODD.source, np.ones_like(mask), np.zeros((16, 16, 3), np.uint8))
    assert shown[:, 16:].any()


def test_the_diptych_replaces_the_rectangle_and_nothing_else(flux: Path) -> None:
    task = make_task(height=200, width=240)
    edited = open_diptych(flux).edit(task)
    dilated = np.zeros_like(task.mask)
    x0, y0, x1, y1 = get_bounding_box(task.mask) or (0, 0, 0, 0)
    dilated[max(y0 - 6, 0) : y1 + 6, max(x0 - 6, 0) : x1 + 6] = True
    box = get_zoom_crop(dilated, size=64, context=CONTEXT).get_inside(task.mask.shape)
    inside = np.zeros_like(task.mask)
    inside[box[1] : box[3], box[0] : box[2]] = True
    assert np.array_equal(edited[~inside], task.source[~inside]) and not inside.all()
    assert (edited != task.source)[inside].mean() > 0.5


def test_redux_takes_the_place_of_text(flux: Path, plain: Path) -> None:
    """Tokens come from the model's folder or from one of their own, alike; without them the prompt counts."""
    whole, added, bare = open_diptych(flux), open_diptych(plain, redux=str(flux)), open_diptych(plain)
    assert whole.identity["text"] == added.identity["text"] == "zeros and Redux tokens"
    assert bare.identity["text"] == "prompt" and added.identity["redux"] == flux.name
    edited = whole.edit(SQUARE)
    assert np.array_equal(added.edit(SQUARE), edited)
    said = replace(SQUARE, case=replace(SQUARE.case, prompt="photo of a cup"))
    assert np.array_equal(whole.edit(said), edited)
    states = [bare._encode(np.zeros((64, 64, 3), np.uint8), task)[0] for task in (SQUARE, said)]
    assert not torch.equal(*states)
    with pytest.raises(BackboneError, match="image_encoder"):
        open_diptych(plain, redux=str(plain))


@pytest.fixture(scope="module")
def lora(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA that does something, as peft saves it."""
    backbone = open_fill(plain).fill.backbone
    handle = inject_lora(backbone.transformer, backbone.get_blocks(), LoraConfig(rank=2))
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(parameter.shape, generator=generator)
        for name, parameter in handle.named_parameters().items()
    }
    folder = tmp_path_factory.mktemp("lora") / "adapter"
    handle.save(folder, tensors, {"base_hash": backbone.base_hash})
    return folder


def as_diffusers(lora: Path, file: Path, change: Callable[[str], str] = lambda name: name) -> Path:
    """The same tensors under the names diffusers gives them."""
    tensors = load_file(lora / "adapter_model.safetensors")
    save_file(
        {change(name.replace("base_model.model.", "transformer.")): t for name, t in tensors.items()}, file
    )
    return file


def test_a_lora_of_peft_is_that_of_diffusers(plain: Path, lora: Path, tmp_path: Path) -> None:
    without = open_diptych(plain, adapter="none")
    with_peft = open_diptych(plain, adapter=str(lora))
    file = as_diffusers(lora, tmp_path / "pytorch_lora_weights.safetensors")
    with_file, with_folder = (
        open_diptych(plain, adapter=str(file)),
        open_diptych(plain, adapter=str(tmp_path)),
    )
    edited = with_peft.edit(SQUARE)
    assert np.abs(edited.astype(int) - with_file.edit(SQUARE)).max() <= 1
    assert np.array_equal(with_file.edit(SQUARE), with_folder.edit(SQUARE))
    assert np.abs(edited.astype(int) - without.edit(SQUARE)).max() > 1
    assert len(with_peft.identity["adapter_hash"]) == 16 and without.identity["adapter_hash"] == ""
    assert with_file.identity["adapter"] == file.name


def test_loras_that_are_refused(plain: Path, lora: Path, tmp_path: Path) -> None:
    def refuse(adapter: Path, match: str) -> None:
        with pytest.raises(CheckpointError, match=match):
            open_diptych(plain, adapter=str(adapter))

    refuse(tmp_path / "nowhere", "no such LoRA")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", "no .safetensors files")
    pickled = tmp_path / "lora.bin"
    pickled.write_bytes(b"\x80\x04")
    refuse(pickled, "pickled weights are never opened")
    (tmp_path / "pickled").mkdir()
    shutil.copy(pickled, tmp_path / "pickled")
    refuse(tmp_path / "pickled", "pickled weights are never opened")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((lora / "adapter_model.safetensors").read_bytes()[:500])
    refuse(damaged, "damaged")
    tensors = load_file(as_diffusers(lora, tmp_path / "whole.safetensors"))
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] * torch.nan}, tmp_path / "nan.safetensors")
    refuse(tmp_path / "nan.safetensors", "NaN")
    foreign = as_diffusers(
        lora, tmp_path / "foreign.safetensors", lambda name: name.replace("_blocks.", "_layers.")
    )
    refuse(foreign, "does not fit|no tensor of it")
    (tmp_path / "two").mkdir()
    for copy in ("a", "b"):
        shutil.copy(tmp_path / "whole.safetensors", tmp_path / "two" / f"{copy}.safetensors")
    refuse(tmp_path / "two", "2 .safetensors files")
