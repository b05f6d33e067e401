"""The model inside the package: small, described, licensed, loadable and worth running."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edits import Done, Studio, encode_mask, make_reference, read_pixels, read_region
from pictures import encode
from PIL import Image

from a2cli.backbones.flux import NANO_FOLDER, NanoBackbone
from a2cli.backbones.loading import check_folder
from a2cli.engine.pipeline import EditPipeline
from a2cli.images.cutout import cut_out
from a2cli.images.write import build_photo
from a2cli.mot import read_adapter

ASSETS = NANO_FOLDER.parent
ADAPTER = ASSETS / "nano-mot"
BOX = "box:150,90,290,230"


@pytest.fixture
def photo(studio: Studio) -> Path:
    """A photograph-sized scene: a soft landscape of two colours, 480 x 320."""
    rows, columns = np.mgrid[0:320, 0:480]
    scene = np.stack([90 + rows / 4, 120 + columns / 8, 160 - rows / 5], -1)
    scene += np.random.default_rng(0).normal(0, 3, scene.shape)
    return studio.write("landscape.png", encode(np.clip(scene, 0, 255).astype(np.uint8), "PNG"))


def edit(studio: Studio, photo: Path, *arguments: object) -> Done:
    """Run `a2 edit` as everybody first does: no model, no adapter named."""
    return studio.run(photo, "--ref", studio.ref, "-o", "out.png", "--save-region", "region.png", *arguments)


def test_the_assets_are_at_most_40_mb_and_hold_safetensors_only() -> None:
    assert sum(p.stat().st_size for p in ASSETS.rglob("*") if p.is_file()) <= 40e6
    check_folder(NANO_FOLDER)
    index = json.loads((NANO_FOLDER / "model_index.json").read_text())
    for part in ("transformer", "vae", "text_encoder_2", "image_encoder", "image_embedder"):
        assert part in index and list((NANO_FOLDER / part).glob("*.safetensors"))


def test_the_model_card_names_sources_licences_and_the_making() -> None:
    card = (NANO_FOLDER / "README.md").read_text(encoding="utf-8").lower()
    for word in ("licen", "source", "steps", "time", "hardware", "held-out"):
        assert word in card, word


def test_the_adapter_is_made_for_this_base_and_loads() -> None:
    info = read_adapter(ADAPTER)
    assert info.backbone == "nano" and info.base_hash == NanoBackbone.load().base_hash
    assert (ADAPTER / "README.md").is_file() and info.config.routing == "agr"
    pipeline = EditPipeline.load()
    assert pipeline.experts is not None and len(pipeline.adapter_hash) == 64
    assert EditPipeline.load(adapter="none").experts is None


def test_an_edit_keeps_the_outside(studio: Studio, photo: Path) -> None:
    done = edit(studio, photo, "--mask", BOX)
    assert (done.code, done.lines, done.stderr) == (0, ["out.png"], "")
    before, after = read_pixels(photo), read_pixels(studio.folder / "out.png")
    region = read_region(studio.folder / "region.png")
    assert np.array_equal(after[~region], before[~region])
    assert (after != before).any(axis=2)[90:230, 150:290].mean() > 0.5
    recipe = json.loads(Image.open(studio.folder / "out.png").info["a2"])
    assert recipe["model"] == "default" and len(recipe["adapter_hash"]) == 16


@pytest.mark.parametrize("adapter", [None, "none"])
def test_the_subject_is_put_in(studio: Studio, photo: Path, adapter: str | None) -> None:
    """Colours of the reference appear in the region, and more of them than of anything else."""
    marked = np.zeros((320, 480), bool)
    rows, columns = np.mgrid[0:320, 0:480]
    marked[((rows - 160) / 80) ** 2 + ((columns - 220) / 60) ** 2 < 1] = True
    mask = studio.write("ellipse.png", encode_mask(marked))
    assert edit(studio, photo, "--mask", mask, *(["--adapter", adapter] if adapter else [])).code == 0
    before, after = read_pixels(photo).astype(float), read_pixels(studio.folder / "out.png").astype(float)
    subject = cut_out(build_photo(make_reference()))
    colours = np.array([[210, 60, 20], [20, 60, 150]], float)  # of the reference's stripes
    inner = ((rows - 160) / 60) ** 2 + ((columns - 220) / 45) ** 2 < 1

    def get_distance(picture: np.ndarray) -> float:
        pixels = picture[inner][:, None]
        return float(np.linalg.norm(pixels - colours, axis=2).min(axis=1).mean())

    assert subject.mask.mean() > 0.2
    assert get_distance(after) < 0.6 * get_distance(before)


def test_same_seed_same_bytes(studio: Studio, photo: Path) -> None:
    files = []
    for seed in (1, 1, 2):
        assert edit(studio, photo, "--mask", BOX, "--seed", seed, "--steps", 4).code == 0
        files.append((studio.folder / "out.png").read_bytes())
    assert files[0] == files[1] != files[2]
