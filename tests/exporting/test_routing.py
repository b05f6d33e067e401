"""Frozen routings: those of real context passes, their mean, and what stands for them in an edit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from edits import encode_mask, make_reference
from export_things import get_config
from pictures import encode, make_scene

from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.errors import ConfigError, DataError
from a2cli.exporting.measure import applying, measure_loss
from a2cli.exporting.routing import describe_routing, get_frozen_gates, get_gates
from a2cli.exporting.samples import list_samples
from a2cli.exporting.source import Source


@pytest.fixture(scope="module")
def pipeline(tiny_base: Path, tiny_experts: Path) -> EditPipeline:
    return EditPipeline.load("nano", model=str(tiny_base), adapter=str(tiny_experts), device="cpu")


def test_the_gates_of_a_sample_are_those_of_its_edit(
    pipeline: EditPipeline, tiny_base: Path, tiny_experts: Path, tiny_pairs: Path, tmp_path: Path
) -> None:
    config = get_config(tiny_experts, tiny_base, tiny_pairs, tmp_path)
    samples = list(list_samples(config, "train", 3))
    for sample in samples:
        gates = get_gates(pipeline, sample)
        pipeline.generate(sample.photo, sample.mask, sample.subject, EditOptions(sample.prompt))
        routed = pipeline.experts.routing_state()
        for name, values in gates.items():
            torch.testing.assert_close(values, routed[name][0])
    frozen = get_frozen_gates(pipeline, samples, label="x", said="y")
    every = [get_gates(pipeline, sample) for sample in samples]
    for name, values in frozen.gates.items():
        stack = torch.stack([gates[name] for gates in every])
        torch.testing.assert_close(values, stack.mean(0))
        torch.testing.assert_close(frozen.chosen[name], (stack > 0).float().mean(0))
    assert frozen.samples == 3 and frozen.spread > 1e-5
    assert frozen.to_dict()["gates"]["transformer_blocks.0"] == pytest.approx(
        frozen.gates["transformer_blocks.0"].tolist(), abs=1e-7
    )


def test_one_reference_frozen_edits_as_the_experts_do(
    pipeline: EditPipeline, tiny_base: Path, tiny_experts: Path, tiny_pairs: Path, tmp_path: Path
) -> None:
    """With its own photo and mask one context pass is all there is, so nothing can be lost."""
    (tmp_path / "cat.png").write_bytes(encode(make_reference(), "PNG"))
    scene = make_scene()
    (tmp_path / "photo.png").write_bytes(encode(scene, "PNG"))
    mask = np.zeros(scene.shape[:2], bool)
    mask[12:26, 20:38] = True
    (tmp_path / "mask.png").write_bytes(encode_mask(mask))
    changes = {"photo": str(tmp_path / "photo.png"), "mask": str(tmp_path / "mask.png")}
    config = get_config(
        tiny_experts, tiny_base, tiny_pairs, tmp_path / "out", ref=str(tmp_path / "cat.png"), **changes
    )
    source = Source(config)
    assert source.routing is not None and source.routing.samples == 1 and source.routing.spread == 0
    assert source.routing.label == "cat.png" and "cat.png in photo.png" in source.routing.said
    sample = next(iter(list_samples(config, "train", 1)))
    routed = source.pipeline.generate(sample.photo, sample.mask, sample.subject)[0]
    with applying(source.pipeline, source.deltas):
        frozen = source.pipeline.generate(sample.photo, sample.mask, sample.subject)[0]
    bare = EditPipeline.load("nano", model=str(tiny_base), adapter="none", device="cpu")
    alone = bare.generate(sample.photo, sample.mask, sample.subject)[0]
    assert np.abs(frozen - routed).max() < 0.05 < np.abs(alone - routed).max()  # of 255
    assert np.array_equal(
        source.pipeline.generate(sample.photo, sample.mask, sample.subject)[0], routed
    )  # the hooks are gone
    loss = measure_loss(source.pipeline, source.deltas, [sample])
    assert loss.apart < 1e-4 and loss.routed is None and loss.samples == 1


def test_a_reference_without_a_photo_goes_over_those_of_the_data(
    tiny_base: Path, tiny_experts: Path, tiny_pairs: Path, tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(encode(make_reference(), "PNG"))
    config = get_config(tiny_experts, tiny_base, tiny_pairs, tmp_path / "out", ref=str(tmp_path / "cat.png"))
    samples = list(list_samples(config, "train", 3))
    assert len(samples) == 3 and all(s.target is None for s in samples)
    assert all(np.array_equal(s.subject.rgb, samples[0].subject.rgb) for s in samples)
    assert not np.array_equal(samples[0].photo, samples[1].photo)
    for sample in samples:  # a box
        rows, columns = np.nonzero(sample.mask)
        assert sample.mask.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_a_category_takes_its_pairs_alone(
    tiny_base: Path, tiny_experts: Path, tiny_pairs: Path, tmp_path: Path
) -> None:
    config = get_config(tiny_experts, tiny_base, tiny_pairs, tmp_path, category="plants")
    assert {s.prompt for s in list_samples(config, "train", 5)} == {"a photo of kind 1", "a photo of kind 4"}
    assert describe_routing(config)[0] == "plants" and "plants" in describe_routing(config)[1]
    with pytest.raises(DataError, match="no pair of category garments in split train"):
        list(
            list_samples(
                get_config(tiny_experts, tiny_base, tiny_pairs, tmp_path, category="garments"), "train", 2
            )
        )
    with pytest.raises(ConfigError, match=r"'plant' is no category.*'plants'"):
        list(
            list_samples(
                get_config(tiny_experts, tiny_base, tiny_pairs, tmp_path, category="plant"), "train", 2
            )
        )


def test_a_mean_over_pairs_is_measured_against_the_routed_edits(
    tiny_base: Path, tiny_experts: Path, tiny_pairs: Path, tmp_path: Path
) -> None:
    source = Source(get_config(tiny_experts, tiny_base, tiny_pairs, tmp_path / "out"))
    samples = list(list_samples(source.config, "test", 2))
    loss = measure_loss(source.pipeline, source.deltas, samples)
    nothing = measure_loss(source.pipeline, {}, samples)
    assert 0 < loss.apart < nothing.apart / 3
    assert loss.routed is not None and loss.frozen is not None and loss.base == nothing.frozen
    assert abs(loss.frozen - loss.routed) <= loss.apart
