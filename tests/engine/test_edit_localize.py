"""`a2 edit` without a mask, and with one that is narrowed: what is found, what is said, what stays as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edits import Done, Studio, read_pixels, read_region
from PIL import Image
from safetensors.torch import load_file, save_file
from test_adapters import save_small_region

from a2cli.backbones.flux import NanoBackbone

BOX = "box:20,12,38,26"
PROMPT = ("--prompt", "replace the cup")


def get_recipe(path: Path) -> dict[str, Any]:
    return json.loads(Image.open(path).info["a2"])  # type: ignore[no-any-return]


def refuse(done: Done, message: str) -> None:
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, b"", 1), done.stderr
    assert message in done.stderr and done.stderr.rstrip().endswith(")"), done.stderr


def test_without_a_mask_the_prompt_says_where(studio: Studio) -> None:
    maps = ("--save-region", "region.png", "--save-attention", "map.png")
    done = studio.edit(studio.photo, *PROMPT, *maps, "--json", "-o", "out.png")
    assert done.code == 0, done.stderr
    region, out = read_region(studio.folder / "region.png"), read_pixels(studio.folder / "out.png")
    attention = read_pixels(studio.folder / "map.png")
    assert attention.shape == region.shape == studio.scene.shape[:2] and attention.dtype == np.uint8
    assert attention.min() < 40 and attention.max() > 200
    assert np.array_equal(out[~region], studio.scene[~region]) and not np.array_equal(out, studio.scene)
    assert 0 < region.mean() < 1 and done.records[0]["region_share"] == pytest.approx(region.mean(), abs=1e-6)
    assert done.stderr.startswith("region: ") and "found by attention from 'cup', threshold 0." in done.stderr
    told = get_recipe(studio.folder / "out.png")["localize"]
    assert (told["way"], told["keyword"], told["adapter_hash"]) == ("attention", "cup", "")
    assert told["blocks"] == ["single_transformer_blocks.0"] and len(told["region_sha256"]) == 16
    assert studio.edit(studio.photo, *PROMPT, "-q", "-o", "again.png").stderr == ""
    assert np.array_equal(read_pixels(studio.folder / "again.png"), out)


def test_the_region_can_be_seen_before_anything_is_edited(studio: Studio) -> None:
    before = studio.list_files()
    done = studio.edit(studio.photo, *PROMPT, "--dry-run", "--save-region", "region.png", "--json")
    assert done.code == 0 and "found by attention" in done.stderr
    (record,) = done.records
    region = read_region(studio.folder / "region.png")
    assert record["planned"] and record["region_share"] == pytest.approx(region.mean(), abs=1e-6)
    assert studio.list_files() == sorted([*before, "region.png"])
    assert studio.edit(studio.photo, *PROMPT, "-o", "out.png", "--save-region", "edited.png").code == 0
    assert np.array_equal(read_region(studio.folder / "edited.png"), region)
    (studio.folder / "region.png").unlink()
    plan = studio.run(
        studio.photo, "--ref", studio.ref, "--model", "/no/model", *PROMPT, "--dry-run", "--json"
    )
    assert plan.code == 0 and plan.records[0]["region_share"] is None


def test_keyword_and_threshold(studio: Studio) -> None:
    shares = []
    for threshold in ("0.3", "0.7"):
        arguments = ("--prompt", "a red cup", "--keyword", "Red", "--threshold", threshold, "--json")
        done = studio.edit(studio.photo, *arguments, "-o", f"{threshold}.png", "--feather", 0)
        assert done.code == 0 and f"'red', threshold {threshold}0" in done.stderr
        shares.append(done.records[0]["region_share"])
        told = get_recipe(studio.folder / f"{threshold}.png")["localize"]
        assert (told["keyword"], told["threshold"]) == ("red", float(threshold))
    assert shares[0] > shares[1] > 0


def test_a_prompt_about_everything_is_refused_with_its_map(studio: Studio) -> None:
    model = Path(shutil.copytree(studio.model, studio.folder.parent / "even"))
    weights = model / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    for part in ("weight", "bias"):
        tensors[f"single_transformer_blocks.0.attn.to_q.{part}"].zero_()  # attention to all alike
    save_file(tensors, weights, {"format": "pt"})
    before = studio.list_files()
    arguments = ("--ref", studio.ref, "--model", model, "--adapter", "none", *PROMPT)
    done = studio.run(studio.photo, *arguments, "--save-attention", "map.png", "-o", "out.png")
    refuse(
        done, "photo.png: seen as a global edit: the attention is the same everywhere ('cup', by attention)"
    )
    assert "that name the thing, or --threshold" in done.stderr
    assert studio.list_files() == sorted([*before, "map.png"])
    assert not read_pixels(studio.folder / "map.png").any()


def test_a_mask_alone_is_edited_as_ever(studio: Studio) -> None:
    for name, extra in (("a", ()), ("b", ("--localize", "off"))):
        assert studio.edit(studio.photo, "--mask", BOX, *PROMPT, *extra, "-o", f"{name}.png").code == 0
    assert (studio.folder / "a.png").read_bytes() == (studio.folder / "b.png").read_bytes()
    assert "localize" not in get_recipe(studio.folder / "a.png")


def test_hold_keeps_ground_under_the_mask(studio: Studio) -> None:
    rng = np.random.default_rng(0)
    photo = rng.normal(180, 8, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    rows, columns = np.mgrid[0:64, 0:64]
    ball = np.hypot(rows - 30, columns - 30) < 6
    photo[ball] = (20, 40, 120)
    source = studio.folder / "ball.png"
    Image.fromarray(photo).save(source)
    mask = ("--mask", "box:12,12,52,52", "--feather", 0)
    done = studio.edit(
        source, *mask, "--localize", "mask", "-o", "out.png", "--save-region", "region.png", "--json"
    )
    assert done.code == 0 and done.stderr.startswith("region hold: "), done.stderr
    region, out = read_region(studio.folder / "region.png"), read_pixels(studio.folder / "out.png")
    assert not region[:12].any() and not region[:, 52:].any() and region[ball].all()
    assert np.array_equal(out[~region], photo[~region])
    assert done.records[0]["region_share"] == pytest.approx(region.mean(), abs=1e-6)
    told = get_recipe(studio.folder / "out.png")["localize"]
    assert told["way"] == "mask" and told["held"] == "yes" and told["tokens_left"] >= 0
    flat = studio.folder / "flat.png"
    Image.new("RGB", (64, 64), (90, 90, 90)).save(flat)
    for name, extra in (("plain", ()), ("held", ("--localize", "mask"))):
        done = studio.edit(flat, *mask, *extra, "-o", f"{name}.png")
        assert done.code == 0
    assert "nothing is held, nothing stands out under the mask" in done.stderr
    assert np.array_equal(*(read_pixels(studio.folder / f"{name}.png") for name in ("plain", "held")))


def test_the_predictor_of_a_region_adapter(studio: Studio) -> None:
    folder = studio.folder.parent / "region"
    save_small_region(NanoBackbone.load(str(studio.model)), folder)
    arguments = ("--ref", studio.ref, "--model", studio.model, "--adapter", folder, *PROMPT)
    for way in ("auto", "predictor"):
        done = studio.run(
            studio.photo, *arguments, "--localize", way, "--threshold", "0.05", "-o", f"{way}.png"
        )
        assert done.code == 0 and "found by predictor from 'cup'" in done.stderr, done.stderr
    told = get_recipe(studio.folder / "auto.png")["localize"]
    assert told["way"] == "predictor" and len(told["adapter_hash"]) == 16 and told["blocks"] == []
    assert (studio.folder / "auto.png").read_bytes() == (studio.folder / "predictor.png").read_bytes()
    twice = studio.run(studio.photo, *arguments, "--adapter", folder)
    refuse(twice, "are adapters of one kind (region)")
    never = studio.run(studio.photo, *arguments, "--threshold", "1")
    refuse(never, "seen as a global edit: nothing reaches the threshold ('cup', by predictor)")


def test_words_that_the_predictor_never_reads_are_warned_of(studio: Studio) -> None:
    folder = studio.folder.parent / "region"
    save_small_region(NanoBackbone.load(str(studio.model)), folder)
    late = ("--prompt", "please be so kind and replace the cup", "--threshold", "0.05", "-o", "out.png")
    done = studio.run(studio.photo, "--ref", studio.ref, "--model", studio.model, "--adapter", folder, *late)
    warned, told = done.stderr.splitlines()
    assert done.code == 0 and "photo.png: 'cup' lies behind what the model reads of the prompt" in warned
    assert told.startswith("region: ")


def test_a_sentence_about_the_whole_picture_is_refused_unless_told_where(studio: Studio) -> None:
    prompt = ("--prompt", "blur the photo")
    done = studio.edit(studio.photo, *prompt, "-o", "out.png")
    refuse(done, "seen as a global edit: the sentence is about the whole picture")
    assert "give --mask, or --keyword with" in done.stderr and "--threshold" not in done.stderr
    assert studio.edit(studio.photo, *prompt, "--mask", BOX, "-o", "out.png").code == 0
    done = studio.edit(studio.photo, *prompt, "--keyword", "photo", "--threshold", "0.5", "-o", "out.png")
    assert done.code == 0 and "from 'photo'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no mask, and no prompt to find the region from"),
        (("--prompt", "  "), "no mask, and no prompt"),
        ((*PROMPT, "--keyword", "dog"), "'dog' is not in the prompt"),
        ((*PROMPT, "--keyword", " "), "the keyword is empty"),
        ((*PROMPT, "--threshold", "1.5"), "the threshold is 1.5 (auto, or a number from 0 to 1)"),
        ((*PROMPT, "--threshold", "nan"), "the threshold is nan"),
        ((*PROMPT, "--threshold", "high"), "--threshold 'high' is no number"),
        (("--localize", "mask", *PROMPT), "--localize mask narrows a mask, and there is none (give --mask)"),
        (("--localize", "off", *PROMPT), "--localize off, and no mask"),
        (("--localize", "attention", "--mask", BOX, *PROMPT), "--localize attention finds it out"),
        (("--mask", BOX, "--keyword", "cup", *PROMPT), "add --localize mask, or leave out --mask"),
        (("--mask", BOX, "--threshold", "0.4"), "the mask is the region"),
        (("--mask", BOX, "--save-attention", "map.png"), "with a mask nothing is looked for"),
        ((*PROMPT, "--save-attention", "map.jpg"), "map.jpg: the attention is saved as PNG (name it .png)"),
        ((*PROMPT, "--save-attention", "-"), "--save-attention needs a file name"),
        (
            (*PROMPT, "--save-attention", "."),
            "not a regular file, nothing is written there (choose another file)",
        ),
        ((*PROMPT, "--save-attention", "m.png", "--save-region", "./m.png"), "would replace each other"),
        ((*PROMPT, "--save-attention", "out.png"), "out.png: the attention would replace the picture"),
        ((*PROMPT, "--localize", "predictor"), "no adapter with a mask predictor is loaded"),
        (
            ("--prompt", "please be so very kind and replace the cup"),
            "reaches none of the model's 20 text tokens",
        ),
        (("--adapter", "elsewhere", *PROMPT), "--adapter none stands beside a folder"),
    ],
)
def test_what_cannot_be_is_one_line(studio: Studio, arguments: tuple[str, ...], message: str) -> None:
    before = studio.list_files()
    done = studio.edit(studio.photo, "-o", "out.png", *arguments)
    refuse(done, message)
    assert studio.list_files() == before
