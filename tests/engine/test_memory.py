"""What an edit needs of a GPU, and the lightest measure that suffices; edits that keep to it are the same edits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import make_scene

from a2cli.backbones.live_bytes import LiveBytes
from a2cli.backbones.offload import get_parts
from a2cli.config.memory import MemoryConfig
from a2cli.engine.memory import (
    ALLOWANCE,
    Needs,
    check_memory,
    choose_offload,
    get_home,
    get_needs,
    place_pipeline,
    trace_edit,
)
from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.errors import BackboneError, ConfigError
from a2cli.images.cutout import Cutout

GB = 10**9
# About FLUX.1 Fill: 34 GB of weights, 7.5 GB of kept keys and values.
LARGE = Needs(
    {"transformer": 24 * GB, "vae": GB, "text_encoder_2": 10 * GB},
    {"transformer": GB // 10, "vae": GB // 100, "text_encoder_2": GB // 4},
    around=GB,
    encoding=2 * GB,
    passes=7 * GB,
    decoding=3 * GB,
)


def edit(pipeline: EditPipeline, *, region: bool = False) -> np.ndarray:
    photo = make_scene(120, 90)
    mask = np.zeros((90, 120), np.float32)
    mask[20:70, 30:80] = 1
    subject = Cutout(make_scene(60, 60), np.ones((60, 60), np.float32))
    options = EditOptions("a red cup", steps=2, seed=3)
    return pipeline.run(photo, mask, subject, options, region=mask if region else None).pictures[0]


def test_what_is_there_at_once() -> None:
    assert LARGE.get_bytes("none") == 35 * GB + 7 * GB + GB + ALLOWANCE
    assert LARGE.get_bytes("model") == 24 * GB + 7 * GB + GB + ALLOWANCE
    assert LARGE.get_bytes("sequential") == GB // 10 + 7 * GB + GB + ALLOWANCE
    vast = replace(LARGE, parts={**LARGE.parts, "text_encoder_2": 90 * GB})
    assert vast.get_bytes("model") == 90 * GB + 2 * GB + GB + ALLOWANCE


@pytest.mark.parametrize(
    ("size", "options", "chosen"),
    [
        (44, {}, "none"),
        (43, {}, "model"),
        (33, {}, "model"),
        (32, {}, "sequential"),
        (10, {}, "sequential"),
        (45, {"offload": "model"}, "model"),  # what is asked for is not undone
        (45, {"quantize": "nf4"}, "none"),
        (40, {"quantize": "nf4"}, "model"),
        (45, {"quantize": "int8"}, "none"),
    ],
)
def test_the_lightest_measure_that_fits_is_taken(size: int, options: dict[str, Any], chosen: str) -> None:
    assert choose_offload(LARGE, MemoryConfig(size * GB + GB // 2, **options)) == chosen


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (
            8,
            {},
            r"--vram 8\.0GB is not enough: an edit needs about 9\.2 GB \(a smaller --num-images, or --device cpu",
        ),
        (20, {"offload": "none"}, r"needs about 44\.1 GB \(--offload sequential fits"),
        (36, {"offload": "none"}, r"needs about 44\.1 GB \(--offload model fits"),
        (20, {"quantize": "nf4"}, r"needs about 33\.1 GB \(leave --quantize out: --offload sequential"),
        (40, {"quantize": "int8"}, r"needs about 44\.1 GB"),
    ],
)
def test_where_nothing_fits_it_says_what_would(size: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_offload(LARGE, MemoryConfig(size * GB, **options))


def test_without_a_gpu_there_is_nothing_to_keep_weights_off() -> None:
    for memory, option in ((MemoryConfig(vram=GB), "--vram"), (MemoryConfig(offload="model"), "--offload")):
        with pytest.raises(
            ConfigError, match=rf"{option}: there is no GPU .* runs on cpu \(leave {option} out"
        ):
            EditPipeline.load("nano", device="cpu", memory=memory)
    for memory in (MemoryConfig(), MemoryConfig(offload="none"), MemoryConfig(quantize="int8")):
        check_memory(memory, "cpu")
    check_memory(MemoryConfig(vram=GB, offload="sequential"), "cuda:1")


def test_what_is_moved_later_is_loaded_into_main_memory() -> None:
    homes = {
        MemoryConfig(): "cuda",
        MemoryConfig(quantize="nf4"): "cuda",
        MemoryConfig(offload="none"): "cuda",
        MemoryConfig(vram=GB): "cpu",
        MemoryConfig(offload="sequential"): "cpu",
        MemoryConfig(offload="model", quantize="nf4"): "cpu",
        MemoryConfig(vram=GB, quantize="int8"): "cuda",
    }
    assert {memory: get_home(memory, "cuda") for memory in homes} == homes


@pytest.mark.slow
def test_needs_are_those_of_a_real_edit() -> None:
    """Weights to the byte; activations at least what an edit holds, and at most what a mask can make of them."""
    pipeline = EditPipeline.load("nano", device="cpu")
    needs = get_needs(pipeline)
    weights = [
        p for part in get_parts(pipeline.backbone).values() for p in (*part.parameters(), *part.buffers())
    ]
    assert sum(needs.parts.values()) == sum(p.nbytes for p in weights)
    assert pipeline.region is not None
    region = list(pipeline.region.modules.parameters())
    experts = sum(p.nbytes for n, p in pipeline.experts.named_parameters().items() if n[-2:] in (".A", ".B"))
    assert needs.around == sum(p.nbytes for p in region) + experts
    with LiveBytes([*weights, *region]) as live:
        edit(pipeline)
    most = max(needs.encoding, needs.passes, needs.decoding)
    assert 0.5 * most < live.peak <= most + experts


@pytest.mark.slow
def test_blocks_and_pictures_left_out_of_the_trace_are_counted(tiny_model: Path) -> None:
    """Two blocks of a kind are run; each other adds its kept keys and values, as it does where it is run."""
    pipeline = EditPipeline.load("nano", model=str(tiny_model), adapter="none", device="cpu")
    transformer: Any = type(pipeline.backbone.transformer)
    found = []
    for depth, num_images in ((2, 1), (5, 1), (5, 3)):
        config = {**pipeline.backbone.transformer.config, "num_layers": depth, "num_single_layers": depth}
        components: dict[str, Any] = pipeline.backbone.components  # type: ignore[attr-defined]
        parts = {**components, "transformer": transformer.from_config(config)}
        backbone: Any = type(pipeline.backbone)(parts, pipeline.backbone.traits)  # type: ignore[call-arg]
        found.append(trace_edit(backbone, num_images)[1])
    # photo, reference, prompt, patches of the reference; keys and values of 64 numbers in float32
    kept = (16 + 16 + backbone.max_text_tokens + 4) * 2 * 64 * 4
    assert found[1] - found[0] == 2 * 3 * kept
    assert found[2] - found[1] >= 2 * 10 * kept


@pytest.fixture(scope="module")
def plain() -> EditPipeline:
    """The shipped model with its adapters; read only."""
    return EditPipeline.load("nano", device="cpu")


@pytest.mark.parametrize("how", ["model", "sequential"])
def test_an_edit_with_all_adapters_is_the_same(plain: EditPipeline, how: Any) -> None:
    pipeline = EditPipeline.load("nano", device="cpu")
    assert place_pipeline(pipeline, MemoryConfig(offload=how), "cpu") == how
    assert np.array_equal(edit(pipeline, region=True), edit(plain, region=True))


def test_the_choice_is_told(tiny_model: Path) -> None:
    pipeline = EditPipeline.load("nano", model=str(tiny_model), adapter="none", device="cpu")
    expected, said = edit(pipeline), list[str]()
    assert place_pipeline(pipeline, MemoryConfig(vram=2 * GB), "cpu", note=said.append) == "none"
    assert said == ["memory: all weights on the GPU, about 1.1 of 2.0 GB"]
    assert np.array_equal(edit(pipeline), expected)


@pytest.mark.slow
def test_fewer_bits_are_fewer_bytes(plain: EditPipeline) -> None:
    pytest.importorskip("bitsandbytes", reason="pip install 'a2cli[quant]'")
    packed = EditPipeline.load("nano", device="cpu", memory=MemoryConfig(quantize="nf4"))
    before, after = get_needs(plain), get_needs(packed, quantize="nf4")
    assert 0.1 < after.parts["transformer"] / before.parts["transformer"] < 0.7
    assert after.parts["vae"] == before.parts["vae"] and after.passes == before.passes
    difference = np.abs(edit(packed) - edit(plain))
    assert 0 < difference.mean() < 12


def test_a_backbone_of_another_make_has_unknown_needs(tiny_model: Path) -> None:
    pipeline = EditPipeline.load("nano", model=str(tiny_model), adapter="none", device="cpu")

    class Other:
        name = "other"

    pipeline.backbone = Other()  # type: ignore[assignment]
    with pytest.raises(BackboneError, match=r"'other' needs is not known \(give --offload instead of --vram"):
        get_needs(pipeline)
