"""Similarities equal cosines computed by hand with transformers, whatever the company; what fails is left out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import build_weights, make_picture, make_shot
from transformers import AutoModel, AutoTokenizer, BitImageProcessorPil, CLIPImageProcessorPil

from a2cli.errors import DataError
from a2cli.metrics.measure import Values, Weights
from a2cli.metrics.shots import GREY, Shot
from a2cli.metrics.similarity import SimilarityMeasure, build_measure, get_cosine, get_direction
from a2cli.metrics.table import METRICS

NAMES = {
    "clip": ("clip_i", "clip_i_ref", "clip_t"),
    "dinov2": ("dino_i", "dino_i_ref"),
    "dino": ("dino1_i", "dino1_i_ref"),
}
KEYS = {key for names in NAMES.values() for name in names for key in METRICS[name].keys}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_weights(tmp_path_factory.mktemp("weights"))


def open_network(folder: Path, network: str) -> SimilarityMeasure:
    return build_measure([METRICS[name] for name in NAMES[network]], Weights(folder=str(folder)), "cpu")


@pytest.fixture(scope="module")
def measures(folder: Path) -> list[SimilarityMeasure]:
    return [open_network(folder, network) for network in NAMES]


def measure_all(measures: list[SimilarityMeasure], shots: list[Shot]) -> list[Values]:
    found = [measure.measure(shots) for measure in measures]
    return [{k: v for values in each for k, v in values.items()} for each in zip(*found, strict=True)]


def cut_out(rgb: np.ndarray, mask: np.ndarray, region: str) -> np.ndarray:
    """The view of a region, by loops over pixels."""
    if region == "image":
        return rgb
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = np.array(rgb)
    if region == "mask":
        for y, x in np.argwhere(~mask):
            window[y, x] = GREY
    return window[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def compute_directly(folder: Path, shot: Shot) -> Values:
    """Every similarity of a shot, transformers called by hand and torch's own cosine."""
    clip = AutoModel.from_pretrained(folder / "clip").eval()
    dinov2 = AutoModel.from_pretrained(folder / "dinov2").eval()
    dino = AutoModel.from_pretrained(folder / "dino", add_pooling_layer=False).eval()
    with_clip = CLIPImageProcessorPil.from_pretrained(folder / "clip")
    with_dinov2 = BitImageProcessorPil.from_pretrained(folder / "dinov2")
    with_dino = BitImageProcessorPil(
        size={"shortest_edge": 37},
        crop_size={"height": 32, "width": 32},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    tokens = AutoTokenizer.from_pretrained(folder / "clip")(shot.prompt, return_tensors="pt")
    looks: dict[str, Any] = {
        "clip": lambda p: clip.get_image_features(**with_clip(p, return_tensors="pt")).pooler_output[0],
        "dino": lambda p: dinov2(**with_dinov2(p, return_tensors="pt")).last_hidden_state[0, 0],
        "dino1": lambda p: dino(**with_dino(p, return_tensors="pt")).last_hidden_state[0, 0],
    }
    assert shot.target is not None and shot.ref_rgb is not None and shot.ref_mask is not None
    values: Values = {}
    with torch.no_grad():
        text = clip.get_text_features(**tokens).pooler_output[0]
        for region in ("image", "crop", "mask"):
            at = "" if region == "image" else f"@{region}"
            for name, look in looks.items():
                edited = look(cut_out(shot.edited, shot.mask, region))
                target = look(cut_out(shot.target, shot.mask, region))
                reference = look(cut_out(shot.ref_rgb, shot.ref_mask, region))
                values[f"{name}_i{at}"] = float(torch.cosine_similarity(edited, target, dim=0))
                values[f"{name}_i_ref{at}"] = float(torch.cosine_similarity(edited, reference, dim=0))
                if name == "clip":
                    values[f"clip_t{at}"] = float(torch.cosine_similarity(edited, text, dim=0))
    return values


def test_equals_transformers_own_computation(folder: Path, measures: list[SimilarityMeasure]) -> None:
    shots = [make_shot(seed) for seed in range(2)]
    for shot, values in zip(shots, measure_all(measures, shots), strict=True):
        assert values.keys() == KEYS and len(KEYS) == 21
        assert values == pytest.approx(compute_directly(folder, shot), abs=1e-5)
        assert len({round(value, 4) for value in values.values()}) == len(KEYS)  # none is another in disguise


CAPTIONED = make_shot(4, source=make_picture(300), source_prompt="a red sofa", prompt="a blue sofa and a dog")


def open_direction(folder: Path, *more: str) -> SimilarityMeasure:
    return build_measure([METRICS[name] for name in (*more, "clip_dir")], Weights(folder=str(folder)), "cpu")


def test_the_direction_equals_transformers_own_computation(folder: Path) -> None:
    clip = AutoModel.from_pretrained(folder / "clip").eval()
    processor, tokenizer = (
        CLIPImageProcessorPil.from_pretrained(folder / "clip"),
        AutoTokenizer.from_pretrained(folder / "clip"),
    )
    assert CAPTIONED.source is not None

    def look(picture: np.ndarray) -> torch.Tensor:
        return clip.get_image_features(**processor(picture, return_tensors="pt")).pooler_output[0]

    def read(words: str) -> torch.Tensor:
        return clip.get_text_features(**tokenizer(words, return_tensors="pt")).pooler_output[0]

    with torch.no_grad():
        seen = torch.nn.functional.normalize(look(CAPTIONED.edited), dim=0)
        seen = seen - torch.nn.functional.normalize(look(CAPTIONED.source), dim=0)
        told = torch.nn.functional.normalize(read(CAPTIONED.prompt), dim=0)
        told = told - torch.nn.functional.normalize(read(CAPTIONED.source_prompt), dim=0)
        naive = float(torch.cosine_similarity(seen, told, dim=0))
    alone = open_direction(folder).measure([CAPTIONED])[0]
    assert alone.keys() == {"clip_dir"} and alone["clip_dir"] == pytest.approx(naive, abs=1e-4)
    beside = open_direction(folder, "clip_i", "clip_t").measure([CAPTIONED])[0]
    assert len(beside) == 7 and beside["clip_dir"] == alone["clip_dir"]


def test_the_direction_is_the_captions(folder: Path) -> None:
    """Back instead of there is the opposite; an edit that changes nothing goes nowhere; without a way there is none."""
    measure = open_direction(folder)
    assert CAPTIONED.source is not None
    back = replace(CAPTIONED, prompt=CAPTIONED.source_prompt, source_prompt=CAPTIONED.prompt)
    still = replace(CAPTIONED, edited=CAPTIONED.source)
    there, other, nowhere = measure.measure([CAPTIONED, back, still])
    assert there["clip_dir"] != 0 and other["clip_dir"] == pytest.approx(-there["clip_dir"], abs=1e-6)
    assert nowhere == {"clip_dir": 0.0}
    lacking = [
        replace(CAPTIONED, source=None),
        replace(CAPTIONED, source_prompt=" "),
        replace(CAPTIONED, prompt=""),
        replace(CAPTIONED, prompt=f" {CAPTIONED.source_prompt} "),
    ]
    assert measure.measure(lacking) == [{}] * 4


def test_directions_of_known_vectors() -> None:
    x, y = np.array([2.0, 0.0], np.float32), np.array([0.0, 5.0], np.float32)
    assert get_direction(x, y, x * 3, y, "") == 1.0
    assert get_direction(x, y, y, x, "") == -1.0
    assert get_direction(x, -x, y, -y, "") == pytest.approx(0.0, abs=1e-12)
    assert get_direction(x, x * 2, x, y, "") == 0.0  # length says nothing
    for bad in (np.zeros(2, np.float32), np.array([np.inf, 0.0], np.float32)):
        with pytest.raises(DataError, match="no finite feature"):
            get_direction(x, bad, x, y, "shot")


def test_equal_pictures_are_one_and_others_less(measures: list[SimilarityMeasure]) -> None:
    rgb = make_picture(1)
    same = make_shot(1, edited=rgb, target=rgb.copy(), ref_rgb=rgb.copy(), ref_mask=make_shot(1).mask)
    for key, value in measure_all(measures, [same])[0].items():
        assert key.startswith("clip_t") or value == 1.0, key
    for key, value in measure_all(measures, [make_shot(1)])[0].items():
        assert -1 <= value < 0.999, key


def test_regions_see_what_they_should(measures: list[SimilarityMeasure]) -> None:
    """A change outside the mask leaves @crop and @mask alone outside the box, and @mask alone inside the box."""
    shot = make_shot(3)
    outside, corner = shot.edited.copy(), shot.edited.copy()
    outside[:6] = 255 - outside[:6]
    corner[8:16, 24:40] = 255 - corner[8:16, 24:40]
    plain, far, near = measure_all(
        measures, [shot, replace(shot, edited=outside), replace(shot, edited=corner)]
    )
    for key, value in plain.items():
        assert (far[key] == value) == ("@" in key), key
        assert (near[key] == value) == ("@mask" in key), key


def test_neither_order_nor_company_nor_memory_changes_a_value(
    folder: Path, measures: list[SimilarityMeasure]
) -> None:
    shots = [make_shot(seed) for seed in (5, 6, 7, 5, 8)]
    together = measure_all(measures, shots)
    assert together == measure_all(measures, shots[::-1])[::-1]
    for shot, values in list(zip(shots, together, strict=True))[2:4]:  # one of its own, one met before
        fresh = [open_network(folder, network) for network in NAMES]
        assert measure_all(fresh, [shot]) == [values]


@contextmanager
def counting(module: torch.nn.Module) -> Iterator[list[int]]:
    calls: list[int] = []
    hook = module.register_forward_hook(lambda *_: calls.append(1))
    try:
        yield calls
    finally:
        hook.remove()


def test_each_view_is_looked_at_once(folder: Path) -> None:
    measure = open_network(folder, "clip")
    model = measure.encoder.model
    shot = make_shot(9)
    with counting(model.vision_model) as looks, counting(model.text_model) as reads:
        measure.measure([shot])
        assert (len(looks), len(reads)) == (9, 1)  # edit, target, reference: three views each
        measure.measure([replace(shot, edited=make_picture(77))])  # another method's edit of the same
        assert (len(looks), len(reads)) == (12, 1)
        measure.measure([make_shot(10, target=None, ref_rgb=None, ref_mask=None, prompt="")])
        assert (len(looks), len(reads)) == (12, 1)


def test_what_a_shot_has_not_is_left_out(measures: list[SimilarityMeasure]) -> None:
    bare = make_shot(1, target=None, ref_rgb=None, ref_mask=None, prompt="  ")
    no_target, no_reference = make_shot(1, target=None), make_shot(1, ref_rgb=None, ref_mask=None)
    whole = measure_all(measures, [make_shot(1)])[0]
    found = measure_all(measures, [bare, no_target, no_reference, make_shot(1, prompt="")])
    assert found[0] == {}
    for values, gone in zip(found[1:], ("_i", "_i_ref", "_t"), strict=True):
        kept = {key: value for key, value in whole.items() if not key.partition("@")[0].endswith(gone)}
        assert values == kept and len(kept) < len(whole)


def test_a_reference_without_mask_counts_whole(measures: list[SimilarityMeasure]) -> None:
    shot = make_shot(2)
    assert shot.ref_mask is not None
    bare = replace(shot, ref_mask=None)
    full = replace(shot, ref_mask=np.ones_like(shot.ref_mask))
    assert measure_all(measures, [bare]) == measure_all(measures, [full])


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (2, 3)])
def test_pictures_of_any_shape_work(measures: list[SimilarityMeasure], size: tuple[int, int]) -> None:
    mask = np.zeros(size, bool)
    mask[0, 0] = True
    shot = make_shot(
        1,
        edited=make_picture(1, size),
        target=make_picture(2, size),
        mask=mask,
        ref_rgb=make_picture(3, size),
        ref_mask=mask,
    )
    values = measure_all(measures, [shot, make_shot(1)])
    assert values[0].keys() == KEYS and all(-1 <= value <= 1 for value in values[0].values())
    assert values[1] == measure_all(measures, [make_shot(1)])[0]


