"""Region hold: what a coarse mask does not need goes back to the photo, early as tokens and in the end as pixels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from edits import make_pipeline, make_reference
from pictures import make_scene

from a2cli.config.localize import LocalizeOptions
from a2cli.context.passes import TwoPass
from a2cli.engine.figure import find_figure, get_size
from a2cli.engine.hold import Hold, choose_tokens, get_drawing, get_kept_region, narrow, to_tokens
from a2cli.engine.pipeline import EditOptions, EditPipeline, get_noise
from a2cli.engine.prepare import Prepared, prepare_edit
from a2cli.engine.sampling import Walk
from a2cli.flow import get_sigmas
from a2cli.flow.samplers import SamplerStep
from a2cli.images.cutout import cut_out
from a2cli.images.write import build_photo
from a2cli.masks.morph import get_iou
from a2cli.mot import MotConfig, inject_mot

SUBJECT = cut_out(build_photo(make_reference()))
OPTIONS = EditOptions(steps=4, seed=1)
HOLD = LocalizeOptions(way="mask")


@pytest.fixture
def pipeline(tiny_model: Path) -> EditPipeline:
    return make_pipeline(tiny_model)


def make_photo(size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark ball on a rough bright ground: photo, the ball (H, W) bool, a box mask far larger than it."""
    rng = np.random.default_rng(4)
    photo = rng.normal(190, 12, (size, size, 3))
    rows, columns = np.mgrid[0:size, 0:size] / size
    ball = np.hypot(rows - 0.4, columns - 0.4) < 0.09
    photo[ball] = rng.normal((30, 40, 110), 10, (int(ball.sum()), 3))
    mask = np.zeros((size, size), np.float32)
    mask[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    return photo.clip(0, 255).astype(np.uint8), ball, mask


def prepare(hole: tuple[int, int, int, int] = (8, 8, 56, 56), placed: np.ndarray | None = None) -> Prepared:
    """An edit at 64 px with a box hole x0, y0, x1, y1."""
    photo, _, _ = make_photo(64)
    mask = np.zeros((64, 64), np.float32)
    mask[hole[1] : hole[3], hole[0] : hole[2]] = 1
    prepared = prepare_edit(photo, mask, SUBJECT, size=64, context=1.0, collage=False)
    prepared = replace(
        prepared, source=photo, mask=mask > 0, masked=np.where(mask[..., None] > 0, 128, photo)
    )
    return prepared if placed is None else replace(prepared, placed=placed)


def test_what_stands_out_is_found_under_a_coarse_mask() -> None:
    photo, ball, mask = make_photo()
    figure = find_figure(photo, mask > 0)
    assert figure is not None and get_iou(figure, ball) > 0.85
    assert np.array_equal(figure, find_figure(photo, mask > 0))  # and again
    rows, columns = np.mgrid[0:128, 0:128]
    scribble = np.abs(np.hypot(rows - 51, columns - 51) - 4) < 14  # about the ball, not a box
    found = find_figure(photo, scribble)
    assert found is not None and get_iou(found, ball & scribble) > 0.8


def test_where_nothing_stands_out_there_is_no_figure() -> None:
    photo, _, mask = make_photo()
    assert find_figure(np.full_like(photo, 90), mask > 0) is None
    assert find_figure(photo, np.ones((128, 128), bool)) is None  # no ground to be seen
    assert find_figure(photo, np.zeros((128, 128), bool)) is None
    inside = photo.copy()
    inside[mask > 0] = (20, 30, 160)
    assert find_figure(inside, mask > 0) is None  # all of it is the thing


def test_needed_are_the_old_thing_and_the_new_one_with_their_neighbours() -> None:
    placed = np.zeros((64, 64), np.float32)
    placed[44:46, 44:46] = 1
    figure = np.zeros((64, 64), bool)
    figure[16:20, 16:20] = True
    hold = choose_tokens(prepare((0, 0, 64, 64), placed), 8, figure, np.zeros((8, 8), bool))
    wanted = np.zeros((8, 8), bool)
    wanted[1:4, 1:4] = wanted[4:7, 4:7] = True  # tokens (2, 2) and (5, 5)
    assert np.array_equal(hold.tokens, wanted) and hold.left == 64 - wanted.sum() and hold.held
    drawing = np.zeros((8, 8), bool)
    drawing[0, 7] = True
    hold = choose_tokens(prepare((0, 0, 64, 64)), 8, figure, drawing)
    wanted[4:7, 4:7] = False
    wanted[0:2, 6:8] = True
    assert np.array_equal(hold.tokens, wanted)
    inside = choose_tokens(prepare((16, 16, 48, 48)), 8, figure, np.ones((8, 8), bool))
    assert inside.left == 0 and inside.held and inside.tokens.sum() == 16  # all needed, none beyond the mask


@pytest.mark.parametrize("figure", [True, False])
def test_without_the_one_or_the_other_nothing_is_held(figure: bool) -> None:
    shape = np.zeros((64, 64), bool)
    shape[20:30, 20:30] = True
    drawing = None if figure else np.ones((8, 8), bool)
    hold = choose_tokens(prepare(), 8, shape if figure else None, drawing)
    assert not hold.held and hold.left == 0
    assert hold.reason == (
        "nothing shows where the reference goes" if figure else "nothing stands out under the mask"
    )


def test_a_narrowed_edit_shows_the_photo_again() -> None:
    prepared = prepare()
    tokens = np.zeros((8, 8), bool)
    tokens[2:4, 2:5] = True
    smaller = narrow(prepared, tokens)
    assert np.array_equal(smaller.mask, np.kron(tokens, np.ones((8, 8), bool)) & prepared.mask)
    assert np.array_equal(smaller.masked[~smaller.mask], prepared.source[~smaller.mask])
    assert (smaller.masked[smaller.mask] == 128).all()
    assert np.array_equal(to_tokens(smaller.mask, 8), tokens)


def test_the_tokens_that_draw_on_the_reference_are_cut_off_the_others() -> None:
    share = torch.tensor([[0.1, 0.12, 0.6, 0.55, 0.11], [0.09, 0.1, 0.5, 0.65, 0.13]])
    assert get_drawing(share).tolist() == [False, False, True, True, False]
    assert get_drawing(torch.full((1, 4), 0.3)).all()


def test_kept_pixels_are_both_things_and_a_rim() -> None:
    photo, ball, mask = make_photo(256)
    prepared = prepare_edit(photo, mask, SUBJECT, size=256, context=2.0, collage=False)
    painted = prepared.source.astype(np.float32)
    rows, columns = np.mgrid[0:256, 0:256]
    new = np.hypot(rows - 160, columns - 160) < 20
    painted[new] = (220, 30, 30)
    painted[ball] = painted[~prepared.mask].mean(0)  # the old thing is gone
    hold = Hold(find_figure(prepared.source, prepared.mask), to_tokens(prepared.mask, 16))
    region = get_kept_region((256, 256), prepared, hold, [painted])
    assert region.dtype == np.float32 and region.min() >= 0 and region.max() <= 1
    assert region[ball].min() > 0.9 and region[new].min() > 0.9
    assert (region[mask == 0] < 0.02).all() and (region > 0).mean() < 0.4 * mask.mean()
    blank = get_kept_region((256, 256), prepared, hold, [np.full((256, 256, 3), 90, np.float32)])
    assert blank[mask > 0].mean() > 0.95  # what cannot be told apart is kept


def start(pipeline: EditPipeline, options: EditOptions = OPTIONS) -> tuple[Walk, Prepared]:
    photo, _, mask = make_photo(64)
    prepared = prepare_edit(photo, mask, SUBJECT, size=64, context=1.0, collage=False)
    prepared = replace(prepared, source=photo, mask=mask > 0)
    condition = pipeline.build_condition(prepared, "")
    return Walk(pipeline.two_pass, pipeline.backbone.traits, condition, options), prepared


@torch.no_grad()
def test_a_walk_in_legs_equals_one_go(pipeline: EditPipeline) -> None:
    seen: list[tuple[int, int]] = []

    def see(step: SamplerStep) -> None:
        seen.append((step.index, step.num_steps))

    whole, _ = start(pipeline)
    whole.advance()
    legs, _ = start(pipeline)
    legs._callback = see
    for stop in (1, 1, 3, None):
        legs.advance(stop)
    assert torch.equal(whole.get_tokens(), legs.get_tokens()) and legs.done == legs.num_steps == 4
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4)]
    legs.advance()  # nothing left to do
    assert torch.equal(whole.get_tokens(), legs.get_tokens())


