"""What all families that look at one edit at a time have in common."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from a2cli.metrics.measure import Measure, ShotMeasure, Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import choose_metrics

INFOS = choose_metrics(["default", "patches"])
FAMILIES = list(dict.fromkeys(info.family for info in INFOS))
KEYS = {key for info in INFOS for key in info.keys}
RNG = np.random.default_rng(0)


def draw_shot(seed: int, **rest: object) -> Shot:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(20, 50, 2)
    photo, target, edited = rng.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    mask = rng.random((height, width)) < 0.3
    return Shot(
        **({"id": str(seed), "edited": edited, "mask": mask, "source": photo, "target": target} | rest)
    )


REFERENCE = {
    "ref_rgb": RNG.integers(0, 256, (30, 20, 3), dtype=np.uint8),
    "ref_mask": np.ones((30, 20), bool),
}
SHOTS = [
    draw_shot(0, **REFERENCE),
    draw_shot(1, **REFERENCE, hole=True),
    draw_shot(2, source=None),
    draw_shot(3, target=None, **REFERENCE),
    draw_shot(4),
]


def open_family(family: str) -> Measure:
    chosen = [info for info in INFOS if info.family == family]
    return importlib.import_module(f"a2cli.metrics.{family}").build_measure(chosen, Weights(), "cpu")


@pytest.mark.parametrize("family", FAMILIES)
def test_values_depend_neither_on_order_nor_on_company(family: str) -> None:
    measure = open_family(family)
    together = measure.measure(SHOTS)
    assert together == [measure.measure([shot])[0] for shot in SHOTS]
    assert together == measure.measure(SHOTS[::-1])[::-1]
    assert measure.measure([]) == []
    assert pickle.loads(pickle.dumps(measure)).measure(SHOTS[:2]) == together[:2]


def test_a_shot_has_every_value_of_which_it_has_the_makings() -> None:
    values = [
        {k: v for family in FAMILIES for k, v in open_family(family).measure([shot])[0].items()}
        for shot in SHOTS
    ]
    assert values[0].keys() == values[1].keys() == KEYS
    of = {
        need: {k for i in INFOS for k in i.keys if need in i.needs}
        for need in ("target", "source", "reference")
    }
    assert values[2].keys() == KEYS - of["source"] - of["reference"]
    assert values[3].keys() == KEYS - of["target"]
    assert values[4].keys() == KEYS - of["reference"]


def test_only_what_was_chosen_is_given() -> None:
    module = importlib.import_module("a2cli.metrics.pixel")
    measure = module.build_measure(choose_metrics(["l2"]), Weights(), "cpu")
    assert measure.measure(SHOTS[:1])[0].keys() == {"l2", "l2@crop", "l2@mask"}


def give_no_numbers(shot: Shot) -> dict[str, float]:
    return {"l1": float("nan"), "l1@crop": float("inf"), "l1@mask": 0.5}


def test_what_is_not_finite_is_left_out() -> None:
    measure = ShotMeasure(choose_metrics(["l1"]), "none", give_no_numbers)
    assert measure.measure(SHOTS[:1]) == [{"l1@mask": 0.5}]


def test_a_reference_without_a_mask_has_no_known_subject() -> None:
    shot = draw_shot(0, ref_rgb=REFERENCE["ref_rgb"])
    assert open_family("color").measure([shot]) == open_family("patches").measure([shot]) == [{}]


def test_a_mask_of_everything_has_no_outside_and_no_border() -> None:
    shot = draw_shot(0)
    full = Shot("full", shot.edited, np.ones_like(shot.mask), source=shot.source, target=shot.target)
    assert open_family("preservation").measure([full]) == open_family("seam").measure([full]) == [{}]
    for family in ("pixel", "ssim"):
        values = open_family(family).measure([full])[0]
        names = {key.partition("@")[0] for key in values}
        assert all(values[n] == pytest.approx(values[f"{n}@{r}"]) for n in names for r in ("crop", "mask"))


def test_neither_a_family_nor_the_table_loads_a_framework() -> None:
    modules = ", ".join(f"a2cli.metrics.{family}" for family in FAMILIES)
    heavy = "{'torch', 'skimage', 'scipy', 'transformers', 'diffusers'} & set(sys.modules)"
    table = "from a2cli.metrics.opening import describe_metrics; assert describe_metrics()"
    subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; {table}; assert not {heavy}, {heavy}"], check=True
    )
