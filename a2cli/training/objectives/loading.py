"""Batches made by worker processes, in an order that depends on the step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset


class StepDataset(Dataset[dict[str, Any]]):
    """The batches of a run as a data set whose item number is the step."""

    def __init__(self, make: Callable[[int], dict[str, Any]], start: int, stop: int) -> None:
        self.make, self.start, self.stop = make, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.make(self.start + index)


def iterate_steps(
    make: Callable[[int], dict[str, Any]], start: int, stop: int, workers: int
) -> Iterator[dict[str, Any]]:
    """Yield `make(step)` for every step, made ahead by `workers` processes (0: in this one)."""
    if workers:
        cv2.setNumThreads(
            1
        )  # a forked process inherits OpenCV's pool without its threads, and waits for them
    loader: DataLoader[dict[str, Any]] = DataLoader(
        StepDataset(make, start, stop),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_use_one_thread,
    )
    return iter(loader)


def _use_one_thread(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
