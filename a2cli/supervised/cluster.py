"""The same work on a Ray cluster: Ray Data streams tasks through actors, in one stage after the other.

Inside an actor a supervised process does the work, so that a crash or a hang costs one task, as it does here.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.supervised.pool import Pool, Result, Task

MOST_BLOCKS = 2000  # of tasks that travel together: few, so that results come early, but not too many for Ray
THREADS = "OMP_NUM_THREADS"
KNOCK_S = 10


@dataclass(frozen=True)
class Stage:
    """What one kind of actor does: `open_pool()` is called in each of them, `gpu` says whether it wants one."""

    open_pool: Callable[[], Pool[Any, Any]]
    gpu: bool = False


class RayPool(Generic[Task, Result]):
    """Takes tasks through stages on `workers` actors each; a context manager.

    `address` None makes a cluster of this machine for the length of the block. Raises `DataError` without Ray,
    `ConfigError` where no cluster answers.
    """

    def __init__(self, stages: Sequence[Stage], *, workers: int, address: str | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise DataError("Ray is not installed", hint="pip install 'a2cli[ray]'") from error
        self.stages, self.workers = stages, workers
        self._started = not ray.is_initialized()
        if self._started:
            _connect(ray, address, workers)

    def __enter__(self) -> RayPool[Task, Result]:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        import ray

        if self._started:
            ray.shutdown()

    def map(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Do tasks; results come one by one, in the order of the tasks. All tasks are listed first."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it sets its own level when it is imported
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = [{"task": task} for task in tasks]
        if not rows:
            return
        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS))
        for stage in self.stages:
            data = data.map(
                _Actor,
                fn_constructor_args=(stage, os.environ.get(THREADS)),
                compute=ray.data.ActorPoolStrategy(size=self.workers),
                num_gpus=get_gpu_share(ray.cluster_resources().get("GPU", 0), self.workers)
                if stage.gpu
                else 0,
                num_cpus=1,
            )
        try:
            for row in data.iter_rows():
                yield row["task"]
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, A2Error):
                raise error.cause from None
            raise


def get_gpu_share(gpus: float, workers: int) -> float:
    """How much of a GPU one of so many workers takes: a whole one, a fraction where there are too few, or 0."""
    if gpus < 1:
        return 0.0
    return 1 / max(1, -(-workers // int(gpus)))


class _Actor:
    """One stage in a Ray actor, with the threads that the driver's processes have: Ray allows one a CPU asked for."""

    def __init__(self, stage: Stage, threads: str | None) -> None:
        os.environ.pop(THREADS, None)
        if threads is not None:
            os.environ[THREADS] = threads
        self.pool: Pool[Any, Any] | A2Error
        try:
            self.pool = stage.open_pool()
        except A2Error as error:  # raised here, Ray would try again elsewhere and lose the words
            self.pool = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Take one task on."""
        if isinstance(self.pool, A2Error):
            raise self.pool
        (result,) = self.pool.map([row["task"]])
        return {"task": result}


def _connect(ray: Any, address: str | None, workers: int) -> None:
    terminate = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        _knock(address or "")
        ray.init(
            address=address,
            num_cpus=None if address else max(workers, os.cpu_count() or 1),
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
        )
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)  # Ray has put its own there
    except SystemExit as error:  # its own, which exits with 15
        raise SystemExit(128 + signal.SIGTERM) from error
    except (OSError, ValueError, RuntimeError) as error:
        where = address or "this machine"
        raise ConfigError(
            f"no Ray cluster at {where}: {' '.join(str(error).split())}",
            hint="start one with ray start --head",
        ) from error


def _knock(address: str) -> None:
    """Raise `OSError` where nobody listens at HOST:PORT; Ray itself would go on asking for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
