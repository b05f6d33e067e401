"""Finding the region of an edit from its words: on maps of known truth, and on a tiny model of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from edits import make_pipeline
from pictures import make_scene
from scipy import ndimage
from torch.nn import functional as F

from a2cli.backbones.flux import NanoBackbone
from a2cli.config.localize import FILTERS, Filter, LocalizeOptions
from a2cli.engine.figure import get_size
from a2cli.engine.localize import Seeker, build_look, choose_way, get_blocks, grow, localize, read_map
from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.engine.prepare import to_pixels
from a2cli.engine.sight import FADE, Look, get_look_size, look_over
from a2cli.errors import BackboneError, ConfigError, DataError
from a2cli.images.cutout import Cutout
from a2cli.images.geometry import resize
from a2cli.masks.morph import get_iou
from a2cli.mot import MotConfig, inject_mot
from a2cli.region import PredictorConfig, RegionConfig, inject_region

PHOTO = make_scene(70, 90)
PROMPT = "replace the cup"
OPTIONS = LocalizeOptions(refine=False)


@pytest.fixture
def pipeline(tiny_model: Path) -> EditPipeline:
    return make_pipeline(tiny_model)


@pytest.fixture
def predicting(tiny_model: Path) -> Iterator[EditPipeline]:
    """A pipeline with a region adapter of random weights, whose predictor says something."""
    pipeline = make_pipeline(tiny_model)
    torch.manual_seed(3)
    predictor = PredictorConfig(width=16, query_grid=4, num_heads=2, text_queries=2)
    config = RegionConfig(num_heads=1, head_dim=8, num_instruction_tokens=4, predictor=predictor)
    backbone = pipeline.backbone
    pipeline.region = inject_region(
        backbone.transformer,
        backbone.get_blocks(),
        config,
        text_dim=32,
        latent_dim=16,
        state=pipeline.two_pass.state,
    )
    with torch.no_grad():
        pipeline.region.predictor.head_out.weight.mul_(30)  # type: ignore[union-attr]
        pipeline.region.predictor.head_out.bias.zero_()  # type: ignore[union-attr]
    yield pipeline
    pipeline.region.remove()


class Watcher:
    """Explicit softmax rows over all keys, block by block."""

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] = {}

    def record(self, name: str, which: str, query: torch.Tensor, key: torch.Tensor, key_mask: object) -> None:
        logits = torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
        self.weights[name] = logits.softmax(-1)


@torch.no_grad()
def test_attention_is_the_mean_of_the_keywords_rows(pipeline: EditPipeline) -> None:
    picture = resize(PHOTO, (64, 64))
    seeker = Seeker(pipeline, PROMPT, OPTIONS)
    assert (seeker.keyword, seeker.way, seeker.blocks) == (
        "cup",
        "attention",
        ("single_transformer_blocks.0",),
    )
    assert seeker.rows == (12, 13, 14)  # bytes
    text, _ = pipeline.backbone.encode_text([PROMPT])  # type: ignore[attr-defined]
    tokens = pipeline.backbone.encode_pixels(to_pixels(picture[None]))
    watcher = Watcher()
    pipeline.two_pass.state.recorder = watcher
    look = build_look(
        pipeline.backbone.transformer,
        seeker._encode(picture),
        seeker.text,
        seeker.pooled,
        seeker._get_grid(picture),
    )
    pipeline.two_pass.encode_context(look)
    pipeline.two_pass.state.recorder = None
    weights = watcher.weights["single_transformer_blocks.0"][0]  # heads, queries, keys
    assert weights.shape[-1] == text.shape[1] + tokens.shape[1]  # no reference, every photo token visible
    naive = weights[:, 12:15, text.shape[1] :].mean((0, 1)).reshape(4, 4)
    np.testing.assert_allclose(seeker.attend(picture), naive.numpy(), rtol=1e-4)


def test_a_found_region_has_the_photos_size_and_hangs_together(pipeline: EditPipeline) -> None:
    for photo in (PHOTO, make_scene(33, 150), make_scene(150, 40)):
        found = localize(pipeline, photo, PROMPT)
        size = photo.shape[:2]
        assert (found.soft.shape, found.region.shape, found.mask.shape) == (size,) * 3
        assert found.soft.dtype == np.float32 and found.soft.min() >= 0 and found.soft.max() <= 1
        assert found.region.dtype == found.mask.dtype == bool
        assert not (found.region & ~found.mask).any() and found.share == found.mask.mean()
        assert (found.way, found.keyword) == ("attention", "cup")
        again = localize(pipeline, photo, PROMPT)
        assert np.array_equal(found.soft, again.soft) and np.array_equal(found.mask, again.mask)


def test_words_decide(pipeline: EditPipeline) -> None:
    cup, whole = (
        localize(pipeline, PHOTO, PROMPT, keyword=k, options=OPTIONS) for k in ("CUP", "replace the cup")
    )
    assert cup.keyword == "cup" and whole.keyword == PROMPT
    assert not np.allclose(cup.soft, whole.soft, atol=1e-3)
    assert not np.allclose(cup.soft, localize(pipeline, PHOTO, "a red cup", options=OPTIONS).soft, atol=1e-3)


def test_a_threshold_is_taken_and_more_of_it_edits_less(pipeline: EditPipeline) -> None:
    areas = []
    for threshold in (0.1, 0.4, 0.8):
        found = localize(pipeline, PHOTO, PROMPT, threshold=threshold, options=OPTIONS)
        assert found.threshold == threshold and not found.diffuse
        areas.append(found.region.sum())
    assert areas[0] > areas[1] > areas[2] > 0


def test_experts_look_away_and_come_back(pipeline: EditPipeline) -> None:
    plain = localize(pipeline, PHOTO, PROMPT)
    backbone = pipeline.backbone
    pipeline.two_pass.remove()
    experts = inject_mot(
        backbone.transformer, backbone.get_blocks(), MotConfig(num_experts=4, rank=2, alpha=4.0)
    )
    with torch.no_grad():
        for parameter in experts.trainable_parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    routed = EditPipeline(backbone, experts=experts)
    assert np.array_equal(localize(routed, PHOTO, PROMPT).soft, plain.soft)
    assert routed.two_pass.experts is experts and not any(b.routing.suspended for b in experts.blocks)
    seeker = Seeker(routed, PROMPT, OPTIONS)
    seeker.text = seeker.text[..., :5]  # fails inside the pass
    with pytest.raises(RuntimeError):
        seeker.attend(resize(PHOTO, (64, 64)))
    assert routed.two_pass.experts is experts and not any(b.routing.suspended for b in experts.blocks)
    assert routed.two_pass.state.recorder is None
    experts.remove()


def test_looking_leaves_edits_alone(pipeline: EditPipeline) -> None:
    mask = np.zeros((70, 90), np.float32)
    mask[20:50, 20:60] = 1
    subject = Cutout(PHOTO[:40, :40], np.ones((40, 40), np.float32))
    before = pipeline.generate(PHOTO, mask, subject, EditOptions(steps=2))[0]
    localize(pipeline, PHOTO, PROMPT)
    assert np.array_equal(pipeline.generate(PHOTO, mask, subject, EditOptions(steps=2))[0], before)


def test_the_predictor_says_where_it_is_sure(predicting: EditPipeline) -> None:
    assert (
        choose_way(predicting, "auto") == "predictor" and choose_way(predicting, "attention") == "attention"
    )
    seeker = Seeker(predicting, PROMPT, OPTIONS)
    picture = resize(PHOTO, (64, 64))
    with torch.no_grad():
        tokens = predicting.backbone.encode_pixels(to_pixels(picture[None]))
        text = predicting.backbone.encode_text([PROMPT])[0]  # type: ignore[attr-defined]
        likely = predicting.region.predictor(tokens, (4, 4), text).sigmoid()[0].numpy()  # type: ignore[union-attr,misc]
        look = seeker.look(picture)
    assert look.soft.shape == (64, 64) and look.threshold == 0.5
    fine = F.interpolate(torch.from_numpy(likely)[None, None], (64, 64), mode="bilinear")[0, 0]
    np.testing.assert_allclose(look.soft, fine.numpy(), atol=1e-5)
    assert not (look.region & (look.soft < 0.5)).any()
    found = localize(predicting, PHOTO, PROMPT, way="predictor", threshold=0.3)
    assert (found.way, found.threshold, found.blocks) == ("predictor", 0.3, ())


def test_a_region_adapter_acts_only_where_a_region_is_given(
    predicting: EditPipeline, tiny_model: Path
) -> None:
    model = predicting.region
    assert model is not None
    with torch.no_grad():
        for name, parameter in model.named_parameters().items():
            if name.endswith("ffn.fc_out.weight"):
                parameter.normal_(std=0.5)
    mask = np.zeros((70, 90), np.float32)
    mask[20:50, 20:60] = 1
    subject = Cutout(PHOTO[:40, :40], np.ones((40, 40), np.float32))
    options = EditOptions(PROMPT, steps=2, num_images=2)
    plain = make_pipeline(tiny_model).generate(PHOTO, mask, subject, options)
    off = predicting.generate(PHOTO, mask, subject, options)
    assert all(np.array_equal(a, b) for a, b in zip(plain, off, strict=True))
    on = predicting.generate(PHOTO, mask, subject, options, region=mask)
    half = predicting.generate(PHOTO, mask, subject, options, region=mask * (np.arange(90) < 40))
    assert not np.allclose(on[0], off[0], atol=0.5) and not np.allclose(on[0], half[0], atol=0.1)


@pytest.mark.parametrize(
    ("prompt", "changes", "error", "message"),
    [
        ("", {}, ConfigError, "give --prompt"),
        ("replace the cup", {"keyword": "dog"}, ConfigError, "'dog' is not in the prompt"),
        ("die Straße", {"keyword": "strasse"}, ConfigError, "letter by letter"),
        ("a glass", {"keyword": "ß"}, ConfigError, "'ß' is not in the prompt"),
        ("cup " * 99, {"keyword": "dog"}, ConfigError, "in the prompt 'cup .{50,60}…' "),
        ("please be so kind and replace the cup", {}, DataError, "none of the model's 20 text tokens"),
        ("replace the cup", {"way": "predictor"}, BackboneError, "no adapter with a mask predictor"),
    ],
)
def test_what_cannot_be_found_is_said(
    pipeline: EditPipeline, prompt: str, changes: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        localize(pipeline, PHOTO, prompt, **changes)  # type: ignore[arg-type]


def test_a_backbone_whose_words_nobody_knows(tiny_model: Path) -> None:
    class Wordless(NanoBackbone):
        encode_text = None  # type: ignore[assignment]

    with pytest.raises(BackboneError, match=r"which words of the prompt.*give --mask"):
        localize(EditPipeline(Wordless.load(str(tiny_model))), PHOTO, PROMPT)


def test_blocks_of_the_backbones_choice_or_by_depth(
    pipeline: EditPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get_blocks(pipeline.backbone) == {"single_transformer_blocks.0": None}
    traits = pipeline.backbone.traits
    for chosen in ("transformer_blocks.0", "transformer_blocks.9"):
        monkeypatch.setattr(pipeline.backbone, "traits", replace(traits, localize_blocks=(chosen,)))
        if chosen.endswith("0"):
            assert localize(pipeline, PHOTO, PROMPT).blocks == (chosen,)
        else:
            with pytest.raises(BackboneError, match=r"no block 'transformer_blocks\.9'.*did you mean"):
                localize(pipeline, PHOTO, PROMPT)


def test_heads_of_the_backbones_choice(pipeline: EditPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("transformer_blocks.0", "single_transformer_blocks.0")
    picture, traits = resize(PHOTO, (64, 64)), pipeline.backbone.traits

    def attend(*chosen: str) -> np.ndarray:
        monkeypatch.setattr(pipeline.backbone, "traits", replace(traits, localize_blocks=chosen))
        seeker = Seeker(pipeline, PROMPT, OPTIONS)
        assert seeker.blocks == chosen
        with torch.no_grad():
            return seeker.attend(picture)

    heads = [[attend(f"{name}:{head}") for head in (0, 1)] for name in names]
    np.testing.assert_allclose(attend(names[0]), np.mean(heads[0], 0), rtol=1e-5)
    three = attend(f"{names[1]}:1", names[0])  # each head weighs the same
    np.testing.assert_allclose(three, (heads[1][1] + heads[0][0] + heads[0][1]) / 3, rtol=1e-5)
    assert not np.allclose(heads[0][0], heads[0][1], rtol=1e-3)
    found = localize(pipeline, PHOTO, PROMPT)
    assert found.blocks == (f"{names[1]}:1", names[0])
    monkeypatch.setattr(pipeline.backbone, "traits", replace(traits, localize_blocks=(f"{names[0]}:2",)))
    with pytest.raises(BackboneError, match=r"traits\.localize_blocks: .*there is no head 2 \(0 to 1\)"):
        localize(pipeline, PHOTO, PROMPT)


@pytest.mark.parametrize("way", ["attention", "predictor"])
def test_a_sentence_about_the_whole_picture_names_no_place(
    predicting: EditPipeline, way: Literal["attention", "predictor"]
) -> None:
    sentence = "darken the photo"
    found = localize(predicting, PHOTO, sentence, way=way)
    assert found.diffuse and found.reason == "the sentence is about the whole picture" and found.way == way
    assert found.region.all() and found.mask.all() and found.soft.min() == 1 and found.share == 1
    asked = localize(predicting, PHOTO, sentence, way=way, keyword="photo", threshold=0.5, options=OPTIONS)
    assert "whole picture" not in asked.reason and np.ptp(asked.soft) > 0
    assert "whole picture" not in localize(predicting, PHOTO, PROMPT, way=way).reason


def test_a_predictor_that_never_reads_the_keyword_says_so(predicting: EditPipeline) -> None:
    late = "please be so kind and replace the cup"  # of which 20 bytes are read
    assert localize(predicting, PHOTO, late, way="predictor").unread
    assert not localize(predicting, PHOTO, late, way="predictor", keyword="be so").unread
    assert not localize(predicting, PHOTO, PROMPT, way="predictor").unread
    assert not localize(predicting, PHOTO, PROMPT, way="attention").unread


def make_map(rows: int, columns: int, box: tuple[int, int, int, int], noise: float = 0.1) -> np.ndarray:
    """Attention that is high in a box of tokens, with noise."""
    attention = np.random.default_rng(0).random((rows, columns)) * noise
    attention[box[1] : box[3], box[0] : box[2]] += 1
    return attention.astype(np.float32)


@pytest.mark.parametrize("filter", FILTERS)
def test_a_map_that_shows_a_thing_gives_it_back(filter: Filter) -> None:
    truth = np.zeros((256, 256), bool)
    truth[80:160, 48:144] = True
    options = LocalizeOptions(filter=filter)
    look = read_map(make_map(16, 16, (3, 5, 9, 10)), options, (256, 256))
    assert look.reason == "" and get_iou(look.region, truth) > 0.8
    assert look.soft[truth].mean() > 0.7 > 0.3 > look.soft[~truth].mean()


def test_maps_that_show_nothing_say_why() -> None:
    flat = read_map(np.full((16, 16), 0.3, np.float32), LocalizeOptions(), (256, 256))
    assert flat.reason == "the attention is the same everywhere" and not flat.region.any()
    broken = read_map(np.full((16, 16), np.nan, np.float32), LocalizeOptions(), (256, 256))
    assert (
        broken.reason == "the attention is not finite"
        and not broken.region.any()
        and np.isfinite(broken.soft).all()
    )
    wide = make_map(16, 16, (0, 0, 16, 13))
    everything = read_map(wide, LocalizeOptions(), (256, 256))
    assert everything.reason == "most of the picture is meant"
    assert read_map(wide, LocalizeOptions(threshold=0.5), (256, 256)).reason == ""  # told to


def find_red(picture: np.ndarray) -> Look:
    """A look that knows its thing, at the coarseness of 16-px tokens."""
    red = (picture[..., 0].astype(float) - picture[..., 1]).clip(0) / 255
    rows, columns = (side // 16 for side in red.shape)
    tokens = red.reshape(rows, 16, columns, 16).mean((1, 3))
    soft = np.kron(tokens, np.ones((16, 16))).astype(np.float32)
    return Look(soft, soft > 0.4, 0.4, "" if (soft > 0.4).any() else "nothing is red")


def test_a_second_look_is_finer_where_the_thing_is_small() -> None:
    photo = np.full((400, 600, 3), 90, np.uint8)
    rows, columns = np.mgrid[0:400, 0:600]
    truth = np.hypot(rows - 150, columns - 380) < 46
    photo[truth] = (255, 0, 0)
    once, twice = (look_over(find_red, photo, 256, 16, refine=refine) for refine in (False, True))
    assert get_iou(twice.region, truth) > 0.85 > get_iou(once.region, truth) + 0.05
    assert twice.scale < once.scale / 2 and once.region.shape == twice.region.shape == (400, 600)
    assert twice.soft[truth].mean() > once.soft[truth].mean()
    for large in (
        np.full_like(photo, 90),
        np.where(columns[..., None] < 300, (255, 0, 0), photo).astype(np.uint8),
    ):
        pair = [look_over(find_red, large, 256, 16, refine=refine) for refine in (False, True)]
        assert np.array_equal(pair[0].region, pair[1].region) and pair[0].scale == pair[1].scale


@pytest.mark.parametrize("centre", [(150, 380), (40, 30), (395, 590)])
def test_the_second_looks_map_has_no_edge_in_the_first_ones(centre: tuple[int, int]) -> None:
    """Two looks that disagree everywhere, each the same all over: nothing jumps where one gives way to the other."""
    photo = np.full((400, 600, 3), 90, np.uint8)
    rows, columns = np.mgrid[0:400, 0:600]
    photo[np.hypot(rows - centre[0], columns - centre[1]) < 40] = (255, 0, 0)
    regions: list[np.ndarray] = []

    def look(picture: np.ndarray) -> Look:
        seen = find_red(picture)
        regions.append(seen.region)
        return replace(seen, soft=np.full_like(seen.soft, 0.2 if len(regions) == 1 else 0.8))

    sight = look_over(look, photo, 256, 16)
    near = regions[1].sum() * sight.scale**2  # px of the photo: the region is the second look's, unblended
    assert len(regions) == 2 and sight.region.sum() == pytest.approx(near, rel=0.1)
    assert sight.soft[centre] == pytest.approx(0.8, abs=1e-5)
    assert sight.soft.min() == pytest.approx(0.2, abs=1e-5) and sight.soft.max() < 0.8 + 1e-5
    steepest = max(np.abs(np.diff(sight.soft, axis=axis)).max() for axis in (0, 1))
    assert steepest <= 1.02 * 1.5 * 0.6 / (FADE * min(regions[1].shape) * sight.scale)
    inside = sight.soft > 0.2 + 1e-5
    rim = inside & (ndimage.minimum_filter(inside.astype(np.uint8), 3, mode="nearest") == 0)
    assert rim.any() and sight.soft[rim].max() < 0.21


def test_what_is_smaller_than_a_pixel_is_no_place(pipeline: EditPipeline) -> None:
    found = localize(pipeline, PHOTO[:1, :1], PROMPT, threshold=0.9)
    assert found.diffuse and not found.mask.any()
    assert found.reason == "what reaches the threshold is smaller than a pixel of the photo"


def test_attention_that_is_no_number_is_the_models_fault(pipeline: EditPipeline) -> None:
    with torch.no_grad():
        pipeline.backbone.transformer.single_transformer_blocks[0].attn.to_q.weight.fill_(torch.nan)
    with pytest.raises(BackboneError, match=r"attention is NaN \(try --dtype float32\)"):
        localize(pipeline, PHOTO, PROMPT)


def test_a_second_look_that_sees_nothing_changes_nothing() -> None:
    photo = np.full((256, 256, 3), 90, np.uint8)
    photo[100:140, 100:140] = (255, 0, 0)
    calls = []

    def look(picture: np.ndarray) -> Look:
        calls.append(picture)
        return replace(find_red(picture), reason="" if len(calls) == 1 else "nothing")

    sight = look_over(look, photo, 256, 16)
    assert len(calls) == 2 and sight.scale == 1 and np.array_equal(sight.region, find_red(photo).region)


def test_sizes_to_look_at_keep_the_aspect() -> None:
    for size in ((256, 256), (3000, 4000), (40, 150), (1, 5000)):
        height, width = get_look_size(size, 256, 16)
        assert height % 16 == width % 16 == 0 and 0.85 < height * width / 256**2 < 1.15
        aspect = min(max(size[1] / size[0], 1 / 8), 8)
        assert abs(np.log(width / height / aspect)) < 0.3


def test_growing() -> None:
    region = np.zeros((100, 100), bool)
    region[40:60, 30:70] = True
    grown = grow(region, 0.04, 0.5 * 8)
    assert grown.sum() > region.sum() and grown[40:60, 26].all() and not grown[:, 25].any()  # 4 px, the least
    far = grow(region, 0.5, 1)
    assert far[50, round(30 - 0.5 * get_size(region)) + 1] and not far[50, 10]
    assert grow(region, 0, 4) is region and not grow(np.zeros((9, 9), bool), 0.1, 2).any()
