"""Micro-batches made ahead by worker processes, in an order that depends on their number alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from a2cli.errors import A2Error

_FAILED = "a2 error"  # key of what stands in for a batch that could not be made


class BatchDataset(Dataset[dict[str, Any]]):
    """The micro-batches of a run as a data set whose item number is the micro-batch's."""

    def __init__(self, make: Callable[[int], dict[str, Any]], start: int, stop: int) -> None:
        self.make, self.start, self.stop = make, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            return self.make(self.start + index)
        except (
            A2Error
        ) as error:  # torch would wrap it into a traceback, and the run would wait for its loaders
            return {_FAILED: (type(error), error.message, error.hint)}


def iterate_batches(
    make: Callable[[int], dict[str, Any]], start: int, stop: int, workers: int, *, pin: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield `make(number)` from `start` to `stop`, made ahead by `workers` processes (0: in this one).

    `pin` puts tensors into memory a GPU copies from faster.
    """
    if workers:
        # A forked process inherits OpenCV's pool without its threads, and waits for them.
        cv2.setNumThreads(1)
    loader: DataLoader[dict[str, Any]] = DataLoader(
        BatchDataset(make, start, stop),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_start_worker,
        pin_memory=pin,
    )
    for batch in loader:
        if _FAILED in batch:
            kind, message, hint = batch[_FAILED]
            raise kind(message, hint=hint)
        yield batch


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    # Terminals and service managers tell a whole group to stop: the run finishes its step first, and needs batches
    # for that. In a group of its own a loader process ends when the run says so, or finds the run gone.
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
