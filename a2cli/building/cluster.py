"""The same stages on a Ray cluster: Ray Data streams tasks through actors, GPU stages in actors of their own.

Inside an actor a supervised process does the work, so that a crash or a hang costs one record, as it does here.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from a2cli.building.chain import Progress, is_gpu_stage, list_stages
from a2cli.building.config import BuildConfig
from a2cli.building.pool import Pool
from a2cli.errors import A2Error, ConfigError, DataError


class RayPool:
    """Takes tasks through the stages on `config.workers` actors a group of stages; a context manager."""

    def __init__(self, config: BuildConfig, cache: Path) -> None:
        try:
            import ray
        except ImportError as error:
            raise DataError("Ray is not installed", hint="pip install 'a2cli[ray]'") from error
        self.config, self.cache = config, cache
        self._started = not ray.is_initialized()
        if self._started:
            _connect(ray, config)

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        import ray

        if self._started:
            ray.shutdown()

    def map(self, tasks: Iterable[Progress]) -> Iterator[Progress]:
        """Take tasks through the stages; results come in the order of the tasks."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it sets its own level when it is imported
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = [{"task": progress} for progress in tasks]
        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), 8 * self.config.workers))
        for gpu, names in group_stages(self.config):
            data = data.map(
                StageActor,
                fn_constructor_args=(self.config, self.cache, names),
                compute=ray.data.ActorPoolStrategy(size=self.config.workers),
                num_gpus=1 if gpu and ray.cluster_resources().get("GPU") else 0,
                num_cpus=1,
            )
        try:
            for row in data.iter_rows():
                yield row["task"]
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, A2Error):
                raise error.cause from None
            raise


class StageActor:
    """Some stages in a Ray actor."""

    def __init__(self, config: BuildConfig, cache: Path, names: tuple[str, ...]) -> None:
        self.pool = Pool(config, cache, names, workers=1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Take one task on."""
        (progress,) = self.pool.map([row["task"]])
        return {"task": progress}


def group_stages(config: BuildConfig) -> list[tuple[bool, tuple[str, ...]]]:
    """The stages in runs that want a GPU or do not: (wants one, names)."""
    runs = groupby(list_stages(config), key=lambda name: is_gpu_stage(name, config))
    return [(gpu, tuple(names)) for gpu, names in runs]


def _connect(ray: Any, config: BuildConfig) -> None:
    terminate = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(
            address=config.address,
            num_cpus=None if config.address else max(config.workers, os.cpu_count() or 1),
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
        )
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)  # Ray has put its own there
    except SystemExit as error:  # its own, which exits with 15
        raise SystemExit(128 + signal.SIGTERM) from error
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = config.address or "this machine"
        raise ConfigError(
            f"no Ray cluster at {where}: {' '.join(str(error).split())}",
            hint="start one with ray start --head",
        ) from error
