"""Naming by looks: equal to transformers called directly, and right where the model is made to know."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import LENGTH, PHRASES, build_clip, build_siglip, build_tokenizer
from transformers import AutoModel, CLIPImageProcessorPil, SiglipImageProcessorPil

from a2cli.building.judge.vision_embedding import isolate
from a2cli.building.records import Box, View
from a2cli.building.zero_shot import get_crop, load_zero_shot
from a2cli.data.taxonomy import CATEGORIES, Label, get_subcategories
from a2cli.errors import A2Error, BackboneError

LABELS = [Label(category, name) for category in CATEGORIES for name in get_subcategories(category)]


def make_picture(seed: int, size: tuple[int, int] = (40, 56)) -> np.ndarray:
    """Coarse random colours, scaled up: what a tower of 8 px patches can tell apart."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(cells).resize((size[1], size[0]), Image.Resampling.NEAREST))


def ask_directly(folder: str, rgb: np.ndarray, processor: Any, padding: str) -> torch.Tensor:
    """The model's own scaled cosines of a picture with every sentence, in one batch: (207,)."""
    model = AutoModel.from_pretrained(folder).eval()
    sentences = [f"a photo of {phrase}." for phrase in PHRASES]
    tokens = build_tokenizer()(sentences, padding=padding, max_length=LENGTH, return_tensors="pt")
    with torch.inference_mode():
        out = model(**tokens, **processor(Image.fromarray(rgb), return_tensors="pt"))
    logits: torch.Tensor = out.logits_per_image[0]
    return (logits - getattr(model, "logit_bias", torch.zeros(()))).detach()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_name_is_the_one_that_transformers_ranks_first(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    processor = (
        CLIPImageProcessorPil(**sizes)
        if kind == "clip"
        else SiglipImageProcessorPil(size={"height": 32, "width": 32})
    )
    zero_shot = load_zero_shot(folder, "cpu")
    assert zero_shot.labels == tuple(LABELS)
    assert zero_shot.text_features.shape[0] == 207
    named = set()
    for seed in range(8):
        rgb = make_picture(seed)
        logits = ask_directly(folder, rgb, processor, "longest" if kind == "clip" else "max_length")
        label, score = zero_shot.name_subject(View("one", rgb))
        assert label == LABELS[int(logits.argmax())]
        assert score == pytest.approx(float(logits.softmax(0).max()), abs=1e-4)
        named.add(label)
    assert len(named) > 1, "a model that always says the same tests nothing"


def test_siglip_needs_its_padding(siglip: str) -> None:
    """Without it the features of the sentences differ, so the test above tells the two apart."""
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    rgb = make_picture(0)
    padded, bare = (ask_directly(siglip, rgb, processor, kind) for kind in ("max_length", "longest"))
    assert float((padded - bare).abs().max()) > 0.1


def test_a_model_that_knows_its_pictures_names_them(tmp_path: Path) -> None:
    known = {
        "a sofa": ("furniture", "sofa"),
        "an SUV": ("vehicles", "suv"),
        "jeans": ("garments", "jeans"),
        "a person with long hair": ("portraits", "long hair"),
        "a potted plant": ("plants", "bowl picking"),
    }
    pictures = {phrase: make_picture(i, (32, 32)) for i, phrase in enumerate(known)}
    zero_shot = load_zero_shot(build_clip(tmp_path, seen=[(rgb, p) for p, rgb in pictures.items()]), "cpu")
    for phrase, rgb in pictures.items():
        label, score = zero_shot.name_subject(View(phrase, rgb))
        assert (label.category, label.subcategory) == known[phrase]
        assert 1 / 207 < score <= 1
        label, _ = zero_shot.name_subject(View(phrase, rgb), "animals")
        assert label.category == "animals"


def test_the_sentences_are_read_once(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    zero_shot = load_zero_shot(clip, "cpu")
    calls = []
    read = zero_shot.model.get_text_features
    monkeypatch.setattr(zero_shot.model, "get_text_features", lambda **t: calls.append(1) or read(**t))
    first = zero_shot.name_subject(View("a", make_picture(1)))
    assert zero_shot.name_subject(View("b", make_picture(1))) == first
    assert len(calls) == 4  # 207 sentences, 64 at a time


def test_what_the_model_is_shown() -> None:
    rgb = make_picture(2, (60, 80))
    mask = np.zeros((60, 80), bool)
    mask[10:30, 20:50] = True
    box = Box(20, 10, 50, 30)
    assert get_crop(View("v", rgb)) is rgb
    assert (get_crop(View("v", rgb, mask=mask, boxes=(box,))) == isolate(rgb, mask)).all()
    assert (get_crop(View("v", rgb, boxes=(box,))) == rgb[7:33, 17:53]).all()
    assert (get_crop(View("v", rgb, mask=np.zeros_like(mask), boxes=(box,))) == rgb[7:33, 17:53]).all()
    assert get_crop(View("v", rgb, boxes=(Box(70, 50, 90, 70),))).shape == (12, 12, 3)
    assert get_crop(View("v", rgb, boxes=(Box(200, 200, 210, 210),))) is rgb


def test_the_ground_around_a_mask_does_not_count(clip: str) -> None:
    mask = np.zeros((40, 56), bool)
    mask[8:30, 10:40] = True
    one, other = make_picture(3), make_picture(4).copy()
    other[mask] = one[mask]
    zero_shot = load_zero_shot(clip, "cpu")
    assert zero_shot.name_subject(View("a", one, mask=mask)) == zero_shot.name_subject(
        View("b", other, mask=mask)
    )


def test_a_model_without_words_is_refused(tmp_path: Path) -> None:
    from tiny_models import build_vit

    with pytest.raises(BackboneError, match="does not compare words and pictures") as refused:
        load_zero_shot(build_vit(tmp_path / "vit"), "cpu")
    assert "CLIP" in refused.value.hint


@pytest.mark.parametrize("name", ["/nowhere/clip", "./clip"])
def test_a_missing_model_is_one_line(name: str) -> None:
    with pytest.raises(A2Error, match="no such model folder"):
        load_zero_shot(name, "cpu")


def test_a_folder_without_tokenizer_is_one_line(tmp_path: Path) -> None:
    from tiny_models import build_clip as build_wordless

    with pytest.raises(A2Error, match="does not know the words of the taxonomy") as refused:
        load_zero_shot(build_wordless(tmp_path), "cpu").name_subject(View("a", make_picture(1)))
    assert "\n" not in str(refused.value) and str(tmp_path) in str(refused.value)


def test_labels_pickle() -> None:
    assert pickle.loads(pickle.dumps(LABELS)) == LABELS
