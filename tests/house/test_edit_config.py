"""EditConfig: what a command line of `a2 edit` may say, and the forms without code yet."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from a2cli.config.batch import BatchConfig
from a2cli.config.edit import SOURCE_WAYS, EditConfig, check_source_form, has_piped_stdin
from a2cli.config.load import build, to_dict
from a2cli.errors import ConfigError


def make(**changes: Any) -> EditConfig:
    return EditConfig(**{"sources": ("photo.jpg",), "refs": ("cat.png",), "mask": "mask.png"} | changes)


def test_defaults_are_frozen_and_survive_a_round_trip() -> None:
    config = make()
    assert (config.backbone, config.num_images, config.metadata, config.seed) == ("nano", 1, True, 0)
    assert build(EditConfig, to_dict(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"refs": ("",)}, "empty name"),
        ({"out": ""}, "empty name"),
        ({"refs": ("https://example.org/cat.png",)}, "addresses are not read"),
        ({"sources": ("file:///etc/passwd",)}, "addresses are not read"),
        ({"sources": ("-",), "mask": "-"}, "only one input"),
        ({"save_region": "-"}, "--save-region"),
        ({"out": "-", "json": True}, "one PNG"),
        ({"out": "-", "num_images": 2}, "one PNG"),
        ({"steps": 0}, "--steps is 0"),
        ({"guidance": -1.0}, "--guidance"),
        ({"guidance": float("nan")}, "--guidance"),
        ({"feather": float("inf")}, "--feather"),
        ({"seed": -1}, "--seed"),
        ({"seed": 2**63}, "--seed"),
        ({"num_images": 0}, "--num-images"),
        ({"max_pixels": 0}, "--max-pixels"),
        ({"device": "gpu"}, "--device 'gpu'"),
        ({"device": "cuda:"}, "did you mean 'cuda:0'"),
        ({"dtype": "bfloat61"}, "did you mean 'bfloat16'"),
        ({"save_attention": ""}, "empty name"),
        ({"save_attention": "-", "mask": None}, "--save-attention needs"),
        ({"save_attention": "map.png"}, "nothing is looked for"),
        ({"localize": "attn", "mask": None}, "did you mean"),
        ({"localize": "attn", "batch": BatchConfig(manifest="-")}, "did you mean"),
        ({"localize": "mask", "mask": None}, "give --mask"),
        ({"localize": "off", "mask": None}, "and no mask"),
        ({"localize": "auto"}, "--localize mask narrows the mask"),
        ({"threshold": 0.5}, "the mask is the region"),
        ({"threshold": 2.0, "mask": None}, "the threshold is 2.0"),
        ({"keyword": "cup"}, "the mask is the region"),
        ({"keyword": "cup", "mask": None, "prompt": "a dog"}, "not in the prompt"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**changes)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_devices(device: str) -> None:
    assert make(device=device).device == device


def test_a_manifest_says_itself_what_to_edit_and_with_what() -> None:
    listed = make(sources=(), refs=(), mask=None, batch=BatchConfig(manifest="-"))
    check_source_form(listed)
    held = make(mask=None, localize="mask", keyword="cup", batch=BatchConfig(manifest="jobs.jsonl"))
    assert held.keyword == "cup"  # of records with a mask and a prompt
    with pytest.raises(ConfigError, match="no reference"):
        make(refs=())
    with pytest.raises(ConfigError, match="only one input"):
        make(sources=("-",), batch=BatchConfig(manifest="-"))


def test_addresses_are_inputs_where_they_are_allowed() -> None:
    config = make(sources=("https://example.org/a.jpg",), mask="HTTP://example.org/m.png", allow_urls=True)
    assert config.sources == ("https://example.org/a.jpg",)
    for changes, hint in (
        ({"sources": ("https://example.org/a.jpg",)}, "or add --allow-urls"),
        ({"sources": ("ftp://example.org/a.jpg",), "allow_urls": True}, "download the picture first\\)"),
        (
            {"batch": BatchConfig(manifest="https://example.org/jobs"), "allow_urls": True},
            "addresses are not",
        ),
    ):
        with pytest.raises(ConfigError, match=hint):
            make(**changes)


def test_without_a_mask_a_prompt_is_needed() -> None:
    with pytest.raises(ConfigError, match="no prompt to find the region from"):
        check_source_form(make(mask=None))
    check_source_form(make(mask=None, prompt="replace the cup"))


def test_the_way_follows_from_the_mask() -> None:
    assert make().way == "off" and make(mask=None).way == "auto"
    held = make(localize="mask", keyword="Cup", prompt="the cup", threshold=0.4)
    options = held.get_localize_options()
    assert (held.way, options.way, options.keyword, options.threshold) == ("mask", "mask", "Cup", 0.4)
    assert make(adapter=("a", "b")).adapter == ("a", "b")


def test_no_photo_lists_the_three_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert not has_piped_stdin()
        with pytest.raises(ConfigError) as error:
            check_source_form(make(sources=(), mask=None))
    assert SOURCE_WAYS in str(error.value)
    assert all(word in SOURCE_WAYS for word in ("SOURCE file", "pipe", "--mask"))


def test_piped_stdin_is_a_pipe_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    (tmp_path / "photo").write_bytes(b"x")
    for stream in (os.fdopen(reader), (tmp_path / "photo").open()):
        with stream:
            monkeypatch.setattr("sys.stdin", stream)
            assert has_piped_stdin()
    monkeypatch.setattr("sys.stdin", None)
    assert not has_piped_stdin()
