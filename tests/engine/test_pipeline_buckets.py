"""Edits on crops whose aspect follows the mask's: what is asked for by a base, by experts, by a plain adapter."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edits import Studio, encode_mask, make_reference, read_pixels
from pictures import make_scene

from a2cli.backbones.flux import TRAITS_FILE, NanoBackbone
from a2cli.context.passes import Condition, TwoPass
from a2cli.data.order import get_buckets
from a2cli.engine.pipeline import EditOptions, EditPipeline, get_noise
from a2cli.engine.prepare import HOLE, choose_size, get_start, prepare_edit
from a2cli.errors import CheckpointError, DataError
from a2cli.flow import get_sigmas
from a2cli.images.cutout import cut_out
from a2cli.images.geometry import crop_image, get_zoom_crop
from a2cli.images.write import build_photo
from a2cli.lora.adapter import ORIGIN, inject_lora
from a2cli.lora.config import LoraConfig
from a2cli.mot import MotConfig, inject_mot, save_adapter

PHOTO = make_scene(110, 130)
SUBJECT = cut_out(build_photo(make_reference()))
OPTIONS = EditOptions(steps=2, seed=1)
# Of a tiny model of 64 px there are three: 3 x 5, 4 x 4 and 5 x 3 tokens.
BOXES = {"wide": (30, 50, 10, 70), "square": (30, 60, 40, 72), "tall": (20, 80, 50, 70)}  # y0, y1, x0, x1
GRIDS = {"wide": (3, 5), "square": (4, 4), "tall": (5, 3)}


def make_mask(form: str) -> np.ndarray:
    y0, y1, x0, x1 = BOXES[form]
    mask = np.zeros(PHOTO.shape[:2], np.float32)
    mask[y0:y1, x0:x1] = 1
    return mask


def watch(pipeline: EditPipeline, monkeypatch: pytest.MonkeyPatch) -> list[Condition]:
    """The conditions that are built from now on."""
    seen: list[Condition] = []
    build = pipeline.backbone.build_condition

    def remember(*inputs: Any) -> Condition:
        seen.append(build(*inputs))
        return seen[-1]

    monkeypatch.setattr(pipeline.backbone, "build_condition", remember)
    return seen


@pytest.fixture
def pipeline(tiny_model: Path) -> EditPipeline:
    return EditPipeline(NanoBackbone.load(str(tiny_model)), buckets=True)


@pytest.mark.parametrize("form", BOXES)
@pytest.mark.parametrize("prior_noise", [None, 0.5])
def test_the_grid_follows_the_mask_and_nothing_outside_it_changes(
    pipeline: EditPipeline, monkeypatch: pytest.MonkeyPatch, form: str, prior_noise: float | None
) -> None:
    traits = replace(pipeline.backbone.traits, collage=prior_noise is not None, prior_noise=prior_noise)
    monkeypatch.setattr(pipeline.backbone, "traits", traits)
    seen, mask = watch(pipeline, monkeypatch), make_mask(form)
    out = pipeline.edit(PHOTO, mask, SUBJECT.rgb, SUBJECT.mask, steps=2)
    assert out.shape == PHOTO.shape and out.dtype == np.uint8
    assert np.array_equal(out[mask == 0], PHOTO[mask == 0])
    assert (out != PHOTO)[mask > 0].mean() > 0.5
    assert [(condition.grid, condition.ref_grid) for condition in seen] == [(GRIDS[form], (4, 4))]


def test_a_crop_is_repainted_whole_and_nothing_beside_it(pipeline: EditPipeline) -> None:
    for form, (rows, columns) in GRIDS.items():
        mask = make_mask(form)
        (picture,) = pipeline.generate(PHOTO, mask, SUBJECT, OPTIONS)
        crop = get_zoom_crop(mask, size=(16 * rows, 16 * columns), context=1.5)
        x0, y0, x1, y1 = crop.get_inside(PHOTO.shape[:2])
        outside = np.ones(mask.shape, bool)
        outside[y0:y1, x0:x1] = False
        assert outside.any() and np.array_equal(picture[outside], PHOTO[outside])


@torch.no_grad()
def test_region_subset_equals_the_full_grid(pipeline: EditPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch(pipeline, monkeypatch)
    pipeline.generate(PHOTO, make_mask("tall"), SUBJECT, OPTIONS)
    (condition,) = seen
    fast = pipeline.sample(condition, OPTIONS)
    two_pass = TwoPass(pipeline.backbone.transformer, guidance=1.0)
    x = get_noise(tuple(condition.masked.shape[1:]), OPTIONS)
    assert x.shape[1] == 15
    for sigma, following in pairwise(get_sigmas(2, shift=pipeline.backbone.traits.shift)):
        cache = two_pass.encode_context(condition, full_grid=True)
        x = x + (following - sigma) * two_pass.predict_velocity(x, sigma, condition, cache)
    wanted = torch.where(condition.visible[..., None], condition.masked, x)
    torch.testing.assert_close(fast, wanted, atol=1e-4, rtol=1e-4)


def test_the_mask_chooses_the_nearest_size() -> None:
    for form, (rows, columns) in GRIDS.items():
        assert choose_size(make_mask(form), 64, 16) == (16 * rows, 16 * columns)
    for height, width in get_buckets(256, 16):
        mask = np.zeros((400, 400), bool)
        mask[7 : 7 + height, 9 : 9 + width] = True
        assert choose_size(mask, 256, 16) == (height, width)
    line = np.zeros((50, 90), bool)
    line[20] = True
    assert choose_size(line, 128, 16) == (96, 176)
    assert choose_size(np.zeros((50, 90), bool), 128, 16) == choose_size(np.ones((50, 90), bool), 128, 16)


def test_a_rectangle_holds_what_the_square_does(pipeline: EditPipeline) -> None:
    mask = make_mask("tall")
    prepared = prepare_edit(PHOTO, mask, SUBJECT, size=(80, 48), ref_size=64)
    assert {a.shape[:2] for a in (prepared.source, prepared.masked, prepared.mask, prepared.placed)} == {
        (80, 48)
    }
    assert prepared.reference.shape == (64, 64, 3)
    assert np.array_equal(prepared.source, crop_image(PHOTO, prepared.crop))
    assert np.array_equal(prepared.masked[~prepared.mask], prepared.source[~prepared.mask])
    square = prepare_edit(PHOTO, mask, SUBJECT, size=64)
    assert np.array_equal(prepared.reference, square.reference)
    assert prepared.mask.mean() > 1.3 * square.mask.mean()  # less of the surroundings that say nothing
    begin = get_start(prepared)
    assert begin.shape == (80, 48, 3) and (begin[prepared.mask] != HOLE).any()
    with pytest.raises(ValueError, match="must be told"):
        prepare_edit(PHOTO, mask, SUBJECT, size=(80, 48))
    with pytest.raises(DataError, match="marks nothing"):
        pipeline.generate(PHOTO, mask * 0, SUBJECT)


def test_a_base_says_so_in_its_traits(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = EditPipeline(NanoBackbone.load(str(studio.model)))
    assert not plain.buckets
    seen = watch(plain, monkeypatch)
    plain.generate(PHOTO, make_mask("tall"), SUBJECT, OPTIONS)
    assert seen[0].grid == (4, 4)
    studio.marked[:] = False
    studio.marked[4:36, 20:34] = True
    studio.write("mask.png", encode_mask(studio.marked))
    traits = json.loads((studio.model / TRAITS_FILE).read_text())
    assert traits["buckets"] is False
    model = Path(shutil.copytree(studio.model, studio.folder.parent / "buckets"))
    (model / TRAITS_FILE).write_text(json.dumps({**traits, "buckets": True}))
    squares, rectangles = (edit_on(studio, folder) for folder in (studio.model, model))
    assert np.array_equal(rectangles[~studio.marked], studio.scene[~studio.marked])
    assert not np.array_equal(squares, rectangles)


def edit_on(studio: Studio, model: Path) -> np.ndarray:
    """What `a2 edit` writes with the model of a folder."""
    paths = ("--ref", studio.ref, "--model", model, "--adapter", "none", "-o", f"{model.name}.png")
    done = studio.run(studio.photo, "--mask", studio.mask, "--feather", 0, *paths)
    assert done.code == 0, done.stderr
    return read_pixels(studio.folder / f"{model.name}.png")


@pytest.mark.parametrize("kind", ["mot", "lora"])
@pytest.mark.parametrize("recipe", [{"buckets": True}, {"buckets": False}, {}])
def test_an_adapter_edits_as_it_was_trained(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, recipe: dict[str, bool]
) -> None:
    backbone, folder = NanoBackbone.load(str(tiny_model)), tmp_path / "adapter"
    origin: dict[str, Any] = {"base_hash": backbone.base_hash, "recipe": recipe}
    if kind == "mot":
        experts = inject_mot(backbone.transformer, backbone.get_blocks(), MotConfig(num_experts=3, rank=2))
        save_adapter(experts, folder, backbone="nano", base_id="tiny", **origin)
    else:
        lora = inject_lora(backbone.transformer, backbone.get_blocks(), LoraConfig(rank=2))
        lora.save(folder, lora.named_parameters(), origin)
    pipeline = EditPipeline.load("nano", model=str(tiny_model), adapter=str(folder), device="cpu")
    seen = watch(pipeline, monkeypatch)
    pipeline.generate(PHOTO, make_mask("wide"), SUBJECT, OPTIONS)
    wanted = recipe.get("buckets", False)
    assert pipeline.buckets is wanted
    assert seen[0].grid == (GRIDS["wide"] if wanted else (4, 4)) and seen[0].ref_grid == (4, 4)


def test_plain_adapters_made_elsewhere_edit_squares(tiny_model: Path, tmp_path: Path) -> None:
    backbone, folder = NanoBackbone.load(str(tiny_model)), tmp_path / "adapter"
    lora = inject_lora(backbone.transformer, backbone.get_blocks(), LoraConfig(rank=2))
    lora.save(folder, lora.named_parameters(), {})
    (folder / ORIGIN).write_text(json.dumps({"recipe": ["buckets"]}))
    with pytest.raises(CheckpointError, match=f"{ORIGIN}: cannot be read: not what a2 writes"):
        EditPipeline.load("nano", model=str(tiny_model), adapter=str(folder), device="cpu")
    (folder / ORIGIN).unlink()
    assert not EditPipeline.load("nano", model=str(tiny_model), adapter=str(folder), device="cpu").buckets
