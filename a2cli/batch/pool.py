"""Edits in local worker processes, one model each, spread over the GPUs there are."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from a2cli.batch.job import Job
from a2cli.batch.worker import Outcome
from a2cli.config.edit import EditConfig
from a2cli.supervised import pool as supervised

THREADS = "OMP_NUM_THREADS"
log = logging.getLogger(__name__)
_HINTS = {
    "took too long": "a longer --timeout; a worker's first edit loads the model",
    "crashed its worker": "check the memory; try it alone, or with fewer --workers",
}


class LocalPool(supervised.Pool[Job, Outcome]):
    """`workers` processes (None: as the settings say) that edit; a context manager.

    An edit that crashes its worker or takes too long is an Outcome like any other. All workers, and a run without any,
    use as many threads for one edit: sums made by other numbers of threads differ in their last bits.
    """

    def __init__(self, config: EditConfig, workers: int | None = None) -> None:
        rules = supervised.Rules(
            workers or config.batch.workers,
            config.batch.timeout_s,
            config.batch.retries,
            share_threads=False,
            rolls_back=True,
        )
        warn_of_threads(config.device, rules.workers)
        super().__init__(partial(_build_worker, config), rules, _put_aside)


def get_worker_device(device: str, slot: int, gpus: int) -> str:
    """The device of the worker in a slot: GPUs in turn where none is named, else what is named."""
    return f"cuda:{slot % gpus}" if gpus and device in ("auto", "cuda") else device


def _build_worker(config: EditConfig, slot: int) -> Callable[[Job], Outcome]:
    import torch

    from a2cli.batch.worker import Worker

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("a2: warning: %(message)s"))
    handler.setLevel(logging.ERROR if config.quiet else logging.WARNING)
    logging.getLogger("a2cli").addHandler(handler)
    return Worker(replace(config, device=get_worker_device(config.device, slot, torch.cuda.device_count())))


def warn_of_threads(device: str, workers: int) -> None:
    """Log a warning where so many workers have more threads than there are cores, which then wait for each other."""
    cores = os.cpu_count() or 1
    threads = int(own) if (own := os.environ.get(THREADS, "")).isdigit() else cores
    if workers * threads <= cores or workers == 1 or device.startswith("cuda"):
        return
    import torch

    if device != "auto" or not torch.cuda.is_available():
        log.warning(
            "%d workers of %d threads share %d cores; %s=1 is faster, for all runs that are to give equal pictures",
            workers,
            threads,
            cores,
            THREADS,
        )


def _put_aside(job: Job, reason: str, detail: str) -> Outcome:
    return Outcome(job, error=f"{reason}: {detail}", kind="worker", hint=_HINTS[reason])
