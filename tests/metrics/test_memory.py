"""The features that are remembered: found by content alone, and never more than agreed."""

from __future__ import annotations

import numpy as np

from a2cli.metrics.memory import FeatureMemory, get_content_key


def test_the_one_used_longest_ago_goes() -> None:
    memory = FeatureMemory(2)
    features = {name: np.array([i], np.float32) for i, name in enumerate((b"a", b"b", b"c"))}
    memory.keep(b"a", features[b"a"])
    memory.keep(b"b", features[b"b"])
    assert memory.find(b"a") is features[b"a"]
    memory.keep(b"c", features[b"c"])
    assert memory.find(b"b") is None and len(memory) == 2
    assert memory.find(b"a") is features[b"a"] and memory.find(b"c") is features[b"c"]


def test_keys_tell_contents_apart() -> None:
    rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert get_content_key(rgb) == get_content_key(rgb.copy())
    assert get_content_key(rgb[:, ::2]) == get_content_key(rgb[:, ::2].copy())  # however it lies in memory
    others = [rgb.reshape(4, 2, 3), rgb + 1, rgb[:, :3], "", "a sofa", "a sofa ", "\udcff"]
    assert len({get_content_key(content) for content in (rgb, *others)}) == 8
