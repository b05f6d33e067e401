"""The batch behind `a2 augment-mask`: what is written, drawn, told and survived."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from a2cli.config.augment import AugmentConfig, Span, parse_changes
from a2cli.engine.augment import AugmentFailure, AugmentResult, draw_rng, run_augment
from a2cli.errors import DataError
from a2cli.masks.augment import RoughConfig
from a2cli.masks.curriculum import STAGES, apply_stage
from a2cli.masks.morph import dilate_disc, get_iou, require_bounding_box

EXAMPLES = Path(__file__).parents[2] / "examples" / "masks"


def draw_glyph(path: Path, text: str, scale: float = 6.0) -> np.ndarray:
    canvas = np.zeros((220, 260), np.uint8)
    cv2.putText(canvas, text, (30, 180), cv2.FONT_HERSHEY_DUPLEX, scale, 255, 24)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas).save(path)
    return canvas > 127


def read(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L")) > 127


def run(*masks: str | Path, **settings: Any) -> list[AugmentResult | AugmentFailure]:
    return list(run_augment(AugmentConfig(tuple(map(str, masks)), **settings)))


def run_well(*masks: str | Path, **settings: Any) -> list[AugmentResult]:
    outcomes = run(*masks, **settings)
    assert all(isinstance(outcome, AugmentResult) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, AugmentResult)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of glyphs: a hole, islands, a thin stroke, one that the frame cuts off."""
    masks = tmp_path / "masks"
    for name, text in (("eight", "8"), ("islands", "i:"), ("sub/slash", "/"), ("sub/cut", "W")):
        draw_glyph(masks / f"{name}.png", text, 9.0 if text == "W" else 6.0)
    return masks


def test_overlap_of_real_masks_stays_in_the_configured_range(tmp_path: Path, folder: Path) -> None:
    results = run_well(folder, EXAMPLES, stage="rough", variants=4, out=str(tmp_path / "out"))
    assert len(results) == 4 * (4 + len(list(EXAMPLES.glob("*.png"))))
    low, high = RoughConfig().iou
    for result in results:
        fine, rough = np.asarray(Image.open(result.input)), read(result.output)
        fine = (fine[..., -1] if fine.ndim == 3 else fine) > 127
        assert low <= result.iou <= high
        assert result.iou == pytest.approx(get_iou(fine, rough), abs=1e-6)
        assert (result.area_in, result.area_out) == (fine.sum(), rough.sum())
        assert result.box == require_bounding_box(rough)


def test_every_stage_is_the_one_of_training(tmp_path: Path, folder: Path) -> None:
    for stage in STAGES:
        for result in run_well(folder, stage=stage, seed=5, out=str(tmp_path / "out")):
            inside = os.path.relpath(result.input, folder)
            expected = apply_stage(read(result.input), stage, draw_rng(5, inside, 0))
            assert np.array_equal(read(result.output), expected)


def test_box_is_the_box_of_the_rough_mask(tmp_path: Path, folder: Path) -> None:
    rough = run_well(folder, stage="rough", variants=2, out=str(tmp_path / "out"))
    boxes = run_well(folder, stage="box", variants=2, out=str(tmp_path / "out"))
    for one, other in zip(rough, boxes, strict=True):
        x0, y0, x1, y1 = require_bounding_box(read(one.output))
        filled = np.zeros_like(read(other.output))
        filled[y0:y1, x0:x1] = True
        assert np.array_equal(read(other.output), filled)
        assert other.box == one.box and other.strengths == one.strengths


def test_a_mask_alone_equals_the_mask_in_a_batch(tmp_path: Path, folder: Path) -> None:
    batch = {
        Path(r.output).name: r for r in run_well(folder, stage="rough", variants=2, out=str(tmp_path / "a"))
    }
    alone = run_well(folder / "eight.png", stage="rough", variants=2, out=f"{tmp_path}/b/")
    moved = tmp_path / "elsewhere" / "eight.png"
    moved.parent.mkdir()
    moved.write_bytes((folder / "eight.png").read_bytes())
    elsewhere = run_well(moved, folder / "islands.png", stage="rough", variants=2, out=str(tmp_path / "c"))
    nested = run_well(str(folder / "su*" / "cut.png"), stage="rough", out=str(tmp_path / "d"))
    for result in (*alone, *elsewhere, *nested):
        twin = batch[Path(result.output).name]
        assert Path(result.output).read_bytes() == Path(twin.output).read_bytes()
        assert result.strengths == twin.strengths
    assert len({str(r.strengths) for r in batch.values()}) == len(batch)


