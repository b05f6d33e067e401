"""Features equal transformers' own, of folders as they are published; what is wrong with a folder is one line."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_clip import LENGTH, build_tokenizer
from tiny_networks import SIDE, build_weights, make_picture
from transformers import (
    AutoImageProcessor,
    BitImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Model,
    ViTImageProcessorPil,
    ViTModel,
)

from a2cli.errors import A2Error, BackboneError, CheckpointError
from a2cli.metrics.encoders import (
    LONGEST,
    NETWORKS,
    Encoder,
    Network,
    cut_middle,
    describe_processor,
    find_source,
    open_encoder,
)
from a2cli.metrics.measure import Weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def encoders(folder: Path) -> dict[Network, Encoder]:
    weights = Weights(folder=str(folder))
    return {name: open_encoder(name, weights, "cpu", words=name == "clip") for name in NETWORKS}


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "weights"))


def prepare_dino(rgb: np.ndarray) -> torch.Tensor:
    """DINO's preparation written out: shorter edge to 256/224 of the side, bicubic, the middle, ImageNet's mean."""
    edge = round(SIDE * 256 / 224)
    height, width = rgb.shape[:2]
    size = (edge, int(edge * height / width)) if width < height else (int(edge * width / height), edge)
    large = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC), np.float64) / 255
    top, left = (large.shape[0] - SIDE) // 2, (large.shape[1] - SIDE) // 2
    middle = large[top : top + SIDE, left : left + SIDE]
    scaled = (middle - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return torch.from_numpy(scaled).permute(2, 0, 1)[None].float()


@cache
def open_directly(place: Path) -> Any:
    options = {"dino": {"add_pooling_layer": False}}.get(place.name, {})
    classes = {"clip": CLIPModel, "dinov2": Dinov2Model, "dino": ViTModel}
    return classes[place.name].from_pretrained(place, **options).eval()


def look_directly(folder: Path, network: Network, rgb: np.ndarray) -> np.ndarray:
    """What transformers gives when its classes are called by hand."""
    place, picture = folder / network, Image.fromarray(rgb)
    model = open_directly(place)
    with torch.no_grad():
        if network == "clip":
            pixels = CLIPImageProcessorPil.from_pretrained(place)(picture, return_tensors="pt").pixel_values
            feature = model.visual_projection(model.vision_model(pixels).pooler_output)
        elif network == "dinov2":
            pixels = BitImageProcessorPil.from_pretrained(place)(picture, return_tensors="pt").pixel_values
            feature = model(pixels).last_hidden_state[:, 0]
        else:
            feature = model(prepare_dino(rgb)).last_hidden_state[:, 0]
    return np.asarray(feature[0])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [(40, 56), (90, 31), (32, 32), (7, 5)])
def test_equals_transformers_own_computation(
    encoders: dict[Network, Encoder], folder: Path, network: Network, size: tuple[int, int]
) -> None:
    rgb = make_picture(1, size)
    feature = encoders[network].look(rgb)
    assert feature.dtype == np.float32 and feature.ndim == 1
    np.testing.assert_allclose(feature, look_directly(folder, network, rgb), atol=1e-5)
    assert not np.allclose(feature, look_directly(folder, network, make_picture(2, size)), atol=1e-3)


@pytest.mark.parametrize("words", [("sofa",), ("red", "dog") * LENGTH])
def test_sentences_equal_transformers_own_computation(
    encoders: dict[Network, Encoder], folder: Path, words: tuple[str, ...]
) -> None:
    """The second is cut at the model's length, its end mark kept, as CLIP's tokenizer does."""
    sentence = " ".join(words)
    ids = build_tokenizer()(sentence)["input_ids"]
    if len(ids) > LENGTH:
        ids = [*ids[: LENGTH - 1], ids[-1]]
    with torch.no_grad():
        clip = open_directly(folder / "clip")
        direct = clip.text_projection(clip.text_model(torch.tensor([ids])).pooler_output)[0]
    encoder = encoders["clip"]
    np.testing.assert_allclose(encoder.read(sentence), direct.numpy(), atol=1e-5)
    assert not np.allclose(encoder.read("a photo of a dog"), encoder.read("a photo of a sofa"), atol=1e-3)


IMAGENET = "mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225"
PUBLISHED: dict[str, tuple[dict[str, Any], str, type]] = {
    "openai/clip-vit-base-patch32": (
        {
            "crop_size": 224,
            "do_center_crop": True,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "resample": 3,
            "size": 224,
        },
        "shorter edge 224 bicubic, middle 224 x 224,"
        " mean 0.4815 0.4578 0.4082, deviation 0.2686 0.2613 0.2758",
        CLIPImageProcessorPil,
    ),
    "facebook/dinov2-base": (
        {
            "crop_size": {"height": 224, "width": 224},
            "do_center_crop": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_processor_type": "BitImageProcessor",
            "image_std": [0.229, 0.224, 0.225],
            "resample": 3,
            "size": {"shortest_edge": 256},
        },
        f"shorter edge 256 bicubic, middle 224 x 224, {IMAGENET}",
        BitImageProcessorPil,
    ),
    "facebook/dino-vits16": (
        {"do_resize": True, "feature_extractor_type": "ViTFeatureExtractor", "resample": 2, "size": 224},
        "224 x 224 bilinear, mean 0.5 0.5 0.5, deviation 0.5 0.5 0.5",
        ViTImageProcessorPil,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_processors_of_published_folders_open_without_torchvision(tmp_path: Path, name: str) -> None:
    settings, said, cls = PUBLISHED[name]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert type(processor) is cls
    assert describe_processor(processor) == said


def test_the_name_says_what_ran(encoders: dict[Network, Encoder], own: Path) -> None:
    encoder = encoders["dino"]
    start = f"transformers {transformers.__version__} ViTModel dino, float32, weights sha256:"
    assert encoder.name.startswith(start)
    assert encoder.name.endswith(f", shorter edge 37 bicubic, middle 32 x 32, {IMAGENET}")
    model = encoder.model
    (own / "dino" / "model.safetensors").unlink()
    model.save_pretrained(own / "dino", max_shard_size="4KB")
    assert len(list((own / "dino").glob("*.safetensors"))) > 1
    weights = Weights(folder=str(own))
    assert open_encoder("dino", weights, "cpu").name == encoder.name  # however it is packed
    part = min((own / "dino").glob("*.safetensors"))
    tensors = load_file(part)
    next(iter(tensors.values())).view(-1)[0] += 1e-3
    save_file(tensors, part, {"format": "pt"})
    assert open_encoder("dino", weights, "cpu").name != encoder.name


def test_a_folder_of_weights_goes_before_a_name(folder: Path, own: Path) -> None:
    shutil.rmtree(own / "dinov2")
    weights = Weights(folder=str(own), clip="some/clip", dinov2=str(folder / "dinov2"))
    assert find_source(weights, "clip") == str(own / "clip")
    assert find_source(weights, "dinov2") == str(folder / "dinov2")
    assert open_encoder("dinov2", weights, "cpu").network == "dinov2"


@pytest.mark.parametrize("size", [(1, 1024), (1024, 1), (4, 1024)])
@pytest.mark.parametrize("network", NETWORKS)
def test_of_a_long_picture_the_middle_is_enough(
    encoders: dict[Network, Encoder], folder: Path, network: Network, size: tuple[int, int]
) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    middle = cut_middle(rgb)
    assert middle.size < rgb.size and max(middle.shape) <= LONGEST * min(middle.shape[:2]) + 1
    np.testing.assert_allclose(encoders[network].look(rgb), look_directly(folder, network, rgb), atol=1e-5)


def test_what_is_not_long_is_not_cut() -> None:
    for size in ((1, 1), (1, 64), (64, 1), (5, 320), (40, 56)):
        rgb = make_picture(0, size)
        np.testing.assert_array_equal(cut_middle(rgb), rgb)


def refuse(weights: Path, network: Network, kind: type[A2Error] = BackboneError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        open_encoder(network, Weights(folder=str(weights)), "cpu", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pickled_weights_are_refused(own: Path) -> None:
    """FAULTS 19."""
    torch.save(load_file(own / "dino" / "model.safetensors"), own / "dino" / "pytorch_model.bin")
    assert "pytorch_model.bin: pickled weights are never opened" in refuse(own, "dino")


def test_a_model_of_another_kind_is_refused(own: Path) -> None:
    shutil.rmtree(own / "dino")
    (own / "dinov2").rename(own / "dino")
    said = refuse(own, "dino")
    assert "dino: a model of kind dinov2, not vit" in said and "DIR/dino" in said


def test_damaged_and_missing_files_are_named(own: Path) -> None:
    """FAULTS 20."""
    weights = load_file(own / "clip" / "model.safetensors")
    weights["visual_projection.weight"][0, 0] = torch.nan
    save_file(weights, own / "clip" / "model.safetensors", {"format": "pt"})
    assert "tensor visual_projection.weight holds NaN" in refuse(own, "clip", CheckpointError)
    (own / "dinov2" / "preprocessor_config.json").unlink()
    assert "dinov2: cannot be loaded" in refuse(own, "dinov2")
    (own / "dino" / "model.safetensors").unlink()
    said = refuse(own, "dino")
    assert "dino: cannot be loaded" in said and "into DIR/dino" in said


def test_a_tokenizer_is_needed_for_words_alone(own: Path) -> None:
    for path in (own / "clip").glob("tokenizer*"):
        path.unlink()
    assert "tokenizer" in refuse(own, "clip", words=True)
    assert open_encoder("clip", Weights(folder=str(own)), "cpu").look(make_picture(1)).shape == (24,)
