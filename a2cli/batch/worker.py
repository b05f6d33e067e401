"""One item of a batch after another, on one model: made, left alone where it is done, or put aside with the reason."""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from a2cli import __version__
from a2cli.batch.fingerprint import Digest, Digests, get_fingerprint, hash_model
from a2cli.batch.job import Job, get_job_config
from a2cli.batch.memory import free_memory, get_relief, is_out_of_memory
from a2cli.batch.plan import get_records_folder
from a2cli.batch.preview import draw_done, draw_look
from a2cli.batch.store import Row, Store, get_time
from a2cli.config.edit import EditConfig
from a2cli.engine.edit import Editor, EditResult, Look, Note
from a2cli.engine.outputs import get_output_paths
from a2cli.engine.sheet import Cell
from a2cli.errors import A2Error, DataError
from a2cli.files import show_name

Kind = Literal["", "refused", "data", "memory", "unexpected", "worker", "busy", "model", "disk"]
FATAL: tuple[Kind, ...] = ("model", "disk")  # no other item would fare better
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_SHOWN = ("source", "seed", "width", "height", "region_share", "seconds")  # of a result, in its row
LIGHTER = "--vram SIZE, --offload model or --quantize holds it in less; so does a smaller --num-images"


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    results: a picture each; empty where `error` says why there is none, with a remedy in `hint`. kind: "" done;
    "refused" by the plan, at `line` of the manifest; "data", what it is made from cannot be used; "memory";
    "unexpected"; "worker", a process that crashed or hung; "busy", held by another process; "model" and "disk" stop
    the run. skipped: it was done before. retried: with what it was made after memory ran out. preview: its row of a
    contact sheet.
    """

    job: Job
    results: tuple[EditResult, ...] = ()
    error: str | None = None
    hint: str = ""
    kind: Kind = ""
    fingerprint: str = ""
    skipped: bool = False
    retried: str = ""
    seconds: float = 0
    line: int | None = None
    preview: tuple[Cell, ...] = ()


class Worker:
    """Takes jobs, one at a time, and never raises for one; the model is loaded when a job first needs it.

    A row of results.jsonl is written while the item is held, so that processes that share a folder share the work.
    `note` is told how the model is made to fit the memory.
    """

    def __init__(self, config: EditConfig, note: Note | None = None) -> None:
        self._config = config
        self._editor = Editor(config, note)
        self._digests = Digests()
        self._store = Store(get_records_folder(config))
        self._weights: str | None = None
        self._began = time.time()

    def __call__(self, job: Job) -> Outcome:
        """Make one item, unless it is done."""
        began = time.monotonic()
        try:
            outcome = self._take(job)
        except Exception as error:
            if os.environ.get("A2_DEBUG") == "1":
                traceback.print_exception(error)
            outcome = self._explain(job, error)
        return replace(outcome, seconds=round(time.monotonic() - began, 3))

    def _take(self, job: Job) -> Outcome:
        config = get_job_config(self._config, job)
        if config.dry_run:
            return Outcome(job, tuple(self._editor.edit(config)))
        with self._store.locks.claim(job.id) as held:
            return self._make(job, config) if held else Outcome(job, kind="busy")

    def _make(self, job: Job, config: EditConfig) -> Outcome:
        batch, rows = self._config.batch, self._store.find_results(job.id)
        meanwhile = bool(rows) and get_time(rows[0]) >= self._began  # by a process beside this one
        trusted = rows[0].get("inputs") if rows and (batch.resume or meanwhile) else None
        inputs = self._digests.get_inputs(config, trusted if isinstance(trusted, dict) else None)
        fingerprint = get_fingerprint(config, inputs, self._hash_model())
        if batch.resume or batch.skip_existing or meanwhile:
            results = self._read_done(config, rows, fingerprint)
            if results:
                cells = draw_done(results[0]) if batch.preview else ()
                return Outcome(job, results, fingerprint=fingerprint, skipped=True, preview=cells)
        looks: list[Look] = []
        results, retried = self._edit(config, looks)
        try:
            self._store.add_results(self._build_rows(job, config, results, inputs, fingerprint, retried))
        except A2Error as error:
            return Outcome(job, error=error.message, hint=error.hint, kind="disk")
        cells = draw_look(looks[0]) if looks else ()
        return Outcome(job, results, fingerprint=fingerprint, retried=retried, preview=cells)

    def _edit(self, config: EditConfig, looks: list[Look]) -> tuple[tuple[EditResult, ...], str]:
        """The results, and with what they were made if not with the usual: out of memory is tried once more."""
        look = looks.append if self._config.batch.preview else None
        try:
            return tuple(self._editor.edit(config, look=look)), ""
        except Exception as error:
            if self._editor.failed or not is_out_of_memory(error):
                raise
        free_memory()  # outside the block: its traceback holds the tensors
        relief = get_relief(self._config, self._editor)
        if relief is None:
            raise MemoryError("and there is no smaller size")
        try:
            results = tuple(relief.editor.edit(config, look=look, working=relief.working))
        except Exception as error:
            reason = "" if is_out_of_memory(error) else f": {_get_reason(error)}"
        else:
            self._editor = relief.editor
            return results, relief.words
        free_memory()
        raise MemoryError(f"also {relief.words}{reason}")

    def _hash_model(self) -> str:
        if self._weights is None:
            try:
                self._weights = hash_model(self._config)
            except (A2Error, OSError):
                return ""  # loading says what is wrong
        return self._weights

    def _read_done(self, config: EditConfig, rows: Sequence[Row], fingerprint: str) -> tuple[EditResult, ...]:
        """The results of an item whose rows are of this fingerprint and whose files lie where they belong."""
        if len(rows) != config.num_images:
            return ()
        paths = get_output_paths(config, (*config.sources, config.mask or "")[0])
        maps, results = self._list_maps(config), []
        for row, path in zip(rows, paths, strict=True):
            size, known = _get_size(path), (row.get("fingerprint"), row.get("out"), row.get("bytes"))
            if size is None or known != (fingerprint, self._show(path), size):
                return ()
            if not row.keys() >= set(_SHOWN):
                return ()
            if any(shown is None or row.get(name) != shown for name, shown in maps.items()):
                return ()
            results.append(
                EditResult(path, **{name: row[name] for name in _SHOWN}, region=config.save_region)
            )
        return tuple(results)

    def _list_maps(self, config: EditConfig) -> dict[str, str | None]:
        """The maps that are to lie beside a picture, as its row tells them; None for one that does not."""
        asked = {"region": config.save_region, "attention": config.save_attention}
        return {
            name: self._show(path) if os.path.isfile(path) else None for name, path in asked.items() if path
        }

    def _build_rows(
        self,
        job: Job,
        config: EditConfig,
        results: Sequence[EditResult],
        inputs: dict[str, Digest],
        fingerprint: str,
        retried: str,
    ) -> list[Row]:
        finished = round(time.time(), 3)
        return [
            {
                "id": job.id,
                "ref": job.ref,
                "out": self._show(result.path),
                "bytes": _get_size(result.path),
                **self._list_maps(config),
                "image": image,
                **{name: getattr(result, name) for name in _SHOWN},
                "retried": retried,
                "fingerprint": fingerprint,
                "inputs": inputs,
                "a2": __version__,
                "finished": finished,
            }
            for image, result in enumerate(results)
        ]

    def _show(self, path: str) -> str:
        """A path as the records tell it: relative to their folder, if it lies in it."""
        path, folder = os.path.abspath(path), os.path.abspath(self._store.folder)
        inside = Path(path).is_relative_to(folder)
        return os.path.relpath(path, folder) if inside else path

    def _explain(self, job: Job, error: Exception) -> Outcome:
        name = show_name(job.source or job.mask or job.id)
        hint, kind = "", "unexpected"
        if is_out_of_memory(error):
            own = str(error) if type(error) is MemoryError else ""
            message, hint, kind = f"{name}: out of memory{own and ', ' + own}", LIGHTER, "memory"
        elif isinstance(error, A2Error):
            message, hint = error.message, error.hint
            kind = "disk" if _is_disk_full(error) else "data"
        else:
            message = f"{name}: unexpected failure: {_get_reason(error)}"
        if self._editor.failed:
            kind = "model"
            if is_out_of_memory(error):
                message = "out of memory while the model was loaded"
        return Outcome(job, error=message, hint=hint, kind=kind)  # type: ignore[arg-type]


def _get_size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except OSError:  # moved away, as a watcher of the folder may
        return None


def _is_disk_full(error: BaseException) -> bool:
    cause = error.__cause__
    return isinstance(error, DataError) and isinstance(cause, OSError) and cause.errno in _DISK


def _get_reason(error: Exception) -> str:
    if isinstance(error, A2Error):
        return error.message
    first = (str(error).strip() or "no reason given").splitlines()[0]
    return f"{type(error).__name__}: {first}"
