"""The terms of a training loss: which of them act, and which mean nothing where they are given."""

from __future__ import annotations

from typing import Any

import pytest

from a2cli.config.load import build
from a2cli.errors import ConfigError
from a2cli.training.config import TrainConfig
from a2cli.training.trainable import get_recipe

PREDICTOR = {"width": 16, "query_grid": 4, "num_heads": 2, "text_queries": 2}
SECTIONS: dict[str, dict[str, Any]] = {
    "base": {},
    "mot": {"adapter": {"num_experts": 2, "rank": 2}},
    "lora": {"lora": {"rank": 2}},
    "region": {"region": {"predictor": PREDICTOR}},
}


def get_config(kind: str, **loss: Any) -> TrainConfig:
    mapping = {"model": {"train": kind}, "output_dir": "x", "steps": 1, "loss": loss, **SECTIONS[kind]}
    return build(TrainConfig, mapping)


@pytest.mark.parametrize("kind", ["base", "mot", "lora"])
def test_no_mask_is_weighed_where_none_is_predicted(kind: str) -> None:
    assert get_config(kind).mask_weight == 0 and get_config(kind, mask=0).mask_weight == 0
    with pytest.raises(ConfigError, match=r"loss\.mask weighs predicted masks, and nothing predicts any"):
        get_config(kind, mask=0.1)


def test_a_predictor_has_a_weight_of_its_own() -> None:
    assert [get_config("region", **loss).mask_weight for loss in ({}, {"mask": 0}, {"mask": 2.0})] == [
        0.1,
        0,
        2,
    ]
    with pytest.raises(ConfigError, match="mask must be 0 or more, not -1"):
        get_config("region", mask=-1)


@pytest.mark.parametrize(
    ("kind", "loss", "terms"),
    [
        ("lora", {}, {"flow": 1.0}),
        ("mot", {"balance": 0.01}, {"flow": 1.0, "balance": 0.01}),
        (
            "mot",
            {"contrastive": 0.05, "tau": 0.3},
            {"flow": 1.0, "contrastive": 0.05, "tau": 0.3, "contrastive_blocks": "double"},
        ),
        ("region", {"region_alpha": 2.0}, {"flow": 1.0, "region_alpha": 2.0, "mask": 0.1}),
        ("region", {"mask": 0}, {"flow": 1.0}),
    ],
)
def test_a_recipe_tells_the_terms_that_acted(kind: str, loss: dict[str, Any], terms: dict[str, Any]) -> None:
    assert get_recipe(get_config(kind, **loss))["loss"] == terms
