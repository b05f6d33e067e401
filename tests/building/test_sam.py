"""SAM and SAM 2 on tiny models: prompts and masks are checked on tensors, results against transformers' own."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import SAM2_SIDE, SAM_SIDE, build_sam, build_sam2

from a2cli.building.config import SegmentConfig
from a2cli.building.records import Box, Item, Reject, View
from a2cli.building.segment.sam import Masker, SamSegmenter, build_found, find_best, load_masker
from a2cli.errors import BackboneError, DataError

RNG = np.random.default_rng(1)
SIZES = [(48, 100), (150, 61), (64, 64), (300, 200)]
BOX = Box(10.0, 12.5, 40.0, 44.0, 0.9)
METHODS: tuple[Literal["sam", "sam2"], ...] = ("sam", "sam2")


def build_picture(size: tuple[int, int]) -> np.ndarray:
    return RNG.integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SegmentConfig]:
    root = tmp_path_factory.mktemp("models")
    return {
        "sam": SegmentConfig("sam", build_sam(root / "sam"), "cpu"),
        "sam2": SegmentConfig("sam2", build_sam2(root / "sam2"), "cpu"),
    }


@pytest.fixture(scope="module")
def maskers(configs: dict[str, SegmentConfig]) -> dict[str, Any]:
    return {name: load_masker(config) for name, config in configs.items()}


@contextmanager
def watching(
    masker: Any, logits: torch.Tensor | None = None, scores: list[float] | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Yield what the model is given; put `logits` (3, h, w) and `scores` in the place of its answer."""
    seen: list[dict[str, Any]] = []

    def replace(_module: Any, _args: Any, inputs: dict[str, Any], outputs: Any) -> Any:
        seen.append({**inputs, "outputs": outputs})
        if logits is not None:
            outputs.pred_masks = logits[None, None]
        if scores is not None:
            outputs.iou_scores = torch.tensor(scores)[None, None]
        return outputs

    handle = masker.model.register_forward_hook(replace, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("size", SIZES)
def test_sam_is_told_the_box_at_the_scale_of_its_picture(
    maskers: dict[str, Any], size: tuple[int, int]
) -> None:
    with watching(maskers["sam"]) as seen:
        maskers["sam"].find(build_picture(size), BOX)
    height, width = size
    scale = SAM_SIDE / max(size)
    across, down = int(width * scale + 0.5) / width, int(height * scale + 0.5) / height  # whole pixels
    wanted = torch.tensor([[[BOX.x0 * across, BOX.y0 * down, BOX.x1 * across, BOX.y1 * down]]])
    torch.testing.assert_close(seen[0]["input_boxes"], wanted, rtol=1e-6, atol=1e-5)
    assert torch.allclose(wanted, torch.tensor([[[BOX.x0, BOX.y0, BOX.x1, BOX.y1]]]) * scale, rtol=0.02)


@pytest.mark.parametrize("size", SIZES)
def test_sam2_is_told_the_box_in_its_square(maskers: dict[str, Any], size: tuple[int, int]) -> None:
    with watching(maskers["sam2"]) as seen:
        maskers["sam2"].find(build_picture(size), BOX)
    across, down = SAM2_SIDE / size[1], SAM2_SIDE / size[0]
    wanted = torch.tensor([[[BOX.x0 * across, BOX.y0 * down, BOX.x1 * across, BOX.y1 * down]]])
    torch.testing.assert_close(seen[0]["input_boxes"], wanted)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_masks_return_to_the_pictures_own_grid(
    maskers: dict[str, Any], method: str, size: tuple[int, int]
) -> None:
    """What the model marks at the box it was told is the box in the picture, to a pixel of the mask's grid."""
    height, width = size
    box = Box(0.25 * width, 0.5 * height, 0.75 * width, height)
    side = {"sam": SAM_SIDE, "sam2": SAM2_SIDE}[method]
    grid = 32
    with watching(maskers[method]) as seen:
        maskers[method].find(build_picture(size), box)
    x0, y0, x1, y1 = (seen[0]["input_boxes"][0, 0] * grid / side).round().int().tolist()
    logits = torch.full((3, grid, grid), -8.0)
    logits[1, y0:y1, x0:x1] = 8.0
    with watching(maskers[method], logits, [0.3, 0.8, 0.5]):
        found = maskers[method].find(build_picture(size), box)
    assert found is not None and found.mask.shape == size and found.mask.dtype == bool
    assert found.score == pytest.approx(0.8)
    wanted = np.zeros(size, bool)
    wanted[round(0.5 * height) :, round(0.25 * width) : round(0.75 * width)] = True
    cell = max(size) / grid
    rows, columns = np.nonzero(found.mask)
    assert abs(rows.min() - height / 2) <= cell and rows.max() == height - 1
    assert abs(columns.min() - width / 4) <= cell and abs(columns.max() + 1 - 3 * width / 4) <= cell
    overlap = (found.mask & wanted).sum() / (found.mask | wanted).sum()
    assert overlap > 0.85


@pytest.mark.parametrize("size", SIZES)
def test_sam_equals_transformers_own_computation(
    configs: dict[str, SegmentConfig], maskers: dict[str, Any], size: tuple[int, int]
) -> None:
    from transformers import SamImageProcessorPil, SamModel, SamProcessor

    picture = build_picture(size)
    model = SamModel.from_pretrained(configs["sam"].model).eval()
    processor = SamProcessor(SamImageProcessorPil.from_pretrained(configs["sam"].model))
    corners = [BOX.x0, BOX.y0, BOX.x1, BOX.y1]
    inputs = processor(images=Image.fromarray(picture), input_boxes=[[corners]], return_tensors="pt")
    inputs["input_boxes"] = inputs["input_boxes"].float()
    with torch.no_grad():
        outputs = model(**inputs)
    masks = processor.post_process_masks(
        outputs.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )[0][0]
    best = int(outputs.iou_scores[0, 0].argmax())
    check(maskers["sam"].find(picture, BOX), masks[best].numpy(), float(outputs.iou_scores[0, 0, best]))


@pytest.mark.parametrize("size", SIZES)
def test_sam2_equals_transformers_model_on_plain_pixels(
    configs: dict[str, SegmentConfig], maskers: dict[str, Any], size: tuple[int, int]
) -> None:
    """The naive twin of the image processor: Pillow's bilinear square, ImageNet's mean and spread."""
    from transformers import Sam2Model

    picture = build_picture(size)
    square = np.asarray(Image.fromarray(picture).resize((SAM2_SIDE, SAM2_SIDE), Image.Resampling.BILINEAR))
    pixels = (square / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    across, down = SAM2_SIDE / size[1], SAM2_SIDE / size[0]
    with torch.no_grad():
        outputs = Sam2Model.from_pretrained(configs["sam2"].model).eval()(
            pixel_values=torch.from_numpy(pixels).permute(2, 0, 1)[None].float(),
            input_boxes=torch.tensor([[[BOX.x0 * across, BOX.y0 * down, BOX.x1 * across, BOX.y1 * down]]]),
        )
    best = int(outputs.iou_scores[0, 0].argmax())
    logits = torch.nn.functional.interpolate(outputs.pred_masks[:, 0], size, mode="bilinear")[0, best]
    check(
        maskers["sam2"].find(picture, BOX), (logits > 0).numpy(), float(outputs.iou_scores[0, 0, best]), 0.002
    )


def test_sam2_fills_in_what_its_settings_leave_out(tmp_path: Path) -> None:
    """As `Sam2ImageProcessor` would: 1024 px, bilinear, ImageNet's mean and spread."""
    folder = Path(build_sam2(tmp_path / "sam2"))
    (folder / "preprocessor_config.json").write_text("{}")
    masker: Any = load_masker(SegmentConfig("sam2", str(folder), "cpu"))
    grey = Image.new("RGB", (2, 1), (124, 116, 104))
    grey.putpixel((1, 0), (255, 116, 104))
    pixels = masker.images(grey, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 1024, 1024)
    assert pixels[0, :, :, 0].abs().max() < 0.02  # ImageNet's mean colour
    assert pixels[0, 0, 0, -1] == pytest.approx((1 - 0.485) / 0.229, abs=1e-4)
    assert 0.3 < pixels[0, 0, 0, 512] < 2.1  # halfway, not one or the other


def check(found: Any, mask: np.ndarray, score: float, share: float = 0.0) -> None:
    """What was found is `mask`, but for a `share` of pixels."""
    assert 0.05 < mask.mean() < 0.95 and 0 < score < 1
    assert (found.mask != mask).mean() <= share and found.score == pytest.approx(score, abs=1e-4)


def test_the_best_score_wins_and_nonsense_is_none() -> None:
    assert find_best(torch.tensor([[[0.2, float("nan"), 0.7]]])) == (2, pytest.approx(0.7))
    mask = np.ones((2, 3), bool)
    found = build_found(mask, 1.03)
    assert found is not None and found.score == 1.0
    for score in (0.0, -0.2, float("nan"), float("inf")):
        assert build_found(mask, score) is None
    assert build_found(np.zeros((2, 3), bool), 0.9) is None


@pytest.mark.parametrize("method", METHODS)
def test_the_stage_masks_the_best_box(
    configs: dict[str, SegmentConfig], maskers: dict[str, Any], method: str
) -> None:
    stage = SamSegmenter(configs[method])
    stage._masker = maskers[method]
    picture = build_picture((48, 100))
    view = View("a", picture, boxes=(BOX, Box(0, 0, 5, 5, 0.2)), scores={"kept": 1.0})
    logits = torch.full((3, 32, 32), 5.0)
    with watching(maskers[method], logits, [0.9, 0.1, 0.2]) as seen:
        item = stage(Item("one", "one", (view, View("b", picture))))
    assert isinstance(item, Item) and len(seen) == 1 and item.dropped == {"no mask": 1}
    assert float(seen[0]["input_boxes"][0, 0, 0]) > 0  # the first box, not the second
    (masked,) = item.views
    assert masked.mask is not None and masked.mask.all() and masked.boxes == view.boxes
    assert masked.scores == {"kept": 1.0, "mask_score": pytest.approx(0.9)}
    assert item.tools["segment"].startswith({"sam": "SamModel sam", "sam2": "Sam2Model sam2"}[method])


@pytest.mark.parametrize("method", METHODS)
def test_empty_masks_are_dropped(
    configs: dict[str, SegmentConfig], maskers: dict[str, Any], method: str
) -> None:
    stage = SamSegmenter(configs[method])
    stage._masker = maskers[method]
    view = View("a", build_picture((48, 100)), boxes=(BOX,))
    with watching(maskers[method], torch.full((3, 32, 32), -5.0), [0.9, 0.1, 0.2]):
        reject = stage(Item("one", "one", (view, view)))
    assert isinstance(reject, Reject) and reject.reason == "no mask" and reject.dropped == {"no mask": 2}


@pytest.mark.parametrize("method", METHODS)
def test_given_masks_are_kept_without_the_model(method: Literal["sam", "sam2"]) -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:4, 3:8] = True
    view = View("a", build_picture((9, 9)), mask=mask, given=True)
    item = SamSegmenter(SegmentConfig(method, "/nowhere", "cpu"))(Item("one", "one", (view, view)))
    assert isinstance(item, Item) and item.views == (view, view) and item.tools == {"segment": "given"}


@pytest.mark.parametrize("method", METHODS)
def test_the_stage_travels_without_its_model(configs: dict[str, SegmentConfig], method: str) -> None:
    stage = SamSegmenter(configs[method])
    assert (stage.name, stage.gpu) == ("segment", True)
    item = Item("one", "one", (View("a", build_picture((30, 50)), boxes=(Box(1, 1, 20, 20),)),))
    first = stage(item)
    data = pickle.dumps(stage)
    assert len(data) < 2000
    again = pickle.loads(data)(item)
    assert isinstance(first, Item) and isinstance(again, Item)
    np.testing.assert_array_equal(first.views[0].mask, again.views[0].mask)


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_model_and_a_line_of_a_picture_are_one_line(
    configs: dict[str, SegmentConfig],
    maskers: dict[str, Masker],
    method: Literal["sam", "sam2"],
    tmp_path: Path,
) -> None:
    item = Item("one", "one", (View("strip.png", build_picture((1, 4000)), boxes=(Box(0, 0, 9, 1),)),))
    with pytest.raises(BackboneError, match="nowhere: no such model folder"):
        SamSegmenter(SegmentConfig(method, str(tmp_path / "nowhere"), "cpu"))(item)
    stage = SamSegmenter(configs[method])
    stage._masker = maskers[method]
    if method == "sam":  # its scaled picture would have no row
        with pytest.raises(DataError, match=r"strip\.png: the model fails on it"):
            stage(item)
    else:
        assert isinstance(stage(item), Item | Reject)
