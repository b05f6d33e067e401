"""The same stages on a Ray cluster, GPU stages in actors of their own."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from pathlib import Path

from a2cli.building.chain import Progress, is_gpu_stage, list_stages
from a2cli.building.config import BuildConfig
from a2cli.building.pool import Pool
from a2cli.supervised import cluster as supervised


class RayPool(supervised.RayPool[Progress, Progress]):
    """Takes tasks through the stages on `config.workers` actors a group of stages; a context manager."""

    def __init__(self, config: BuildConfig, cache: Path) -> None:
        stages = [
            supervised.Stage(partial(Pool, config, cache, names, workers=1), gpu)
            for gpu, names in group_stages(config)
        ]
        super().__init__(stages, workers=config.workers, address=config.address)


def group_stages(config: BuildConfig) -> list[tuple[bool, tuple[str, ...]]]:
    """The stages in runs that want a GPU or do not: (wants one, names)."""
    runs = groupby(list_stages(config), key=lambda name: is_gpu_stage(name, config))
    return [(gpu, tuple(names)) for gpu, names in runs]
