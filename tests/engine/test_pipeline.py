"""One edit from arrays to arrays, every fast path beside its naive twin, on a tiny model of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from edits import make_reference
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import make_scene

from a2cli.backbones.flux import NanoBackbone
from a2cli.context.passes import Condition, TwoPass
from a2cli.engine.pipeline import EditOptions, EditPipeline, get_noise
from a2cli.engine.prepare import HOLE, get_hole_pixels, get_start, prepare_edit, to_picture, to_pixels
from a2cli.errors import BackboneError, DataError
from a2cli.flow import get_sigmas, sample_euler
from a2cli.flow.samplers import SamplerStep
from a2cli.images.align import place_reference
from a2cli.images.cutout import Cutout, cut_out
from a2cli.images.geometry import get_zoom_crop
from a2cli.images.write import build_photo
from a2cli.mot import MotConfig, MotModel, inject_mot

PHOTO = make_scene(70, 90)
MASK = np.zeros((70, 90), np.float32)
MASK[20:45, 30:66] = 1.0
SUBJECT = cut_out(build_photo(make_reference()))
OPTIONS = EditOptions(steps=3, seed=1)


@pytest.fixture
def pipeline(tiny_model: Path) -> EditPipeline:
    return EditPipeline.load("nano", model=str(tiny_model), adapter="none", device="cpu")


@pytest.fixture
def routed(pipeline: EditPipeline) -> Iterator[EditPipeline]:
    """The pipeline with experts that do something and routers that choose."""
    backbone = pipeline.backbone
    pipeline.two_pass.remove()
    config = MotConfig(num_experts=4, rank=2, alpha=4.0)
    experts = inject_mot(backbone.transformer, backbone.get_blocks(), config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in experts.trainable_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    yield EditPipeline(backbone, experts=experts)
    experts.remove()


def get_condition(pipeline: EditPipeline, mask: np.ndarray = MASK) -> Condition:
    traits = pipeline.backbone.traits
    prepared = prepare_edit(PHOTO, mask, SUBJECT, size=traits.resolution, collage=traits.collage)
    with torch.no_grad():
        return pipeline.backbone.build_condition(
            to_pixels(prepared.masked[None]),
            torch.from_numpy(prepared.mask)[None, None].float(),
            to_pixels(prepared.reference[None]),
            ["a cat"],
        )


@torch.no_grad()
def sample_naively(
    pipeline: EditPipeline, condition: Condition, options: EditOptions = OPTIONS
) -> torch.Tensor:
    """The twin of `EditPipeline.sample`: the full grid under key masks, the context anew at every step."""
    two_pass = TwoPass(pipeline.backbone.transformer, guidance=1.0, experts=pipeline.experts)
    sigmas = get_sigmas(options.steps or 1, shift=pipeline.backbone.traits.shift)
    noise = get_noise(tuple(condition.masked.shape[1:]), options)
    rows = []
    for picture in noise:
        x = picture[None]
        for sigma, following in pairwise(sigmas):
            cache = two_pass.encode_context(condition, full_grid=True)
            x = x + (following - sigma) * two_pass.predict_velocity(x, sigma, condition, cache)
        rows.append(torch.where(condition.visible[..., None], condition.masked, x))
    two_pass.remove()
    return torch.cat(rows)


@torch.no_grad()
def test_region_subset_equals_the_full_grid(pipeline: EditPipeline) -> None:
    condition = get_condition(pipeline)
    assert 0 < len(condition.get_region()) < condition.masked.shape[1]
    fast, naive = pipeline.sample(condition, OPTIONS), sample_naively(pipeline, condition)
    torch.testing.assert_close(fast, naive, atol=1e-4, rtol=1e-4)
    assert (fast - condition.masked).abs().max() > 0.1  # something was generated at all


@torch.no_grad()
def test_cached_context_equals_recomputed(pipeline: EditPipeline) -> None:
    condition = get_condition(pipeline)
    region, two_pass = condition.get_region(), pipeline.two_pass
    noise = get_noise(tuple(condition.masked.shape[1:]), OPTIONS)[:, region]

    def velocity(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return two_pass.predict_velocity(x, sigma, condition, two_pass.encode_context(condition), region)

    naive = condition.masked.clone()
    naive[:, region] = sample_euler(velocity, noise, get_sigmas(3, shift=pipeline.backbone.traits.shift))
    assert torch.equal(pipeline.sample(condition, OPTIONS), naive)


@torch.no_grad()
def test_several_images_equal_each_alone(pipeline: EditPipeline) -> None:
    condition = get_condition(pipeline)
    together = pipeline.sample(condition, replace(OPTIONS, num_images=3))
    naive = sample_naively(pipeline, condition, replace(OPTIONS, num_images=3))
    torch.testing.assert_close(together, naive, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together[:1], pipeline.sample(condition, OPTIONS), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_with_prior_noise_a_still_flow_returns_the_placed_reference(
    pipeline: EditPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = pipeline.backbone
    traits = replace(backbone.traits, collage=True, prior_noise=0.0)
    monkeypatch.setattr(backbone, "traits", traits)
    monkeypatch.setattr(pipeline.two_pass, "predict_velocity", lambda x, *_: torch.zeros_like(x))
    prepared = prepare_edit(PHOTO, MASK, SUBJECT, size=traits.resolution, collage=True)
    begin = get_start(prepared)
    assert np.array_equal(begin[~prepared.mask], prepared.source[~prepared.mask])
    solid = prepared.placed == 1
    assert np.array_equal(begin[solid], prepared.masked[solid]) and (begin[prepared.mask] != HOLE).any()
    condition = get_condition(pipeline)
    region = condition.get_region()
    with torch.no_grad():
        start = backbone.encode_pixels(to_pixels(begin[None]))
        still = pipeline.sample(condition, OPTIONS, start=start)
        torch.testing.assert_close(still[:, region], start[:, region])
        monkeypatch.setattr(backbone, "traits", replace(traits, prior_noise=0.5))
        noisy = pipeline.sample(condition, OPTIONS, start=start)
    noise = get_noise(tuple(start.shape[1:]), OPTIONS)
    torch.testing.assert_close(noisy[:, region], (start + noise / 2)[:, region])


@torch.no_grad()
def test_routed_subset_equals_routed_full_grid(routed: EditPipeline) -> None:
    condition = get_condition(routed)
    torch.testing.assert_close(
        routed.sample(condition, OPTIONS), sample_naively(routed, condition), atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
def test_merged_experts_equal_routed(routed: EditPipeline) -> None:
    condition = get_condition(routed)
    assert isinstance(routed.experts, MotModel)
    wanted = routed.sample(condition, OPTIONS)
    cache = routed.two_pass.encode_context(condition)
    routed.experts.merge(cache.routing)
    merged = EditPipeline(routed.backbone).sample(condition, OPTIONS)
    routed.experts.unmerge()
    torch.testing.assert_close(merged, wanted, atol=1e-4, rtol=1e-4)
    routed.experts.remove()
    bare = EditPipeline(routed.backbone).sample(condition, OPTIONS)
    assert not torch.allclose(bare, wanted, atol=1e-2)  # the experts were doing something


def test_generate_touches_the_crop_alone(pipeline: EditPipeline) -> None:
    (picture,) = pipeline.generate(PHOTO, MASK, SUBJECT, OPTIONS)
    assert picture.shape == PHOTO.shape and picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() <= 255
    crop = get_zoom_crop(MASK, size=64, context=1.5)
    x0, y0, x1, y1 = crop.get_inside(PHOTO.shape[:2])
    outside = np.ones(PHOTO.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert outside.any() and np.array_equal(picture[outside], PHOTO[outside])


def test_edit_keeps_everything_outside_a_hard_mask(pipeline: EditPipeline) -> None:
    for mask in (MASK > 0, MASK):
        out = pipeline.edit(PHOTO, mask, SUBJECT.rgb, SUBJECT.mask, steps=2, prompt="a cat")
        assert out.dtype == np.uint8 and np.array_equal(out[mask == 0], PHOTO[mask == 0])
        assert (out != PHOTO)[mask > 0].mean() > 0.5


def test_enlarged_edits_stay_within_the_range(pipeline: EditPipeline) -> None:
    """Bicubic enlargement overshoots at hard edges; a byte must not wrap around from white to black."""
    assert isinstance(pipeline.backbone, NanoBackbone)
    with torch.no_grad():
        pipeline.backbone.vae.decoder.conv_out.weight.mul_(100)
    photo, mask = make_scene(300, 300), np.zeros((300, 300), np.float32)
    mask[40:260, 40:260] = 1.0
    (picture,) = pipeline.generate(photo, mask, SUBJECT, OPTIONS)
    assert picture.min() == 0 and picture.max() == 255
    out = pipeline.edit(photo, mask, SUBJECT.rgb, SUBJECT.mask, steps=3, seed=1)
    assert np.abs(out.astype(float) - picture)[mask > 0].max() <= 0.5


def test_the_prompt_the_reference_and_the_surroundings_matter(pipeline: EditPipeline) -> None:
    other = Cutout(255 - SUBJECT.rgb, SUBJECT.mask)
    wanted = pipeline.generate(PHOTO, MASK, SUBJECT, OPTIONS)[0]
    for changed in (
        pipeline.generate(PHOTO, MASK, SUBJECT, replace(OPTIONS, prompt="a dog"))[0],
        pipeline.generate(PHOTO, MASK, other, OPTIONS)[0],
        pipeline.generate(255 - PHOTO, MASK, SUBJECT, OPTIONS)[0],
    ):
        assert not np.array_equal(changed[20:45, 30:66], wanted[20:45, 30:66])


def test_what_lies_under_the_mask_does_not_matter(pipeline: EditPipeline) -> None:
    painted = PHOTO.copy()
    painted[20:45, 30:66] = (255, 0, 255)
    hard = (MASK > 0).astype(np.float32)
    size = pipeline.backbone.traits.resolution
    first, second = (prepare_edit(p, hard, SUBJECT, size=size) for p in (PHOTO, painted))
    # The rim of the hole is a working pixel wide: only pixels wholly under the mask are known to be hidden.
    inner = get_hole_pixels(hard, first.crop)
    assert np.array_equal(first.masked[inner], second.masked[inner])


def test_progress_counts_every_step(pipeline: EditPipeline) -> None:
    seen: list[SamplerStep] = []
    pipeline.generate(PHOTO, MASK, SUBJECT, OPTIONS, callback=seen.append)
    assert [(step.index, step.num_steps) for step in seen] == [(0, 3), (1, 3), (2, 3)]


def test_nan_is_an_error_never_a_black_picture(pipeline: EditPipeline) -> None:
    """FAULTS 27."""
    with torch.no_grad():
        next(pipeline.backbone.transformer.single_transformer_blocks[0].parameters()).fill_(float("nan"))
    with pytest.raises(BackboneError, match=r"step 1 of 3") as caught:
        pipeline.generate(PHOTO, MASK, SUBJECT, OPTIONS)
    assert "dtype" in caught.value.hint


def test_a_decoder_that_overflows_is_an_error(pipeline: EditPipeline) -> None:
    assert isinstance(pipeline.backbone, NanoBackbone)
    with torch.no_grad():
        pipeline.backbone.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(BackboneError, match="NaN"):
        pipeline.generate(PHOTO, MASK, SUBJECT, OPTIONS)


def test_nothing_to_edit_or_to_put_in(pipeline: EditPipeline) -> None:
    with pytest.raises(DataError, match="marks nothing"):
        pipeline.generate(PHOTO, MASK * 0, SUBJECT)
    with pytest.raises(DataError, match="--ref-mask"):
        pipeline.generate(PHOTO, MASK, Cutout(SUBJECT.rgb, SUBJECT.mask * 0))


def test_noise_depends_on_seed_and_index_alone() -> None:
    one, three = (get_noise((4, 2), EditOptions(seed=5, num_images=n)) for n in (1, 3))
    assert torch.equal(one[0], three[0]) and not torch.equal(three[1], three[2])
    assert not torch.equal(one, get_noise((4, 2), EditOptions(seed=6)))
    assert get_noise((4, 2), EditOptions(seed=2**63 - 1, num_images=2)).isfinite().all()


def test_the_hole_holds_grey_or_the_placed_reference() -> None:
    plain = prepare_edit(PHOTO, MASK, SUBJECT, size=64, collage=False)
    assert (plain.masked[plain.mask] == HOLE).all() and not plain.placed.any()
    assert np.array_equal(plain.masked[~plain.mask], plain.source[~plain.mask])
    filled = prepare_edit(PHOTO, MASK, SUBJECT, size=64, collage=True)
    colours, cover = place_reference(SUBJECT.rgb, SUBJECT.mask, filled.mask)
    assert np.array_equal(filled.placed, cover * filled.mask)
    solid = filled.placed == 1
    assert solid.any() and np.array_equal(filled.masked[solid], colours[solid])
    assert np.array_equal(filled.masked[~filled.mask], filled.source[~filled.mask])


def test_pixels_and_pictures_are_inverse() -> None:
    back = to_picture(to_pixels(PHOTO[None])[0])
    assert np.abs(back - PHOTO).max() < 1e-4


@pytest.mark.parametrize("form", ["line", "dots", "faint", "thin frame"])
def test_thin_and_faint_masks_leave_their_trace(form: str) -> None:
    """FAULTS 11: a line of one pixel across 3,000, two dots far apart, a mask that is nearly black."""
    mask = np.zeros((2000, 3000), np.float32)
    if form == "line":
        mask[1001] = 1.0
    elif form == "dots":
        mask[3, 5] = mask[1990, 2990] = 1.0
    elif form == "faint":
        mask[500:900, 500:900] = 0.004
    else:
        mask[100:1900, 100] = mask[100:1900, 2900] = mask[100, 100:2900] = mask[1900, 100:2901] = 1.0
    crop = get_zoom_crop(mask, size=64, context=1.5)
    hole = get_hole_pixels(mask, crop)
    for y, x in np.argwhere(mask)[:: max(1, int((mask > 0).sum()) // 40)]:
        row, column = ((np.array([y, x]) + 0.5 - (crop.top, crop.left)) * crop.scale).astype(int)
        assert hole[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].any()
    assert hole.mean() < (0.1 if form != "faint" else 0.6)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(0, 10**6), st.integers(1, 5), st.floats(0.003, 1.0)
)
def test_a_mask_that_marks_anything_makes_a_hole(
    height: int, width: int, seed: int, count: int, strength: float
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.float32)
    mask[rng.integers(0, height, count), rng.integers(0, width, count)] = strength
    assert get_hole_pixels(mask, get_zoom_crop(mask, size=32)).any()
