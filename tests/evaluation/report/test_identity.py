"""Identities in words."""

from __future__ import annotations

from typing import get_args

import pytest

from a2cli.evaluation.config import BASELINES, MethodConfig, MethodKind
from a2cli.evaluation.methods.baselines import BaselineMethod
from a2cli.evaluation.records.protocols import parse_protocol
from a2cli.evaluation.report.identity import describe_masks, describe_method


@pytest.mark.parametrize("kind", BASELINES)
def test_a_baseline_is_told_by_what_it_does(kind: MethodKind) -> None:
    told = describe_method({**BaselineMethod(MethodConfig(kind, kind=kind)).identity, "found": True})
    assert told.startswith("baseline: ") and told.endswith("; edits of an earlier run")
    assert "OpenCV" in told and "True" not in told
    assert (
        describe_method({"kind": kind, "backbone": "nano", "steps": 4, "baseline": True})
        == told.split(";")[0]
    )


def test_a_model_is_told_by_its_weights_and_how_it_ran() -> None:
    facts = {
        "kind": "a2",
        "baseline": False,
        "a2": "0.1.0",
        "backbone": "nano",
        "model": "default",
        "base_hash": "872742bf",
        "adapter": "mine",
        "adapter_hash": "75700d15",
        "resolution": 256,
        "steps": 4,
        "guidance": 1.0,
        "dtype": "float32",
        "paste_back": "mask",
        "redux": None,
        "train": {"config": "c.yaml", "overrides": ["steps=3", "lr=1"]},
    }
    assert describe_method(facts) == (
        "a2's own pipeline; a2 0.1.0; backbone nano; weights 872742bf; adapter mine; adapter's weights 75700d15;"
        " 256 px; 4 steps; guidance 1; float32; pasted back under the mask;"
        " train / config c.yaml, train / overrides steps=3, lr=1"
    )
    bare = describe_method({"kind": "fill", "paste_back": False, "reference": False, "adapter": "none"})
    assert "not pasted back" in bare and "sees no reference" in bare and "no adapter" in bare


def test_finished_edits_and_methods_of_plugins() -> None:
    assert (
        describe_method({"kind": "pred", "baseline": False, "folder": "out"})
        == "finished edits; of the folder out"
    )
    assert (
        describe_method({"kind": "mine", "speed": 3, "deep": {"on": True}}) == "mine; speed 3; deep / on yes"
    )
    assert describe_method({"kind": "theirs", "baseline": True}) == "theirs, a baseline"
    assert describe_method({}) == ""


def test_every_kind_of_method_has_words() -> None:
    for kind in get_args(MethodKind):
        assert describe_method({"kind": kind}) != kind, kind


def test_masks_are_told_in_their_own_words() -> None:
    assert describe_masks(parse_protocol("fine", "8%").describe()) == "the exact mask"
    assert describe_masks({"kind": "fine", "by": ["8%"]}) == "kind fine; by 8%"
