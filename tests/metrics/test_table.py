"""The table of metrics: names, keys, groups, and what is said of a name that is none."""

from __future__ import annotations

from typing import get_args

import pytest

from a2cli.errors import ConfigError
from a2cli.metrics.shots import REGIONS
from a2cli.metrics.table import GROUPS, METRICS, Need, choose_metrics, find_metric, get_key


def names(*asked: str) -> list[str]:
    return [info.name for info in choose_metrics(asked)]


def test_every_line_is_whole() -> None:
    for name, info in METRICS.items():
        assert info.name == name and info.definition and info.source and info.unit
        assert "\n" not in f"{info.definition}{info.source}{info.unit}" and "@" not in name
        assert set(info.needs) <= set(get_args(Need)) and set(info.regions) <= set(REGIONS)
        assert bool(info.weights) == (info.family in ("lpips", "similarity", "frechet")), name
        assert info.of_set == (info.family == "frechet"), name


def test_values_are_called_by_metric_and_region() -> None:
    assert METRICS["ssim"].keys == ("ssim", "ssim@crop", "ssim@mask")
    assert METRICS["seam"].keys == ("seam",)
    assert get_key("l1", "image") == "l1" and get_key("l1", "mask") == "l1@mask"
    keys = [key for info in METRICS.values() for key in info.keys]
    assert len(set(keys)) == len(keys)
    assert all(find_metric(key).name == key.partition("@")[0] for key in keys)


@pytest.mark.parametrize("key", ["ssmi", "ssim@box", "seam@mask", "", "@mask", "default"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="no metric is called"):
        find_metric(key)


def test_groups_unfold_in_the_table_s_order_and_once() -> None:
    assert names("paper") == ["lpips_alex", "clip_i", "clip_i_ref", "dino_i", "dino_i_ref", "fid"]
    assert names("magicbrush") == ["l1", "l2", "clip_i", "clip_t", "dino1_i"]
    assert names("emu") == ["l1", "clip_i", "clip_t", "clip_dir", "dino1_i"]
    assert names("seam", "l1", "seam") == ["l1", "seam"]
    assert names("lpips") == ["lpips_alex"]
    assert names("patches") == ["patches", "patches_completeness", "patches_coherence"]
    assert names("all") == [name for name, info in METRICS.items() if info.family != "judge"]
    assert names("all", "vlm")[-1] == "vlm"
    for group in GROUPS:
        assert names(group)


def test_the_default_needs_no_network() -> None:
    assert not any(info.weights or info.family == "judge" for info in choose_metrics(["default"]))


@pytest.mark.parametrize(("wrong", "hint"), [("sssim", "ssim"), ("papper", "paper"), ("clipi", "clip_i")])
def test_a_wrong_name_gets_a_suggestion(wrong: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"no metric is called '{wrong}'") as caught:
        choose_metrics(["l1", wrong])
    assert hint in caught.value.hint


def test_no_name_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="no metric is named"):
        choose_metrics([])
