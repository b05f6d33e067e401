"""Metrics run in full float32 and leave the settings of PyTorch as they found them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from a2cli.metrics.precision import run_exactly


@pytest.fixture
def loose() -> Iterator[None]:
    """Settings a training run may have left behind."""
    cudnn, before = torch.backends.cudnn, torch.get_float32_matmul_precision()
    with cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
        torch.set_float32_matmul_precision("high")
        yield
        torch.set_float32_matmul_precision(before)


def get_settings() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return (
        cudnn.allow_tf32,
        cudnn.benchmark,
        cudnn.deterministic,
        torch.get_float32_matmul_precision(),
        torch.is_inference_mode_enabled(),
    )


def test_nothing_is_rounded_inside_and_nothing_is_changed_outside(loose: None) -> None:
    assert get_settings() == (True, True, False, "high", False)
    with run_exactly():
        assert get_settings() == (False, False, True, "highest", True)
    assert get_settings() == (True, True, False, "high", False)
    with pytest.raises(ValueError, match="inside"), run_exactly():
        raise ValueError("inside")
    assert get_settings() == (True, True, False, "high", False)