@torch.no_grad()
@pytest.mark.parametrize("routed", [False, True])
def test_a_narrowed_walk_equals_the_full_grid(pipeline: EditPipeline, routed: bool) -> None:
    """The naive twin: all tokens at every step, those that went back barred as targets and seen as known ones."""
    if routed:
        pipeline.two_pass.remove()
        backbone = pipeline.backbone
        experts = inject_mot(
            backbone.transformer, backbone.get_blocks(), MotConfig(num_experts=3, rank=2, alpha=4.0)
        )
        for parameter in experts.trainable_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.1)
        pipeline = EditPipeline(backbone, experts=experts)
    options = replace(OPTIONS, num_images=2)
    walk, prepared = start(pipeline, options)
    walk.advance(2)
    tokens = np.zeros((4, 4), bool)
    tokens[1, 1] = tokens[2, 1] = True
    smaller = pipeline.build_condition(narrow(prepared, tokens), "")
    walk.narrow(smaller)
    walk.advance()

    twin = TwoPass(pipeline.backbone.transformer, guidance=1.0, experts=pipeline.experts)
    larger = pipeline.build_condition(prepared, "")
    sigmas = get_sigmas(4, shift=1.0).tolist()
    rows = []
    for picture in get_noise(tuple(larger.masked.shape[1:]), options):
        x = picture[None]
        for i, (sigma, following) in enumerate(pairwise(sigmas)):
            condition = larger if i < 2 else smaller
            cache = twin.encode_context(condition, full_grid=True)
            x = x + (following - sigma) * twin.predict_velocity(x, sigma, condition, cache)
        rows.append(torch.where(smaller.visible[..., None], smaller.masked, x))
    twin.remove()
    torch.testing.assert_close(walk.get_tokens(), torch.cat(rows), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_region_can_shrink_not_grow(pipeline: EditPipeline) -> None:
    walk, prepared = start(pipeline)
    whole = replace(prepared, mask=np.ones((64, 64), bool))
    with pytest.raises(ValueError, match="shrink"):
        walk.narrow(pipeline.build_condition(whole, ""))


@pytest.mark.parametrize("collage", [False, True])
def test_hold_decides_once_for_all_pictures(
    pipeline: EditPipeline, monkeypatch: pytest.MonkeyPatch, collage: bool
) -> None:
    photo, ball, mask = make_photo()
    monkeypatch.setattr(pipeline.backbone, "traits", replace(pipeline.backbone.traits, collage=collage))
    plain = pipeline.run(photo, mask, SUBJECT, OPTIONS)
    assert plain.region is None and plain.hold is None
    held = pipeline.run(photo, mask, SUBJECT, replace(OPTIONS, localize=HOLD, num_images=2))
    assert held.hold is not None and held.hold.held and held.region is not None and len(held.pictures) == 2
    assert held.region.shape == mask.shape and held.region.dtype == np.float32
    assert held.region[ball].min() > 0.5
    assert pipeline.two_pass.state.recorder is None
    again = pipeline.run(photo, mask, SUBJECT, replace(OPTIONS, localize=HOLD, num_images=2))
    assert np.array_equal(again.region, held.region)
    assert all(np.array_equal(a, b) for a, b in zip(again.pictures, held.pictures, strict=True))


def test_what_is_not_held_is_bit_equal_to_no_hold(pipeline: EditPipeline) -> None:
    photo, mask = np.full((96, 96, 3), 120, np.uint8), np.zeros((96, 96), np.float32)
    mask[30:60, 30:60] = 1
    plain = pipeline.run(photo, mask, SUBJECT, OPTIONS)
    held = pipeline.run(photo, mask, SUBJECT, replace(OPTIONS, localize=HOLD))
    assert (
        held.hold is not None
        and held.hold.reason == "nothing stands out under the mask"
        and held.region is None
    )
    assert np.array_equal(plain.pictures[0], held.pictures[0])
    scene = make_scene(70, 90)
    other = np.zeros((70, 90), np.float32)
    other[20:40, 20:40] = 1
    for changes in ({"way": "auto"}, {"way": "attention"}):  # those find a region, and here it is given
        options = replace(OPTIONS, localize=LocalizeOptions(**changes))  # type: ignore[arg-type]
        one, two = (pipeline.run(scene, other, SUBJECT, o) for o in (OPTIONS, options))
        assert np.array_equal(one.pictures[0], two.pictures[0]) and two.region is None


def test_one_step_can_hold_too(pipeline: EditPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    photo, _, mask = make_photo()
    once = replace(OPTIONS, steps=1, localize=HOLD)
    monkeypatch.setattr(pipeline.backbone, "traits", replace(pipeline.backbone.traits, collage=False))
    assert pipeline.run(photo, mask, SUBJECT, once).hold.reason == "nothing shows where the reference goes"  # type: ignore[union-attr]
    monkeypatch.setattr(pipeline.backbone, "traits", replace(pipeline.backbone.traits, collage=True))
    assert pipeline.run(photo, mask, SUBJECT, once).hold.held  # type: ignore[union-attr]


def test_size() -> None:
    mask = np.zeros((50, 60), bool)
    assert get_size(mask) == 0
    mask[10:20, 5:45] = True
    assert get_size(mask) == 20
