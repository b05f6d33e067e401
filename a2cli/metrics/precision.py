"""How the metrics' networks are run: float32 throughout, the same way every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def run_exactly() -> Iterator[None]:
    """Inference in full float32 for the block: no TF32, whose 10 bits PyTorch allows convolutions on CUDA by default,
    and no algorithm chosen by timing, so that a value comes out the same in every run.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), flags:
            yield
    finally:
        torch.set_float32_matmul_precision(before)
