"""Every file of configs/dataset is run; the one with models on tiny ones, saved and loaded as the real ones are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rendered import render_video
from test_build import write_object
from tiny_models import build_dinov2, build_grounding_dino, build_sam, build_sam2

from a2cli.building.chain import list_stages
from a2cli.building.cluster import group_stages
from a2cli.building.config import load_build_config
from a2cli.building.run import run_build
from a2cli.data.browse import browse
from a2cli.data.provenance import parse_provenance

PRESETS = Path(__file__).parents[2] / "configs" / "dataset"
# Random weights find, cut out and tell apart at random: no result of theirs may be refused here.
LENIENT = (
    "detect.box_threshold=0",
    "detect.text_threshold=0",
    "quality.sharpness=0",
    "quality.relative_sharpness=0",
    "quality.subject=[0, 1]",
    "quality.clipped=1",
    "pair.identity=1",
    "pair.variation=0",
)


def test_every_preset_is_run_here() -> None:
    assert {file.name for file in PRESETS.iterdir()} == {"embedded.yaml", "uniedit.yaml"}


def test_the_embedded_preset(tmp_path: Path) -> None:
    (tmp_path / "raw" / "birds").mkdir(parents=True)
    render_video(tmp_path / "raw" / "birds" / "one.mp4", 1, seconds=1.6)
    config = load_build_config(str(PRESETS / "embedded.yaml"), [str(tmp_path / "raw")], ("workers=1",), {})
    report = run_build(config, tmp_path / "pairs")
    assert report.subcategories == {"animals/bird": 1}


@pytest.mark.parametrize("method", ["sam", "sam2"])
def test_the_preset_of_the_paper_on_tiny_models(method: str, tmp_path: Path) -> None:
    """The same code path as hub ids: AutoModel and processors from a folder, boxes to masks, embeddings to pairs."""
    raw = tmp_path / "raw"
    for number, name in enumerate(("cat", "dog")):
        write_object(raw / name, number, licence="CC-BY-4.0")
        for mask in (raw / name / "masks").iterdir():
            mask.unlink()
    models = {
        "detect": build_grounding_dino(tmp_path / "dino"),
        "segment": (build_sam if method == "sam" else build_sam2)(tmp_path / "sam"),
    }
    overrides = [
        *LENIENT,
        *(f"{stage}.model={model}" for stage, model in models.items()),
        f"segment.method={method}",
        f"pair.embedding={build_dinov2(tmp_path / 'dinov2')}",
    ]
    config = load_build_config(str(PRESETS / "uniedit.yaml"), [str(raw)], overrides, {"kind": "views"})
    report = run_build(config, tmp_path / "pairs")
    assert report.pairs + sum(report.rejects.values()) == 2 and report.failed == 0
    pairs = [entry.read() for entry in browse(str(tmp_path / "pairs"))]
    assert pairs
    for pair in pairs:
        tools = parse_provenance(pair.provenance).tools
        assert tools["detect"] == "GroundingDinoForObjectDetection dino"
        assert tools["segment"] == f"{method.capitalize()}Model sam"
        assert "Dinov2Model dinov2" in tools["pair"]
        assert pair.tar_mask.any() and not pair.tar_mask.all()
    assert json.loads((tmp_path / "pairs" / "build.json").read_text())["licences"] == {
        "CC-BY-4.0": len(pairs)
    }


def test_stages_with_models_are_actors_of_their_own_on_a_cluster() -> None:
    config = load_build_config(str(PRESETS / "uniedit.yaml"), (), (), {})
    groups = group_stages(config)
    assert groups == [
        (False, ("read", "permit", "label")),
        (True, ("detect", "segment")),
        (False, ("quality",)),
        (True, ("pair",)),
        (False, ("encode",)),
    ]
    embedded = load_build_config(str(PRESETS / "embedded.yaml"), (), (), {})
    assert group_stages(embedded) == [(False, list_stages(embedded))]
