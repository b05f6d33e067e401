"""The held-out evaluation end to end on a few synthesised pairs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from a2cli.data.records import Pair
from a2cli.engine.heldout import (
    BASELINES,
    HOLE,
    EditedPair,
    HeldoutConfig,
    build_mask,
    evaluate_pairs,
    get_item_seed,
)
from a2cli.errors import ConfigError, DataError
from a2cli.masks.morph import get_iou, require_bounding_box
from a2cli.metrics.pixel import masked_mae


def make_pair(index: int, size: int = 64) -> Pair:
    """A textured disc on a slope, seen in two sizes: no font and no photograph needed."""
    rng = np.random.default_rng(index)
    ys, xs = np.mgrid[:size, :size]
    ground = np.stack([xs * 2.0, ys * 2.0, 60 + xs], axis=2)
    subject = np.clip(rng.uniform(40, 210, 3) + 40 * np.sin((xs + index) / 3.0)[..., None], 0, 255)

    def draw(ground: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
        mask = (xs - size / 2) ** 2 + (ys - size / 2) ** 2 <= radius**2
        return np.where(mask[..., None], subject, ground).astype(np.uint8), mask

    ref_rgb, ref_mask = draw(np.full_like(ground, 255), size * 0.4)
    tar_rgb, tar_mask = draw(ground, size * 0.25)
    category = ("animals", "vehicles")[index % 2]
    return Pair(f"pair-{index}", category, "disc", "a disc", ref_rgb, ref_mask, tar_rgb, tar_mask)


PAIRS = [make_pair(i) for i in range(4)]


def copy_reference(
    source: np.ndarray, mask: np.ndarray, ref_rgb: np.ndarray, ref_mask: np.ndarray, category: str, seed: int
) -> np.ndarray:
    edited = source.copy()
    edited[mask] = np.random.default_rng(seed).permutation(ref_rgb[ref_mask])[:1]
    return edited


def test_masks_depend_on_the_pair_and_the_config_alone() -> None:
    config = HeldoutConfig()
    for pair in PAIRS:
        fine, rough, box = (build_mask(pair, protocol, config) for protocol in ("fine", "rough", "box"))
        assert np.array_equal(fine, pair.tar_mask)
        assert np.array_equal(rough, build_mask(replace(pair, prompt="other"), "rough", config))
        assert 0.5 < get_iou(fine, rough) < 1 and require_bounding_box(box) == require_bounding_box(rough)
        assert box.sum() == np.prod(np.subtract(require_bounding_box(box)[2:], require_bounding_box(box)[:2]))
    rough = build_mask(PAIRS[0], "rough", config)
    assert not np.array_equal(rough, build_mask(replace(PAIRS[0], id="other"), "rough", config))
    assert not np.array_equal(rough, build_mask(PAIRS[0], "rough", HeldoutConfig(seed=1)))


def test_no_method_sees_the_truth() -> None:
    seen: list[np.ndarray] = []

    def spy(source: np.ndarray, mask: np.ndarray, *_: object) -> np.ndarray:
        seen.append(source[mask].copy())
        source[:] = 0  # what an editor does to its input must not reach anybody else
        mask[:] = False
        return np.zeros_like(source)

    pictures = {pair.id: pair.tar_rgb.copy() for pair in PAIRS}
    first = evaluate_pairs(PAIRS, {"spy": spy})
    assert len(seen) == 12 and all((values == HOLE).all() for values in seen)
    assert all(np.array_equal(pair.tar_rgb, pictures[pair.id]) for pair in PAIRS)
    plain = evaluate_pairs(PAIRS, {})
    for protocol in ("fine", "rough", "box"):
        for method in (*BASELINES, "truth"):
            ours, theirs = (r["protocols"][protocol]["methods"][method] for r in (first, plain))
            assert ours == theirs
    assert first["protocols"]["fine"]["methods"]["spy"]["changed_outside"] > 0.9
    changed = [r["changed_outside"] for r in first["samples"] if r["method"] != "spy"]
    assert set(changed) == {0.0}


def test_report_holds_what_it_says() -> None:
    shown: list[EditedPair] = []
    report = evaluate_pairs(PAIRS, {"copy": copy_reference}, on_edit=shown.append)
    assert report == json.loads(json.dumps(report, allow_nan=False))
    assert report["config"]["rough"]["dilate"] == [0.06, 0.06]
    assert len(shown) == 12 and len(report["samples"]) == 12 * 6
    for protocol, table in report["protocols"].items():
        assert list(table["methods"]) == [*BASELINES, "copy", "truth"] and table["n"] == 4
        for method, row in table["methods"].items():
            values = [
                masked_mae(e.results[method], e.pair.tar_rgb, e.mask) for e in shown if e.protocol == protocol
            ]
            assert row["mae"] == pytest.approx(np.mean(values))
            assert row["mae_se"] == pytest.approx(np.std(values, ddof=1) / 2)
            assert row["ratio_to_paste"] == pytest.approx(row["mae"] / table["methods"]["paste"]["mae"])
            assert set(row["per_category"]) == {"animals", "vehicles"}
            assert sum(part["mae"] * part["n"] for part in row["per_category"].values()) / 4 == pytest.approx(
                row["mae"]
            )
            assert ("seam" in row) == ("histogram" in row) == ("patches" in row) == (protocol == "box")
        assert table["methods"]["truth"]["mae"] == 0.0
    fine, box = report["protocols"]["fine"], report["protocols"]["box"]
    assert fine["mask_iou_with_fine"] == 1.0 and box["mask_iou_with_fine"] < 0.8
    assert box["methods"]["truth"]["seam"] < box["methods"]["mean"]["seam"]
    assert box["methods"]["paste"]["histogram"] > box["methods"]["telea"]["histogram"]
    assert box["methods"]["paste"]["patches"] < box["methods"]["mean"]["patches"]


def test_same_input_same_report_and_a_pair_alone_equals_itself_among_others() -> None:
    config = HeldoutConfig(protocols=("rough",))
    report = evaluate_pairs(PAIRS, {"copy": copy_reference}, config)
    assert report == evaluate_pairs(PAIRS, {"copy": copy_reference}, config)
    alone = evaluate_pairs(PAIRS[2:3], {"copy": copy_reference}, config)
    assert alone["samples"] == [row for row in report["samples"] if row["id"] == "pair-2"]


def test_item_seeds() -> None:
    seeds = [get_item_seed(s, i) for s in (0, 1) for i in ("a", "b")]
    assert len(set(seeds)) == 4 and all(0 <= seed < 2**63 for seed in seeds)
    assert get_item_seed(0, "a") == get_item_seed(0, "a")


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ConfigError, match="paste"):
        evaluate_pairs(PAIRS, {"paste": copy_reference})
    with pytest.raises(ConfigError, match=r"heldout\.protocols"):
        HeldoutConfig(protocols=("fine", "crude"))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no pairs"):
        evaluate_pairs([], {})
    with pytest.raises(DataError, match="small returned"):
        evaluate_pairs(PAIRS, {"small": lambda source, *_: source[:-1]})
