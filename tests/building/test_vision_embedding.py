"""Embeddings of tiny models: each equals transformers' own computation on the subject cut out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import build_clip, build_dinov2, build_grounding_dino, build_vit
from transformers import BertConfig, BertModel, SiglipVisionConfig, SiglipVisionModel, ViTImageProcessorPil

from a2cli.building.judge.vision_embedding import GREY, Embedder, build_embedder, isolate
from a2cli.errors import BackboneError, DataError

RGB = np.random.default_rng(2).integers(0, 256, (60, 90, 3), dtype=np.uint8)
MASK = np.zeros((60, 90), bool)
MASK[10:50, 30:58] = True
MASK[20:24, 35:40] = False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def dinov2(folder: Path) -> Embedder:
    return build_embedder(build_dinov2(folder / "dinov2"), "cpu")


def get_square() -> np.ndarray:
    """The naive twin of `isolate`: the box is 40 high and 28 wide, so the square is 46 and 3 (9) px stay free."""
    square = np.full((46, 46, 3), GREY, np.uint8)
    inside = np.where(MASK[10:50, 30:58, None], RGB[10:50, 30:58], GREY)
    square[3:43, 9:37] = inside
    return square


def save_siglip(folder: Path) -> str:
    """SigLIP's vision tower alone: no class token, an attention head that pools."""
    torch.manual_seed(0)
    config = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    SiglipVisionModel(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def compute(folder: str) -> np.ndarray:
    """What transformers gives for the square, by the documented rule, written out for each model."""
    from transformers import (
        BitImageProcessorPil,
        CLIPImageProcessorPil,
        CLIPModel,
        Dinov2Model,
        ViTModel,
    )

    def look(processor: Any) -> torch.Tensor:
        return processor.from_pretrained(folder)(Image.fromarray(get_square()), return_tensors="pt")[
            "pixel_values"
        ]

    name = Path(folder).name
    with torch.no_grad():
        if name == "dinov2":
            model = Dinov2Model.from_pretrained(folder).eval()
            feature = model(look(BitImageProcessorPil)).last_hidden_state[:, 0]
        elif name == "vit":
            model = ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
            feature = model(look(ViTImageProcessorPil)).last_hidden_state[:, 0]
        elif name == "clip":
            model = CLIPModel.from_pretrained(folder).eval()
            pooled = model.vision_model(look(CLIPImageProcessorPil)).pooler_output
            feature = model.visual_projection(pooled)
        else:
            model = SiglipVisionModel.from_pretrained(folder).eval()
            feature = model(look(ViTImageProcessorPil)).pooler_output
    return torch.nn.functional.normalize(feature[0], dim=0).numpy()


@pytest.mark.parametrize(
    ("build", "name", "width"),
    [
        (build_dinov2, "dinov2", 16),
        (build_vit, "vit", 16),
        (build_clip, "clip", 12),
        (save_siglip, "siglip", 16),
    ],
)
def test_equals_transformers_own_computation(folder: Path, build: Any, name: str, width: int) -> None:
    embedder = build_embedder(build(folder / name), "cpu")
    feature = embedder.embed(RGB, MASK)
    assert feature.shape == (width,) and feature.dtype == np.float32
    assert np.linalg.norm(feature) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(feature, compute(str(folder / name)), atol=2e-6)
    assert embedder.name.endswith(f" {name}")


def test_the_subject_lies_alone_on_grey() -> None:
    np.testing.assert_array_equal(isolate(RGB, MASK), get_square())
    assert isolate(RGB, None).shape == (103, 103, 3)  # ceil(90 / (1 - 2 / 16))


def test_only_the_subject_counts(dinov2: Embedder) -> None:
    feature = dinov2.embed(RGB, MASK)
    other = np.where(MASK[..., None], RGB, 255 - RGB)
    np.testing.assert_array_equal(dinov2.embed(other, MASK), feature)
    moved = np.roll(RGB, (5, -20), axis=(0, 1))
    np.testing.assert_array_equal(dinov2.embed(moved, np.roll(MASK, (5, -20), axis=(0, 1))), feature)
    turned = np.where(MASK[..., None], 255 - RGB, RGB)
    assert not np.allclose(dinov2.embed(turned, MASK), feature, atol=1e-3)
    assert not np.allclose(dinov2.embed(RGB), feature, atol=1e-3)


def test_small_and_long_subjects_work(dinov2: Embedder) -> None:
    for box in ((slice(0, 1), slice(0, 1)), (slice(7, 8), slice(0, 90)), (slice(0, 60), slice(89, 90))):
        mask = np.zeros(MASK.shape, bool)
        mask[box] = True
        assert np.linalg.norm(dinov2.embed(RGB, mask)) == pytest.approx(1, abs=1e-6)
    with pytest.raises(DataError, match="an empty mask"):
        dinov2.embed(RGB, np.zeros_like(MASK))


def test_what_cannot_see_is_refused(folder: Path, tmp_path: Path) -> None:
    BertModel(
        BertConfig(
            vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
        )
    ).save_pretrained(tmp_path / "bert")
    with pytest.raises(BackboneError, match="BertModel takes no pictures"):
        build_embedder(str(tmp_path / "bert"), "cpu")
    (Path(build_dinov2(tmp_path / "blind")) / "preprocessor_config.json").unlink()
    with pytest.raises(BackboneError, match="blind: cannot be loaded"):
        build_embedder(str(tmp_path / "blind"), "cpu")
    detector = build_embedder(build_grounding_dino(tmp_path / "dino"), "cpu")  # takes pictures, but not alone
    with pytest.raises(BackboneError, match="GroundingDinoModel dino: gives no feature"):
        detector.embed(RGB, MASK)
