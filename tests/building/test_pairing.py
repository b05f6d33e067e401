"""One subject is told from another, and the two views that differ most become the pair."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rendered import Scene

from a2cli.building.config import PairConfig
from a2cli.building.judge.embedding import EmbeddedEmbedder, get_distances
from a2cli.building.judge.pairing import (
    FULL_LOOK,
    FULL_PLACE,
    FULL_SCALE,
    LOOK,
    PLACE,
    SHAPE,
    Pairer,
    get_cut,
    get_variations,
    list_ends,
    list_typical,
    order_ends,
    view_subject,
)
from a2cli.building.records import Item, Reject, View

EMBED = EmbeddedEmbedder().embed


def shoot(seed: int, *times: float, **scene: object) -> list[View]:
    """Frames of a rendered scene with their true masks."""
    film = Scene(seed, **scene)  # type: ignore[arg-type]
    shots = [film.render(time) for time in times]
    return [View(f"{seed}@{t}", rgb, mask=mask, time=t) for t, (rgb, mask) in zip(times, shots, strict=True)]


def pair(*views: View, **config: object) -> Item | Reject:
    return Pairer(PairConfig(**config))(Item("i", "g", views, dropped={"blurred": 1}))  # type: ignore[arg-type]


def relight(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    lit = (rgb / 255) ** rng.uniform(0.85, 1.18) * rng.uniform(0.8, 1.2) * rng.uniform(0.96, 1.04, 3)
    return np.clip(lit * 255, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("lit", "least"), [(False, 0.999), (True, 0.97)])
def test_one_subject_is_nearer_than_another(lit: bool, least: float) -> None:
    features, owners = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        for view in shoot(seed, 0.2, 1.1, 2.3):
            assert view.mask is not None
            features.append(EMBED(relight(view.rgb, rng) if lit else view.rgb, view.mask))
            owners.append(seed)
    distances = get_distances(np.stack(features), histograms=True)
    upper = np.triu_indices(len(owners), 1)
    same = (np.array(owners)[:, None] == np.array(owners))[upper]
    near, far = distances[upper][same], distances[upper][~same]
    area = (near[:, None] < far[None]).mean()
    print("AUC", area, np.percentile(near, [50, 90, 99]).round(3), np.percentile(far, [1, 10, 50]).round(3))
    assert area > least
    if not lit:
        assert near.max() < PairConfig().identity


def test_features_have_length_one_and_do_not_see_the_ground() -> None:
    (view,) = shoot(4, 0.5)
    assert view.mask is not None
    feature = EMBED(view.rgb, view.mask)
    assert feature.dtype == np.float32 and feature.ndim == 1 and (feature >= 0).all()
    assert np.linalg.norm(feature) == pytest.approx(1, abs=1e-6)
    other = np.where(view.mask[..., None], view.rgb, 255 - view.rgb)
    assert get_distances(np.stack([feature, EMBED(other, view.mask)]), histograms=True)[0, 1] < 0.05
    tiny = np.zeros_like(view.mask)
    tiny[3, 4] = True
    assert np.isfinite(EMBED(view.rgb, tiny)).all()


def test_distances_are_the_stated_ones() -> None:
    a, b, c = np.eye(3)[0], np.array([0.6, 0.8, 0]), np.array([-1.0, 0, 0])
    rows = np.stack([a, b, c]).astype(np.float32)
    cosine = get_distances(rows, histograms=False)
    assert cosine[0, 1] == pytest.approx(0.4, abs=1e-6) and cosine[0, 2] == 1 and (np.diag(cosine) == 0).all()
    assert get_distances(rows, histograms=True)[0, 1] == pytest.approx(np.sqrt(0.4), abs=1e-6)
    assert np.array_equal(cosine, cosine.T)


def test_variation_equals_its_naive_twin() -> None:
    views = shoot(2, 0.1, 0.6, 1.4, 2.2) + shoot(5, 0.7)
    subjects = [view_subject(view) for view in views]
    fast = get_variations(subjects)
    for i, j in itertools.product(range(len(views)), repeat=2):
        a, b = subjects[i], subjects[j]
        both, either = a.mask & b.mask, a.mask | b.mask
        shape = 1 - both.sum() / either.sum()
        look = min(np.abs(a.rgb[both] - b.rgb[both]).mean() / FULL_LOOK, 1)
        way = np.hypot(*(a.centre - b.centre)) / FULL_PLACE
        growth = abs(np.log(a.length / b.length)) / FULL_SCALE
        slow = SHAPE * shape + LOOK * look + PLACE * min(max(way, growth), 1)
        assert fast[i, j] == pytest.approx(slow, abs=1e-5)
    assert fast.min() >= 0 and fast.max() <= 1 and np.allclose(np.diag(fast), 0, atol=1e-6)


def test_each_kind_of_change_counts() -> None:
    rgb = np.full((200, 300, 3), 90, np.uint8)
    mask = np.zeros((200, 300), np.uint8)
    cv2.rectangle(mask, (60, 60), (120, 120), 1, -1)
    wide, moved, grown = (np.zeros_like(mask) for _ in range(3))
    cv2.rectangle(wide, (50, 75), (130, 105), 1, -1)
    cv2.rectangle(moved, (200, 60), (260, 120), 1, -1)
    cv2.rectangle(grown, (30, 30), (150, 150), 1, -1)
    start = view_subject(View("a", rgb, mask=mask > 0))
    for changed, colour in ((wide, 90), (moved, 90), (grown, 90), (mask, 150)):
        other = view_subject(View("b", np.full_like(rgb, colour), mask=changed > 0))
        assert get_variations([start, other])[0, 1] > 0.1


def test_the_largest_variation_wins_and_the_pair_is_scored() -> None:
    views = shoot(9, 0.3, 0.35, 0.4, 1.9)
    assert [v.rgb.shape for v in views] == [views[0].rgb.shape] * 4
    found = pair(*views)
    assert isinstance(found, Item) and len(found.views) == 2
    names = {view.name for view in found.views}
    assert "9@1.9" in names
    variations = get_variations([view_subject(view) for view in views])
    assert found.scores["variation"] == pytest.approx(variations.max())
    assert 0 <= found.scores["identity_distance"] <= 0.35
    for end, view in zip(("ref", "tar"), found.views, strict=True):
        assert view.mask is not None and found.scores[f"subject_{end}"] == pytest.approx(view.mask.mean())
        assert found.scores[f"sharpness_{end}"] > 0.2 and found.scores[f"cut_{end}"] == 0
    assert "histograms" in found.tools["pair"] and found.dropped == {"blurred": 1}
    again = pair(*views)
    assert isinstance(again, Item) and again.scores == found.scores


def test_rejects() -> None:
    (view,) = shoot(1, 0.5)
    alone = pair(view, replace(view, name="empty", mask=np.zeros_like(view.mask)), replace(view, mask=None))
    assert isinstance(alone, Reject) and alone.reason == "one view only" and alone.dropped == {"blurred": 1}
    alike = pair(view, shoot(1, 0.501)[0])
    assert isinstance(alike, Reject) and alike.reason == "views too alike" and "1@0.5" in alike.detail
    other = pair(view, shoot(4, 0.5)[0])
    assert isinstance(other, Reject) and other.reason == "identity changes" and "0.35" in other.detail
    same_end = pair(replace(view, role="target"), replace(shoot(1, 2.0)[0], role="target"))
    assert isinstance(same_end, Reject) and same_end.reason == "one end only"


def test_roles_are_kept_and_skip_the_identity() -> None:
    (item,), (worn,) = shoot(1, 0.5), shoot(4, 0.5)
    found = pair(replace(worn, role="target"), replace(item, role="reference"))
    assert isinstance(found, Item) and [v.role for v in found.views] == ["reference", "target"]
    assert found.scores["identity_distance"] > 0.35
    half = pair(replace(worn, role="target"), item)
    assert isinstance(half, Reject) and half.reason == "identity changes"
    views = shoot(9, 0.3, 1.9)
    for role, place in (("reference", 0), ("target", 1)):
        for number in (0, 1):
            marked = [replace(v, role=role) if n == number else v for n, v in enumerate(views)]
            found = pair(*marked)
            assert isinstance(found, Item) and found.views[place].name == views[number].name


def test_the_larger_sharper_whole_subject_is_the_reference() -> None:
    (view,) = shoot(0, 0.5)
    assert view.mask is not None
    soft = replace(view, name="soft", rgb=cv2.GaussianBlur(view.rgb, (0, 0), 3))
    assert [v.name for v in order_ends(soft, view)] == [view.name, "soft"]
    half = [
        cv2.resize(a, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for a in (view.rgb, view.mask * 1.0)
    ]
    small = replace(view, name="small", rgb=half[0], mask=half[1] > 0.5, scores={"sharpness": 0.4})
    assert [v.name for v in order_ends(small, replace(view, scores={"sharpness": 0.4}))] == [
        view.name,
        "small",
    ]
    columns = np.flatnonzero(view.mask.any(axis=0))
    middle = int(columns.mean())
    cut = replace(view, name="cut", rgb=view.rgb[:, :middle], mask=view.mask[:, :middle])
    assert get_cut(cut.mask) > 0.15 and get_cut(view.mask) == 0  # type: ignore[arg-type]
    assert order_ends(cut, view)[1].name == "cut"
    assert order_ends(view, replace(view, name="twin"))[0].name == view.name


def test_a_view_unlike_the_rest_is_left_out() -> None:
    distances = np.full((5, 5), 0.05)
    distances[3] = distances[:, 3] = 0.2
    np.fill_diagonal(distances, 0)
    assert list_typical(distances).tolist() == [True, True, True, False, True]
    assert list_typical(distances[:3, :3]).all() and list_typical(np.zeros((6, 6))).all()
    views = shoot(3, 0.2, 0.6, 1.0, 1.4, 1.8)
    assert views[2].mask is not None
    wrong = np.roll(views[2].mask, 70, axis=1)
    found = pair(*views[:2], replace(views[2], mask=wrong), *views[3:], identity=1.0)
    assert isinstance(found, Item) and views[2].name not in {view.name for view in found.views}


def test_ends() -> None:
    (view,) = shoot(1, 0.5)
    roles = [replace(view, role=role) for role in ("reference", "target", "", "target")]  # type: ignore[arg-type]
    assert list_ends(roles) == [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)]


def test_a_pair_carries_no_neighbours() -> None:
    views = [replace(v, neighbours=(v.rgb,), motion=np.zeros((4, 4), np.float32)) for v in shoot(9, 0.3, 1.9)]
    found = pair(*views)
    assert isinstance(found, Item) and all(not v.neighbours and v.motion is None for v in found.views)


def test_a_vision_model_judges_the_identity(tmp_path: Path) -> None:
    from tiny_models import build_dinov2

    from a2cli.building.judge.vision_embedding import build_embedder

    folder = build_dinov2(tmp_path / "dino")
    views = shoot(9, 0.3, 1.9)
    found = pair(*views, embedding=folder, identity=1.0, device="cpu")
    assert isinstance(found, Item) and "Dinov2" in found.tools["pair"]
    embedder = build_embedder(folder, "cpu")
    a, b = (embedder.embed(view.rgb, view.mask) for view in views)
    assert found.scores["identity_distance"] == pytest.approx(np.clip(1 - float(a @ b), 0, 1), abs=1e-6)
    assert Pairer(PairConfig(embedding=folder)).gpu and not Pairer(PairConfig()).gpu
