"""MATS: which mask a step shows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from a2cli.errors import ConfigError
from a2cli.masks.augment import box_of, roughen
from a2cli.masks.curriculum import MatsConfig, apply_stage, get_stage, get_stage_starts, sample_stage
from a2cli.masks.morph import require_bounding_box


def test_the_papers_6000_steps() -> None:
    config = MatsConfig()
    stages = [get_stage(step, 6000, config) for step in range(6000)]
    assert Counter(stages) == {"fine": 3000, "rough": 1500, "box": 1500}
    assert stages == sorted(stages, key=["fine", "rough", "box"].index)
    assert get_stage_starts(6000, config) == (0, 3000, 4500)
    assert get_stage(10**6, 6000, config) == "box"


def test_lengths_and_fractions_say_the_same() -> None:
    lengths = MatsConfig(fractions=(3000, 1500, 1500))
    for step in range(0, 1000, 7):
        assert get_stage(step, 1000, lengths) == get_stage(step, 1000, MatsConfig())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (MatsConfig(stages=("fine",), fractions=(1,)), {"fine": 100}),
        (MatsConfig(stages=("fine", "rough"), fractions=(3, 1)), {"fine": 75, "rough": 25}),
        (MatsConfig(fractions=(0, 1, 1)), {"rough": 50, "box": 50}),
        (MatsConfig(fractions=(1, 1, 0)), {"fine": 50, "rough": 50}),
        (MatsConfig(fractions=(1, 0, 1)), {"fine": 50, "box": 50}),
    ],
)
def test_ablations_and_stages_left_out(config: MatsConfig, expected: dict[str, int]) -> None:
    assert Counter(get_stage(step, 100, config) for step in range(100)) == expected


def test_replay_repeats_only_what_came_before() -> None:
    config = MatsConfig(replay=0.3)
    rng = np.random.default_rng(0)
    assert {sample_stage(10, 100, config, rng) for _ in range(200)} == {"fine"}
    rough = Counter(sample_stage(60, 100, config, rng) for _ in range(2000))
    assert set(rough) == {"fine", "rough"} and rough["fine"] == pytest.approx(600, abs=90)
    box = Counter(sample_stage(90, 100, config, rng) for _ in range(2000))
    assert box["box"] == pytest.approx(1400, abs=90) and box["fine"] == pytest.approx(300, abs=75)


def test_without_replay_the_sample_is_the_stage() -> None:
    rng = np.random.default_rng(0)
    for step in range(100):
        assert sample_stage(step, 100, MatsConfig(), rng) == get_stage(step, 100, MatsConfig())


def test_mixed_shows_everything_from_the_start() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(sample_stage(0, 100, MatsConfig(mode="mixed"), rng) for _ in range(2000))
    assert counts["fine"] == pytest.approx(1000, abs=100) and counts["box"] == pytest.approx(500, abs=90)


def test_stages_applied() -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:44, 16:40] = True
    mask[20:30, 16:28] = False
    assert apply_stage(mask, "fine", np.random.default_rng(0)) is mask
    rough = apply_stage(mask, "rough", np.random.default_rng(0))
    assert np.array_equal(rough, roughen(mask, np.random.default_rng(0)))
    box = apply_stage(mask, "box", np.random.default_rng(0))
    assert np.array_equal(box, box_of(rough)) and require_bounding_box(box) == require_bounding_box(rough)
    with pytest.raises(ConfigError, match="coarse"):
        apply_stage(mask, "coarse", np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": ("fine", "crude", "box")},
        {"stages": ()},
        {"fractions": (1.0, 2.0)},
        {"fractions": (0.0, 0.0, 0.0)},
        {"fractions": (-1.0, 1.0, 1.0)},
        {"replay": 1.0},
        {"mode": "shuffle"},
    ],
)
def test_impossible_configs_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="mats"):
        MatsConfig(**wrong)  # type: ignore[arg-type]
