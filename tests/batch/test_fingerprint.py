"""What an output depends on changes its fingerprint; what it does not depend on leaves it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from a2cli.batch import fingerprint as fingerprints
from a2cli.batch.fingerprint import Digests, get_fingerprint, hash_model
from a2cli.config.batch import BatchConfig
from a2cli.config.edit import EditConfig
from a2cli.config.memory import MemoryConfig
from a2cli.errors import BackboneError, CheckpointError

WEIGHTS = "0" * 64


@pytest.fixture
def config(tmp_path: Path) -> EditConfig:
    for name in ("photo", "cat", "mask"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    photo, cat, mask = (str(tmp_path / f"{name}.png") for name in ("photo", "cat", "mask"))
    return EditConfig((photo,), (cat,), mask=mask, out=str(tmp_path / "out.png"))


def find(config: EditConfig, weights: str = WEIGHTS) -> str:
    return get_fingerprint(config, Digests().get_inputs(config), weights)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a cat"},
        {"seed": 1},
        {"steps": 3},
        {"guidance": 2.0},
        {"feather": 2.0},
        {"num_images": 2},
        {"metadata": False},
        {"dtype": "bfloat16"},
        {"fit_mask": True},
        {"mask": "box:1,2,30,40"},
        {"localize": "mask", "keyword": "cat", "prompt": "a cat"},
        {"backbone": "flux-fill"},
        {"memory": MemoryConfig(quantize="int8")},
        {"out": "out.jpg"},
        {"sign": "cert.pem,key.pem"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_shows_counts(config: EditConfig, changes: dict[str, Any]) -> None:
    assert find(replace(config, **changes)) != find(config)


@pytest.mark.parametrize(
    "changes",
    [
        {"out": "else/where.png"},
        {"save_region": "region.png"},
        {"json": True, "quiet": True, "dry_run": True, "device": "cpu"},
        {"batch": BatchConfig(resume=True, workers=3)},
        {"memory": MemoryConfig(offload="model")},
        {"make_folders": True},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_does_not_show_does_not_count(config: EditConfig, changes: dict[str, Any]) -> None:
    assert find(replace(config, **changes)) == find(config)


def test_every_setting_is_known_to_the_rule(config: EditConfig) -> None:
    assert set(EditConfig.__dataclass_fields__) >= fingerprints.UNSEEN


@pytest.mark.parametrize("name", ["photo", "cat", "mask"])
def test_inputs_count_by_their_bytes(config: EditConfig, tmp_path: Path, name: str) -> None:
    before, path = find(config), tmp_path / f"{name}.png"
    os.utime(path, ns=(5, 5))
    assert find(config) == before
    path.write_bytes(name.upper().encode())
    assert find(config) != before
    path.write_bytes(name.encode())
    path.rename(tmp_path / "moved.png")
    moved = {
        "photo": {"sources": (str(tmp_path / "moved.png"),)},
        "cat": {"refs": (str(tmp_path / "moved.png"),)},
        "mask": {"mask": str(tmp_path / "moved.png")},
    }
    assert find(replace(config, **moved[name])) == before  # type: ignore[arg-type]
    assert find(config) != before  # and a file that is missing is no file of that content


def test_roles_do_not_mix(config: EditConfig) -> None:
    swapped = replace(config, sources=config.refs, refs=config.sources)
    as_ref_mask = replace(config, mask=None, ref_mask=config.mask, localize="auto", prompt="a cat")
    plain = replace(config, mask=None, ref_mask=None, localize="auto", prompt="a cat")
    assert len({find(c) for c in (config, swapped, as_ref_mask, plain)}) == 4
    hole = replace(config, sources=())
    assert find(hole) != find(config)


def test_weights_count(config: EditConfig) -> None:
    assert find(config) != find(config, "1" * 64)


def test_known_inputs_of_the_same_size_and_time_are_not_read(
    config: EditConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Digests().get_inputs(config)
    assert first["source"]["size"] == 5 and len(first["source"]["sha256"]) == 64
    read: list[str] = []
    hash_file = fingerprints.hash_file
    monkeypatch.setattr(fingerprints, "hash_file", lambda path: read.append(str(path)) or hash_file(path))  # type: ignore[func-returns-value]
    assert Digests().get_inputs(config, first) == first and read == []
    os.utime(tmp_path / "cat.png", ns=(7, 7))
    again = Digests().get_inputs(config, first)
    assert read == [str(tmp_path / "cat.png")]
    assert again["ref"]["sha256"] == first["ref"]["sha256"] and again["ref"]["mtime_ns"] == 7
    for damaged in ({"source": "x"}, {"source": {"size": 5}}, {"source": None}):
        assert Digests().get_inputs(config, damaged)["source"] == first["source"]


def test_an_input_for_all_is_read_once(config: EditConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    hash_file = fingerprints.hash_file
    monkeypatch.setattr(
        fingerprints, "hash_file", lambda path: read.append(Path(path).name) or hash_file(path)
    )  # type: ignore[func-returns-value]
    digests = Digests()
    assert digests.get_inputs(config) == digests.get_inputs(config)
    assert read == ["photo.png", "cat.png", "mask.png"]
    Path(config.sources[0]).write_bytes(b"longer than before")
    digests.get_inputs(config)
    assert read[3:] == ["photo.png"]


def test_pipes_and_addresses_are_not_opened(config: EditConfig, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    named = replace(config, sources=(str(tmp_path / "pipe"),), mask="-")
    assert Digests().get_inputs(named) | {"ref": {}} == {
        "source": {"text": ""},
        "ref": {},
        "mask": {"text": "-"},
    }
    box = replace(config, sources=("https://example.org/a.png",), mask="BOX:0,0,4,4", allow_urls=True)
    found = Digests().get_inputs(box)
    assert found["source"] == {"text": "https://example.org/a.png"} and found["mask"] == {
        "text": "BOX:0,0,4,4"
    }


def test_model_and_adapters_count_by_what_they_hold(config: EditConfig, tmp_path: Path) -> None:
    plain = hash_model(config)
    assert plain == hash_model(replace(config, prompt="x")) and len(plain) == 64
    assert hash_model(replace(config, adapter=("none",))) != plain
    model = tmp_path / "model"
    (model / "transformer").mkdir(parents=True)
    (model / "transformer" / "w.safetensors").write_bytes(b"weights")
    (model / "a2_traits.json").write_text("{}")
    own = replace(config, model=str(model), adapter=("none",))
    seen = {hash_model(own)}
    (model / "a2_traits.json").write_text('{"steps": 3}')
    seen.add(hash_model(own))
    (model / "transformer" / "w.safetensors").write_bytes(b"Weights")
    seen.add(hash_model(own))
    (tmp_path / "adapter").mkdir()
    adapted = replace(own, adapter=(str(tmp_path / "adapter"),))
    for data in (b"a", b"b"):
        (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(data)
        seen.add(hash_model(adapted))
    assert len(seen) == 5
    assert hash_model(replace(config, model="owner/name")) != hash_model(replace(config, model="owner/other"))
    with pytest.raises(BackboneError, match="no-such"):
        hash_model(replace(config, backbone="no-such"))
    with pytest.raises(CheckpointError, match="no such folder"):
        hash_model(replace(config, adapter=("/no/such", "/nor/this")))