def test_the_seed_decides(tmp_path: Path, folder: Path) -> None:
    runs = [
        run_well(folder / "eight.png", stage="rough", seed=seed, out=str(tmp_path / f"{i}.png"))[0]
        for i, seed in enumerate((1, 1, 2))
    ]
    data = [Path(result.output).read_bytes() for result in runs]
    assert data[0] == data[1] != data[2]


def test_variants_are_numbered_after_the_first(tmp_path: Path, folder: Path) -> None:
    results = run_well(folder / "eight.png", stage="rough", variants=3)
    assert [Path(r.output).name for r in results] == [
        "eight.rough.png",
        "eight.rough.1.png",
        "eight.rough.2.png",
    ]
    assert [r.variant for r in results] == [0, 1, 2] and len({r.iou for r in results}) == 3
    (first,) = run_well(folder / "eight.png", stage="rough", out=str(tmp_path / "one.png"))
    assert Path(first.output).read_bytes() == Path(results[0].output).read_bytes()
    named = run_well(folder / "eight.png", stage="rough", variants=2, out=str(tmp_path / "x.png"))
    assert [Path(r.output).name for r in named] == ["x.png", "x.1.png"]


def test_stated_strengths_are_used_as_they_are(tmp_path: Path, folder: Path) -> None:
    settings: dict[str, Any] = {"stage": "rough", "out": str(tmp_path / "out")}
    grown = run_well(folder, radius=Span(11, 11, False), alpha=Span(0, 0, False), **settings)
    for result in grown:
        assert np.array_equal(read(result.output), dilate_disc(read(result.input), 11))
        assert result.strengths["radius"] == 11 and result.strengths["alpha"] == 0
    (far,) = run_well(folder / "sub/slash.png", radius=Span(60, 60, False), **settings)
    assert far.strengths["radius"] == 60 and far.iou < RoughConfig().iou[0]


def test_ranges_are_drawn_from_in_both_units(tmp_path: Path, folder: Path) -> None:
    spans = {
        "radius": Span(5, 9, False),
        "alpha": Span(0.05, 0.08, True),
        "scale": Span(0.01, 0.02, False),
        "delta": Span(3, 4, True),
    }
    results = run_well(folder, stage="rough", variants=5, out=str(tmp_path / "out"), **spans)
    for result in results:
        x0, y0, x1, y1 = require_bounding_box(read(result.input))
        size = np.sqrt((x1 - x0) * (y1 - y0))
        assert 5 <= result.strengths["radius"] <= 9 and 0.01 <= result.strengths["scale"] <= 0.02
        assert 0.05 * size - 1e-4 <= result.strengths["alpha"] <= 0.08 * size + 1e-4
        assert 3 * size - 1e-3 <= result.strengths["delta"] <= 4 * size + 1e-3
    assert len({result.strengths["radius"] for result in results}) == len(results)


def test_the_frequency_alone_leaves_the_overlap_in_its_range(tmp_path: Path, folder: Path) -> None:
    low, high = RoughConfig().iou
    for result in run_well(
        folder, stage="rough", scale=Span(2, 2, True), variants=3, out=str(tmp_path / "o")
    ):
        assert low <= result.iou <= high


def test_the_evaluation_protocol(tmp_path: Path, folder: Path) -> None:
    changes = parse_changes("16", ["erode:2", "shift:9", "shift:4,-3"])
    results = run_well(folder / "eight.png", changes=changes, variants=2, out=str(tmp_path / "out"))
    names = ["dilate-16", "erode-2", "shift-9", "shift-9", "shift-4_-3"]
    assert [result.stage for result in results] == names
    assert [Path(r.output).name for r in results[:4]] == [
        "eight.dilate-16.png",
        "eight.erode-2.png",
        "eight.shift-9.png",
        "eight.shift-9.1.png",
    ]
    fine = read(folder / "eight.png")
    assert np.array_equal(read(results[0].output), dilate_disc(fine, 16))
    assert results[0].strengths == {"radius": 16} and results[4].strengths == {"dx": 4, "dy": -3}
    assert results[2].strengths != results[3].strengths


