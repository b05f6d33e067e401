"""Encodings on disk: found by content, never stale, never of other weights."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from a2cli.errors import BackboneError
from a2cli.training.encodings import EncodingCache, get_encoder_digest


class Encoder:
    """Doubles what it sees, and remembers what that was."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, inputs: list[str] | torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.seen.append(len(inputs))
        if isinstance(inputs, torch.Tensor):
            return (inputs * 2,)
        return torch.tensor([[float(len(text))] for text in inputs]), torch.ones(len(inputs), 2)


def open_cache(folder: Path, *, seed: int = 0, kinds: tuple[str, ...] = ("text", "image")) -> EncodingCache:
    torch.manual_seed(seed)
    return EncodingCache(folder, {"encoder": nn.Linear(3, 3)}, kinds)


def test_what_is_known_is_not_encoded_again(tmp_path: Path) -> None:
    encode, cache = Encoder(), open_cache(tmp_path)
    first = cache.recall("text", ["a", "bb", "a"], encode)
    again = open_cache(tmp_path).recall("text", ["bb", "a"], encode)
    assert first[0].flatten().tolist() == [1, 2, 1] and again[0].flatten().tolist() == [2, 1]
    assert again[1].shape == (2, 2)
    mixed = cache.recall("text", ["ccc", "bb"], encode)
    assert mixed[0].flatten().tolist() == [3, 2]
    assert encode.seen == [3, 1] and (cache.hits, cache.misses) == (1, 4)


def test_a_changed_picture_is_encoded_anew(tmp_path: Path) -> None:
    encode, cache = Encoder(), open_cache(tmp_path)
    pictures = torch.rand(2, 3, 4, 4)
    cache.recall("image", pictures, encode)
    changed = pictures.clone()
    changed[1, 0, 0, 0] += 1 / 255
    assert torch.equal(cache.recall("image", changed, encode)[0], changed * 2)
    assert encode.seen == [2, 1]


def test_other_encoders_have_another_folder_and_the_old_one_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encode = Encoder()
    open_cache(tmp_path).recall("text", ["a"], encode)
    with caplog.at_level(logging.WARNING, "a2cli"):
        other = open_cache(tmp_path, seed=1)
    assert "1 stale cache(s)" in caplog.text and str(tmp_path) in caplog.text
    other.recall("text", ["a"], encode)
    assert encode.seen == [1, 1]


def test_kinds_that_are_not_cached_are_computed(tmp_path: Path) -> None:
    encode, cache = Encoder(), open_cache(tmp_path, kinds=("image",))
    cache.recall("text", ["a"], encode)
    cache.recall("text", ["a"], encode)
    assert encode.seen == [1, 1] and not any(tmp_path.rglob("*.safetensors"))


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    encode, cache = Encoder(), open_cache(tmp_path)
    cache.recall("text", ["a"], encode)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:20])
    assert cache.recall("text", ["a"], encode)[0].item() == 1 and encode.seen == [1, 1]
    assert cache.recall("text", ["a"], encode)[0].item() == 1 and encode.seen == [1, 1]


def test_an_unknown_row_of_an_encoder_that_is_gone_is_named(tmp_path: Path) -> None:
    encode, cache = Encoder(), open_cache(tmp_path)
    cache.recall("text", ["a"], encode)
    cache.close(["text"])
    cache.recall("text", ["a"], encode)
    with pytest.raises(BackboneError, match="no text encoding"):
        cache.recall("text", ["b"], encode)


def test_the_digest_sees_weights_names_and_types() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(40, 40)
    same = nn.Linear(40, 40)
    same.load_state_dict(layer.state_dict())
    digest = get_encoder_digest({"a": layer})
    assert get_encoder_digest({"a": same}) == digest
    assert get_encoder_digest({"b": same}) != digest
    assert get_encoder_digest({"a": same.half()}) != digest
    with torch.no_grad():
        layer.weight.add_(1e-3)
    assert get_encoder_digest({"a": layer}) != digest
