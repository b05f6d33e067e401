"""Sharp, well lit and large enough subjects pass; their spoiled twins do not, and it is said why."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from rendered import load_views, make_still, render_video
from skimage import data

from a2cli.building.config import QualityConfig
from a2cli.building.judge.quality import QualityJudge, get_exposure, get_sharpness, measure_view
from a2cli.building.records import Item, Reject, View
from a2cli.errors import ConfigError, DataError

JUDGE = QualityJudge(QualityConfig())
NATURAL = ("astronaut", "chelsea", "coffee", "rocket")


def load_photo(name: str, side: int = 512) -> np.ndarray:
    photo = np.ascontiguousarray(getattr(data, name)()[..., :3])
    scale = side / min(photo.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return photo if scale == 1 else cv2.resize(photo, None, fx=scale, fy=scale, interpolation=method)


def blur(rgb: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(rgb, (0, 0), sigma)


def judge(*views: View) -> Item | Reject:
    return JUDGE(Item("i", "g", views))


@pytest.mark.parametrize("name", NATURAL)
def test_photos_pass_and_their_blurred_twins_fail(name: str) -> None:
    photo = np.ascontiguousarray(getattr(data, name)()[..., :3])
    assert isinstance(judge(View("v", photo)), Item)
    spoiled = judge(View("v.png", blur(load_photo(name), 3)))
    assert isinstance(spoiled, Reject) and spoiled.reason == "blurred"
    assert spoiled.detail.startswith("v.png: sharpness 0.") and spoiled.dropped == {"blurred": 1}


@pytest.mark.parametrize("name", [*NATURAL, "brick", "grass", "gravel"])
def test_sharpness_falls_with_blur_and_ignores_light_and_noise(name: str) -> None:
    photo = getattr(data, name)()
    photo = np.dstack([photo] * 3) if photo.ndim == 2 else load_photo(name, 384)
    values = [get_sharpness(photo)] + [get_sharpness(blur(photo, sigma)) for sigma in (1, 2, 3)]
    assert all(a > b for a, b in pairwise(values)) and 0 <= values[-1] < 0.2
    dimmed = (photo * 0.5).astype(np.uint8)
    assert get_sharpness(dimmed) == pytest.approx(values[0], abs=0.04)
    noise = np.random.default_rng(0).normal(0, 4, photo.shape)
    noisy = np.clip(blur(photo, 3) + noise, 0, 255).astype(np.uint8)
    assert get_sharpness(noisy) < 0.22


def test_the_subject_counts_not_its_surroundings() -> None:
    rgb, mask = make_still(0, ground="grass")
    share = blur(cv2.dilate(mask.astype(np.float32), np.ones((15, 15))), 3)[..., None]
    soft = (share * blur(rgb, 3) + (1 - share) * rgb).astype(np.uint8)
    assert get_sharpness(soft) > 0.3 > 0.22 > get_sharpness(soft, mask)
    spoiled = judge(View("v", soft, mask=mask))
    assert isinstance(spoiled, Reject) and spoiled.reason == "blurred"
    sharp = np.where(mask[..., None], rgb, blur(rgb, 6))
    assert isinstance(judge(View("v", sharp, mask=mask)), Item)


def test_flat_and_tiny_pictures_have_a_sharpness() -> None:
    assert get_sharpness(np.full((20, 30, 3), 90, np.uint8)) == 0
    assert 0 <= get_sharpness(np.full((1, 1, 3), 90, np.uint8), np.ones((1, 1), bool)) <= 1


def test_size_does_not_decide() -> None:
    photo = load_photo("astronaut")
    large = cv2.resize(photo, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert get_sharpness(large) == pytest.approx(get_sharpness(photo), abs=0.05)


def test_blurred_frames_of_a_video_go(tmp_path: Path) -> None:
    truth = render_video(tmp_path / "v.mp4", 1, blurred=((0.5, 0.9),), seconds=1.5)
    views = [replace(v, mask=truth.get_mask(v.time or 0.0)) for v in load_views(tmp_path / "v.mp4", frames=8)]
    hit = {v.name for v in views if v.time is not None and 0.5 <= v.time <= 0.9}
    found = judge(*views)
    assert isinstance(found, Item) and len(hit) == found.dropped["blurred"] == 2
    assert not hit & {view.name for view in found.views}


def test_a_frame_is_measured_against_the_best_frame_and_a_photo_is_not() -> None:
    photo = load_photo("coffee")
    softer = blur(photo, 1.0)
    ratio = get_sharpness(softer) / get_sharpness(photo)
    config = QualityConfig(sharpness=0.05, relative_sharpness=min(ratio + 0.1, 1.0))
    frames = (View("a", photo, time=0.0), View("b", photo, time=0.5), View("c", softer, time=1.0))
    found = QualityJudge(config)(Item("i", "g", frames))
    assert isinstance(found, Item) and [v.name for v in found.views] == ["a", "b"]
    photos = tuple(replace(view, time=None) for view in frames)
    found = QualityJudge(config)(Item("i", "g", photos))
    assert isinstance(found, Item) and len(found.views) == 3


def test_exposure_of_the_subject_alone() -> None:
    rgb, mask = make_still(2, ground="brick")
    on_white = np.where(mask[..., None], rgb, 255).astype(np.uint8)
    assert isinstance(judge(View("v", on_white, mask=mask)), Item)
    bright = np.where(mask[..., None], np.clip(rgb.astype(int) + 190, 0, 255), rgb).astype(np.uint8)
    dark = np.where(mask[..., None], rgb // 40, rgb).astype(np.uint8)
    for spoiled in (bright, dark):
        found = judge(View("v", spoiled, mask=mask))
        assert isinstance(found, Reject) and found.reason == "over- or underexposed"
    half = np.zeros((4, 4, 3), np.uint8)
    half[:2] = 120
    assert get_exposure(half, np.ones((4, 4), bool)) == (0.5, pytest.approx(60))
    assert get_exposure(half, np.zeros((4, 4), bool)) == (0.0, 0.0)


def test_sizes() -> None:
    photo = load_photo("chelsea")
    small = judge(View("s", cv2.resize(photo, (200, 120))))
    assert isinstance(small, Reject) and small.reason == "too small" and "200 x 120" in small.detail
    mask = np.zeros(photo.shape[:2], bool)
    mask[100:120, 100:120] = True
    found = judge(View("v", photo, mask=mask))
    assert isinstance(found, Reject) and found.reason == "subject too small"
    found = judge(View("v", photo, mask=np.ones_like(mask)))
    assert isinstance(found, Reject) and found.reason == "subject too large"


def test_the_most_frequent_reason_rejects_and_two_views_are_needed_of_several() -> None:
    photo = load_photo("rocket")
    soft, small = blur(photo, 4), photo[:100]
    found = judge(View("good", photo), View("a", soft), View("b\n", small), View("c", small))
    assert isinstance(found, Reject) and found.reason == "too small" and found.detail.startswith("b\\n: ")
    assert found.dropped == {"blurred": 1, "too small": 2}
    found = judge(View("good", photo), View("a", soft), View("better", photo))
    assert isinstance(found, Item) and found.dropped == {"blurred": 1} and len(found.views) == 2
    assert set(found.views[0].scores) == {"sharpness", "clipped", "level", "subject"}
    assert "OpenCV" in found.tools["quality"]


def test_measuring_keeps_what_was_measured() -> None:
    view = measure_view(View("v", load_photo("coffee"), scores={"mask": 0.9}))
    assert view.scores["mask"] == 0.9 and view.scores["subject"] == 1


@pytest.mark.parametrize(
    "settings",
    [{"sharpness": 1.2}, {"clipped": -0.1}, {"subject": (0.5, 0.1)}, {"subject": (0.0, 1.5)}, {"side": 0}],
)
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        QualityConfig(**settings)  # type: ignore[arg-type]


def test_a_learnt_metric_judges_beside_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyiqa itself needs torchvision: a module with its door stands in."""
    (tmp_path / "pyiqa.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pyiqa", raising=False)
    photo = load_photo("coffee")
    judge = QualityJudge(QualityConfig(metric="bright", metric_least=0.3, device="cpu"))
    found = judge(
        Item("i", "g", (View("a", photo), View("b", photo), View("dim", (photo * 0.4).astype(np.uint8))))
    )
    assert isinstance(found, Item) and found.dropped == {"poor quality": 1} and judge.gpu
    assert found.views[0].scores["bright"] == pytest.approx(photo.mean() / 255, abs=1e-3)
    assert "bright (pyiqa" in found.tools["quality"]
    lost = judge(Item("i", "g", (View("dim", (photo * 0.4).astype(np.uint8)),)))
    assert isinstance(lost, Reject) and lost.reason == "poor quality" and "bright 0." in lost.detail
    with pytest.raises(DataError, match=r"black: .*nan"):  # of this picture alone: it ends no build
        QualityJudge(replace(judge.config, metric="blank"))(Item("i", "g", (View("black", photo),)))


STAND_IN = """
import torch

__version__ = "0"


class Bright(torch.nn.Module):
    lower_better = False

    def forward(self, pixels):
        return pixels.mean() * self.scale


def list_models(mode=None):
    return ["blank", "bright"]


def create_metric(name, device=None):
    metric = Bright()
    metric.scale = float("nan") if name == "blank" else 1.0
    return metric
"""