def test_a_failure_is_listed_and_the_rest_goes_on(tmp_path: Path, folder: Path) -> None:
    (folder / "bad.png").write_text("no picture")
    Image.new("L", (20, 20)).save(folder / "sub" / "empty.png")
    out = tmp_path / "out"
    outcomes = run(folder, stage="box", variants=2, out=str(out), report=str(tmp_path / "r.json"))
    failures = [outcome for outcome in outcomes if isinstance(outcome, AugmentFailure)]
    assert len(outcomes) == 10 and [Path(f.input).name for f in failures] == ["bad.png", "empty.png"]
    listed = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert listed == [failure.to_dict() for failure in failures]
    assert "not a picture" in listed[0]["error"] and "the mask is empty" in listed[1]["error"]
    assert json.loads((tmp_path / "r.json").read_text())["failures"] == listed
    for name in ("bad.png", "sub/empty.png"):
        (folder / name).unlink()
    assert len(run_well(folder, stage="box", variants=2, out=str(out))) == 8
    assert not (out / "failures.jsonl").exists()


def test_one_bad_file_alone_is_an_error(tmp_path: Path, folder: Path) -> None:
    (folder / "bad.png").write_text("no picture")
    with pytest.raises(DataError, match=r"bad\.png"):
        run(folder / "bad.png", stage="rough", variants=3)
    with pytest.raises(DataError, match=r"eight\.png: nothing is left of the mask after erode-90"):
        run(folder / "eight.png", changes=parse_changes(None, ["erode:90"]), out=str(tmp_path / "x.png"))
    outcomes = run(folder / "eight.png", changes=parse_changes("3", ["erode:90"]), out=str(tmp_path / "out"))
    assert isinstance(outcomes[0], AugmentResult) and isinstance(outcomes[1], AugmentFailure)
    assert json.loads((tmp_path / "out" / "failures.jsonl").read_text())["stage"] == "erode-90"
    changes = parse_changes(None, ["erode:90", "erode:80", "dilate:3"])
    outcomes = run(folder / "eight.png", changes=changes, out=str(tmp_path / "out"))
    assert [outcome.stage for outcome in outcomes] == ["erode-90", "erode-80", "dilate-3"]


def test_the_report_sums_up(tmp_path: Path, folder: Path) -> None:
    report = tmp_path / "new" / "report.json"
    results = run_well(folder, stage="rough", seed=7, out=str(tmp_path / "out"), report=str(report))
    told = json.loads(report.read_text())
    overlaps = [result.iou for result in results]
    assert told["rows"] == json.loads(json.dumps([result.to_dict() for result in results]))
    assert told["n"] == 4 and told["seed"] == 7 and told["failures"] == []
    assert told["iou"] == {
        "mean": pytest.approx(np.mean(overlaps), abs=1e-6),
        "min": min(overlaps),
        "max": max(overlaps),
    }


def test_an_interrupt_leaves_no_part(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("a2cli.files.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(folder, stage="rough", out=str(tmp_path / "out"))
    assert (tmp_path / "out").is_dir()
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


def test_a_run_that_is_left_tells_what_failed_until_then(tmp_path: Path, folder: Path) -> None:
    (folder / "bad.png").write_text("no picture")
    outcomes = run_augment(AugmentConfig((str(folder),), stage="box", out=str(tmp_path / "out")))
    assert isinstance(next(outcomes), AugmentFailure) and isinstance(next(outcomes), AugmentResult)
    outcomes.close()
    assert "bad.png" in (tmp_path / "out" / "failures.jsonl").read_text()


def test_a_file_called_like_a_box_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("box:1,2,3,4").write_bytes((EXAMPLES / "coffee_cup.png").read_bytes())
    (result,) = run_well("box:1,2,3,4", stage="fine", out="out.png")
    assert np.array_equal(read("out.png"), read(EXAMPLES / "coffee_cup.png")) and result.iou == 1
