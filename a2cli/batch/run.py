"""A whole batch: planned, made item by item, recorded, so that whatever stops it loses nothing that was done.

Without `--resume` and `--skip-existing` everything is made anew. Several processes may run on one folder: each leaves
alone what another has in hand, and looks again at the end whether it was done.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from a2cli.batch.job import Job, Refusal, get_job_config
from a2cli.batch.plan import Plan, plan_jobs
from a2cli.batch.preview import Preview
from a2cli.batch.store import REFUSED, Store
from a2cli.batch.worker import FATAL, Outcome, Worker
from a2cli.config.edit import EditConfig
from a2cli.engine.edit import run_edit
from a2cli.errors import A2Error, BackboneError, DataError
from a2cli.files import make_folder, remove_stale

if TYPE_CHECKING:
    from a2cli.engine.edit import Note
    from a2cli.supervised.pool import Engine

Show = Callable[[str, int, int | None], None]
SAME_FAILURES = 5  # of one kind in a row, after which it is the model or the machine and not the item
LOOK_AGAIN = 0.5  # seconds between looks at what another process has in hand
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Serial:
    """Everything in this process, one after another."""

    def __init__(self, config: EditConfig, note: Note | None = None) -> None:
        self._worker = Worker(config, note)

    def __enter__(self) -> Serial:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        pass

    def map(self, tasks: Iterable[Job]) -> Iterator[Outcome]:
        return map(self._worker, tasks)


def open_engine(config: EditConfig, note: Note | None = None) -> Engine[Job, Outcome]:
    """What takes jobs to their outcomes: this process, worker processes, or actors on a Ray cluster."""
    if config.batch.engine == "ray":
        from a2cli.batch.cluster import RayPool

        return RayPool(config)
    if config.batch.workers > 1:
        from a2cli.batch.pool import LocalPool

        return LocalPool(config)
    return Serial(config, note)


def run_batch(
    config: EditConfig, stdin: Callable[[], bytes], show: Show | None = None, note: Note | None = None
) -> Generator[Outcome, None, None]:
    """Run what a command line asks for; yields an outcome an item, in the order of the plan.

    `show(label, done, total)` sees the progress; `stdin` gives a manifest that comes that way. A plain edit runs as
    `run_edit` does: it raises `A2Error`, keeps no records, and `note` is told where its region was found. Of several
    items each that fails is an outcome with an `error` and a row of failures.jsonl. `A2Error` then is for what no item
    can do without: the model, the disk, SAME_FAILURES in a row. The first SIGINT or SIGTERM rolls the present item back
    and raises `KeyboardInterrupt` or `SystemExit`; a second one ends the process at once.
    """
    plan = plan_jobs(config, stdin)
    with _stop_at_signals():
        yield from _run_one(config, plan, show, note) if plan.single else _run_many(config, plan, show, note)


def _run_one(config: EditConfig, plan: Plan, show: Show | None, note: Note | None) -> Iterator[Outcome]:
    for item in plan:
        if isinstance(item, Refusal):
            raise DataError(item.reason)
        yield Outcome(item, tuple(run_edit(get_job_config(config, item), show, note)))


def _run_many(config: EditConfig, plan: Plan, show: Show | None, note: Note | None) -> Iterator[Outcome]:
    recorder = _Recorder(config, plan)
    try:
        with open_engine(config, note) as engine:
            for done, outcome in enumerate(recorder.follow(engine), start=1):
                if show:
                    show("items", done, plan.total)
                yield outcome
        recorder.close(complete=True)
    finally:
        recorder.close(complete=False)


class _Recorder:
    """Follows the items of a plan through an engine and keeps the records that are not the workers'."""

    def __init__(self, config: EditConfig, plan: Plan) -> None:
        batch = config.batch
        self._plan, self._manifest = plan, batch.manifest
        self._whole = batch.limit is None and batch.shard is None
        self._preview = Preview(batch.preview) if batch.preview and not config.dry_run else None
        self._store = None if config.dry_run else Store(plan.records)
        self._refused: set[int] = set()  # lines of the manifest
        self._folders: set[str] = set()
        self._later: list[Job] = []
        self._same: deque[str] = deque(maxlen=SAME_FAILURES)
        self._open = True
        if self._store is not None:
            make_folder(plan.records)
            self._store.settle()

    def follow(self, engine: Engine[Job, Outcome]) -> Iterator[Outcome]:
        """Every item's outcome, each recorded before it is told; those in another process's hands come last."""
        waiting: deque[Refusal | None] = deque()  # items on their way, None for a job

        def list_jobs() -> Iterator[Job]:
            for item in self._plan:
                waiting.append(item if isinstance(item, Refusal) else None)
                if isinstance(item, Job):
                    if self._preview is not None:
                        for path in (item.source, item.ref, item.mask, item.ref_mask):
                            self._preview.check_input(path)
                    yield item

        def list_refusals() -> Iterator[Outcome]:
            while waiting and (refusal := waiting[0]) is not None:
                waiting.popleft()
                yield self._refuse(refusal)

        for outcome in engine.map(list_jobs()):
            yield from list_refusals()
            waiting.popleft()
            if outcome.kind == "busy":
                self._later.append(outcome.job)
            else:
                yield self._record(outcome)
        yield from list_refusals()
        while self._later:
            jobs, self._later = self._later, []
            for outcome in engine.map(jobs):
                if outcome.kind == "busy":
                    self._later.append(outcome.job)
                else:
                    yield self._record(outcome)
            if self._later:
                time.sleep(LOOK_AGAIN)

    def close(self, *, complete: bool) -> None:
        """Bring the records in order; `complete`: the plan came to its end."""
        if not self._open:
            return
        self._open = False
        if self._store is not None:
            refused = self._refused if complete and self._whole else None
            self._store.settle(manifest=self._manifest, refused=refused)
            self._store.locks.clear()
            for folder in sorted(self._folders):
                remove_stale(Path(folder))
        if self._preview is not None and complete:
            self._preview.save()

    def _refuse(self, refusal: Refusal) -> Outcome:
        if refusal.line is not None:
            self._refused.add(refusal.line)
        job = Job(refusal.id, None, "", None)
        return self._record(Outcome(job, error=refusal.reason, kind="refused", line=refusal.line))

    def _record(self, outcome: Outcome) -> Outcome:
        if outcome.kind in FATAL:
            raise (BackboneError if outcome.kind == "model" else DataError)(
                outcome.error or outcome.kind, hint=outcome.hint
            )
        if outcome.error is not None and self._store is not None:
            self._store.add_failure(self._build_row(outcome))
        self._folders.update(os.path.dirname(result.path) for result in outcome.results)
        if self._preview is not None:
            self._preview.add(outcome)
        self._count_same(outcome)
        return outcome

    def _build_row(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "id": outcome.job.id,
            "source": outcome.job.source,
            "line": outcome.line,
            "manifest": self._manifest if outcome.kind == REFUSED else None,
            "kind": outcome.kind,
            "reason": outcome.error,
            "hint": outcome.hint,
            "finished": round(time.time(), 3),
        }

    def _count_same(self, outcome: Outcome) -> None:
        """Raise `A2Error` where one item after another fails in a way that is not the items'."""
        if outcome.kind not in ("unexpected", "worker"):
            if outcome.error is None and not outcome.skipped:  # nothing else shows that the model works
                self._same.clear()
            return
        own = (outcome.job.source or "\0", os.path.basename(outcome.job.source or "\0"))
        reason = outcome.error or ""
        for name in own:
            reason = reason.replace(name, "")
        if self._same and self._same[-1] != reason:
            self._same.clear()
        self._same.append(reason)
        if len(self._same) == SAME_FAILURES:
            raise A2Error(
                f"stopped: {SAME_FAILURES} items in a row failed alike, the last: {outcome.error}",
                hint="what was done stays; --resume goes on",
            )


@contextmanager
def _stop_at_signals() -> Iterator[None]:
    """Let the first SIGINT or SIGTERM unwind what runs, and a second one end the process without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped = False

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal stopped
        if stopped:
            os._exit(EXIT_CODES[signal.Signals(number)])
        stopped = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(EXIT_CODES[signal.SIGTERM])

    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup and a shell's background jobs set it
            signal.signal(number, stop)
    try:
        yield
    finally:
        if not stopped:  # else a second signal is to end it, until the end
            for number, handler in before.items():
                signal.signal(number, handler)
