"""Which samples a micro-batch holds, and the seed of a sample's noise: pure functions of numbers."""

from __future__ import annotations

import numpy as np


def get_samples(
    step: int, micro: int, *, batch_size: int, accumulation: int, rank: int = 0, processes: int = 1
) -> range:
    """Numbers of the samples one process sees in one micro-batch of a step, all 0-based.

    The samples of a step are the same however they are spread over processes and micro-batches, as long as
    batch_size x accumulation x processes is.
    """
    first = ((step * accumulation + micro) * processes + rank) * batch_size
    return range(first, first + batch_size)


def get_seed(seed: int, purpose: int, sample: int) -> int:
    """A seed in [0, 2^63) for one purpose (noise, levels, masks ...) of one sample of a run."""
    state = np.random.SeedSequence([seed, purpose, sample]).generate_state(1, np.uint64)
    return int(state[0]) >> 1
