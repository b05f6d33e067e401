"""Supervised worker processes for a build: an input that crashes or hangs its worker becomes a reject."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from a2cli.building.chain import Chain, Progress
from a2cli.building.config import BuildConfig
from a2cli.building.records import Item, Reject
from a2cli.supervised import pool as supervised

AHEAD = supervised.AHEAD
Engine = supervised.Engine[Progress, Progress]


class Pool(supervised.Pool[Progress, Progress]):
    """`workers` processes that take tasks through the stages `names`; a context manager."""

    def __init__(
        self,
        config: BuildConfig,
        cache: Path,
        names: tuple[str, ...] | None = None,
        workers: int | None = None,
    ) -> None:
        rules = supervised.Rules(workers or config.workers, config.timeout_s, config.retries)
        super().__init__(partial(_build_chain, config, cache, names), rules, _put_aside)


def _build_chain(config: BuildConfig, cache: Path, names: tuple[str, ...] | None, slot: int) -> Chain:
    return Chain(config, cache, names)


def _put_aside(progress: Progress, reason: str, detail: str) -> Progress:
    state = progress.state
    dropped = state.dropped if isinstance(state, Item) else {}
    reject = Reject(progress.task.input.id, "worker", reason, detail, dropped, failed=True)
    return Progress(progress.task, reject, progress.seconds)