def run_out(outputs: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory\nand more")


def overflow(outputs: Any) -> Any:
    outputs.last_hidden_state[0, 0, 3] = torch.inf
    return outputs


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (run_out, "the model fails on it: CUDA out of memory"),
        (overflow, "the network gives no finite feature"),
    ],
)
def test_a_picture_the_network_fails_on_costs_that_shot_alone(
    folder: Path, caplog: pytest.LogCaptureFixture, fail: Callable[[Any], Any], reason: str
) -> None:
    """FAULTS 26, 27."""
    measure = open_network(folder, "dino")
    expected = measure.measure([make_shot(1), make_shot(3)])
    shot = make_shot(2, id="shot\n2")
    bad = measure.encoder.processor(shot.edited, return_tensors="pt")["pixel_values"]
    hook = measure.encoder.model.register_forward_hook(
        lambda _, __, inputs, outputs: fail(outputs) if torch.equal(inputs["pixel_values"], bad) else outputs,
        with_kwargs=True,
    )
    with caplog.at_level(logging.WARNING, "a2cli"):
        found = measure.measure([make_shot(1), shot, make_shot(3)])
    hook.remove()
    assert [found[0], found[2]] == expected
    assert found[1].keys() == {"dino1_i@crop", "dino1_i@mask", "dino1_i_ref@crop", "dino1_i_ref@mask"}
    (record,) = caplog.records
    assert record.message == f"shot\\n2: {reason}; without dino1_i, dino1_i_ref"


def test_cosines_of_known_vectors() -> None:
    a = np.array([3.0, 4.0], np.float32)
    assert get_cosine(a, a * 7, "") == 1.0
    assert get_cosine(a, -a, "") == -1.0
    assert get_cosine(a, np.array([4.0, -3.0], np.float32), "") == 0.0
    assert get_cosine(a, np.array([1.0, 0.0], np.float32), "") == pytest.approx(0.6, abs=1e-12)


def test_the_implementation_is_the_network_that_ran(folder: Path) -> None:
    measure = open_network(folder, "clip")
    assert "CLIPModel clip, float32, weights sha256:" in measure.implementation
    assert [info.name for info in measure.infos] == list(NAMES["clip"])
