"""Edits on a Ray cluster: the same workers in actors, the same records, on folders that all machines see."""

from __future__ import annotations

import os
from functools import partial

from a2cli import __version__
from a2cli.batch.job import Job
from a2cli.batch.pool import LocalPool
from a2cli.batch.worker import Outcome
from a2cli.config.edit import EditConfig
from a2cli.errors import ConfigError
from a2cli.supervised import cluster as supervised


class RayPool(supervised.RayPool[Job, Outcome]):
    """Edits on `workers` actors, each with a GPU or its part of one; a context manager.

    Paths mean what they mean here: every actor works in this process's folder. Raises `ConfigError` for a cluster that
    does not answer, has no such folder or runs another version of a2, `DataError` without Ray.
    """

    def __init__(self, config: EditConfig) -> None:
        stage = supervised.Stage(
            partial(_open_pool, config, os.getcwd(), __version__), gpu=config.device != "cpu"
        )
        super().__init__([stage], workers=config.batch.workers, address=config.batch.address)


def _open_pool(config: EditConfig, folder: str, version: str) -> LocalPool:
    if version != __version__:
        raise ConfigError(
            f"the cluster runs a2 {__version__}, this is {version}",
            hint="install one version on all machines",
        )
    try:
        os.chdir(folder)
    except OSError as error:
        raise ConfigError(
            f"{folder}: a machine of the cluster does not see it: {error.strerror}",
            hint="work in a folder that all machines share",
        ) from error
    return LocalPool(config, workers=1)
