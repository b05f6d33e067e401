"""Edits made once and kept: OUT/edits/METHOD/PROTOCOL/STEM.png, each carrying what it was made from.

A rerun makes what is missing and what would come out differently now, nothing else.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.errors import A2Error, DataError
from a2cli.evaluation.editing.recipes import encode_edit, read_recipe
from a2cli.evaluation.methods.base import Edit, Method
from a2cli.evaluation.records.cases import CaseFailure, Task
from a2cli.files import lock_folder, make_folder, show_name, write_bytes
from a2cli.images.read import open_photo

LOG = "edits.jsonl"
OTHERWISE = "made otherwise"  # why an edit that is there does not count
UNSAID = (
    "localize",
    "keyword",
    "region",
    "region_change",
)  # of a2's settings those that it leaves out where not set


@dataclass(frozen=True)
class EditJob:
    """An edit to be made of a record, not opened yet. `load` raises `DataError` naming record and cause.

    With `after`, the stem of a record that came earlier under the same protocol, the source is that record's edit: a
    turn of a session that goes on from the one before.
    """

    id: str
    stem: str
    protocol: str
    load: Callable[[], Task]
    after: str = ""


@dataclass(frozen=True)
class EditDone:
    """An edit that is there. `seconds` is what making it took, None where unknown; `made` tells that it is new.

    `identity`, of one that was found: what its method was, as its file says; empty where that says nothing.
    """

    id: str
    stem: str
    protocol: str
    method: str
    path: Path
    seconds: float | None
    made: bool
    identity: Mapping[str, Any] = field(default_factory=dict)


def get_edit_path(folder: Path, method: str, protocol: str, stem: str) -> Path:
    """Where an edit lies."""
    return folder / method / protocol / f"{stem}.png"


def run_edits(method: Method, jobs: Iterable[EditJob], folder: Path) -> Iterator[EditDone | CaseFailure]:
    """Make the edits that are missing in `folder`, in order; one that fails does not end the others.

    Raises `ConfigError` while another process writes this method's edits, `DataError` where nothing can be written.
    """
    own = folder / method.name
    make_folder(own)
    with lock_folder(own):
        for left in own.glob("*/.a2-*.tmp"):  # of a run that was killed as it wrote
            left.unlink(missing_ok=True)
        seconds = load_seconds(folder, method.name)
        there: set[tuple[str, str]] = set()
        for job in jobs:
            done = _run_job(method, job, folder, seconds, there)
            if isinstance(done, EditDone):
                there.add((job.protocol, job.stem))
            yield done


def load_seconds(folder: Path, method: str) -> dict[tuple[str, str], float]:
    """What each edit of a method took, by protocol and stem; lines that cannot be read count as unknown."""
    found: dict[tuple[str, str], float] = {}
    with suppress(OSError):
        for line in (folder / method / LOG).read_bytes().splitlines():
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                found[str(row["protocol"]), str(row["stem"])] = float(row["seconds"])
    return found


def find_edits(
    method: str, settings: Mapping[str, Any], jobs: Iterable[EditJob], folder: Path
) -> Iterator[EditDone | CaseFailure]:
    """The edits that an earlier run left, in order; one that says it was made otherwise is a failure.

    Otherwise: of another photo, mask or seed, by other `settings` (as an identity has them) or not as the first of
    these. A picture that says nothing of itself, put there by hand, is taken as it is.
    """
    seconds, known = load_seconds(folder, method), settings
    there: set[tuple[str, str]] = set()
    for job in jobs:
        path = get_edit_path(folder, method, job.protocol, job.stem)
        if not path.is_file():
            yield CaseFailure(job.id, "find", "no edit", "not made yet (add --run)", method, job.protocol)
            continue
        recipe, identity = read_recipe(path), {}
        if recipe is not None:
            identity = recipe["identity"]
            try:
                why = _find_difference(recipe, known, _load_task(method, job, folder, there))
            except A2Error as error:
                yield CaseFailure(job.id, "load", "cannot be used", str(error), method, job.protocol)
                continue
            if why:
                detail = f"{why} (add --run to make it anew)"
                yield CaseFailure(job.id, "find", OTHERWISE, detail, method, job.protocol)
                continue
            known = {**identity, **settings}
        there.add((job.protocol, job.stem))
        taken = seconds.get((job.protocol, job.stem))
        yield EditDone(job.id, job.stem, job.protocol, method, path, taken, made=False, identity=identity)


def get_fingerprint(method: Method, task: Task) -> str:
    """A digest of all that decides an edit: what the method is, and every input and word of the task."""
    words = [method.identity, digest_task(task, method.identity)]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def digest_task(task: Task, identity: Mapping[str, Any]) -> str:
    """A digest of all that a method may see: of a target nothing, but where the method is the target itself.

    Likewise of the exact mask and the keyword: they count where the method is told them.
    """
    case = task.case
    target = case.target if identity.get("kind") == "target" else None
    words = [task.protocol, task.seed, case.id, case.category, case.prompt]
    words += [case.keyword] if identity.get("keyword") == "known" else []
    told = (case.mask,) if identity.get("region") == "exact" else ()
    digest = hashlib.sha256(json.dumps(words).encode())
    for array in (task.source, task.mask, case.ref_rgb, case.ref_mask, target, *told):
        shape = None if array is None else [array.dtype.str, *array.shape]
        digest.update(f"|{shape}|".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _run_job(
    method: Method,
    job: EditJob,
    folder: Path,
    seconds: dict[tuple[str, str], float],
    there: set[tuple[str, str]],
) -> EditDone | CaseFailure:
    path, key = get_edit_path(folder, method.name, job.protocol, job.stem), (job.protocol, job.stem)
    stage = "load"
    try:
        task = _load_task(method.name, job, folder, there)
        wanted = _describe(method, task)
        made = (read_recipe(path) or {}).get("fingerprint") != wanted["fingerprint"]
        if made:
            stage = "edit"
            began = time.perf_counter()
            edited, region = _edit(method, task)
            seconds[key] = round(time.perf_counter() - began, 4)
            stage = "write"
            make_folder(path.parent)
            # The time first: of an edit that is there it is then known, whenever the process dies.
            _log(folder / method.name / LOG, job, seconds[key])
            write_bytes(encode_edit(edited, wanted, region), path)
    except A2Error as error:
        return _get_failure(method, job, stage, _get_reason(error), str(error))
    except Exception as error:  # a model may raise anything, that of a plugin above all
        return _get_failure(method, job, stage, *tell_unexpected(error))
    return EditDone(job.id, job.stem, job.protocol, method.name, path, seconds.get(key), made)


def tell_unexpected(error: Exception) -> tuple[str, str]:
    """Reason and detail of what nobody raises on purpose."""
    reason = "out of memory" if _is_out_of_memory(error) else "failed unexpectedly"
    return reason, f"{type(error).__name__}: {error}".strip(": \n").splitlines()[0]


def _load_task(method: str, job: EditJob, folder: Path, there: set[tuple[str, str]]) -> Task:
    task = job.load()
    if not job.after:
        return task
    if (job.protocol, job.after) not in there:
        raise DataError(f"{job.id}: the turn before, {show_name(job.after)}, has no edit to go on from")
    before = open_photo(get_edit_path(folder, method, job.protocol, job.after)).rgb
    if before.shape != task.source.shape:
        raise DataError(f"{job.id}: its photo has another size than the edit of the turn before")
    return replace(task, source=before, case=replace(task.case, source=before))


def _find_difference(recipe: Mapping[str, Any], known: Mapping[str, Any], task: Task) -> str:
    """How an edit was made otherwise than asked for; "" for not at all."""
    identity = recipe["identity"]
    names = [name for name in known if name in identity]
    names += UNSAID if identity.get("kind") == "a2" else ()
    for name in (name for name in names if identity.get(name) != known.get(name)):
        return f"made with {name} {identity.get(name, 'none')}, not {known.get(name, 'none')}"
    if recipe["task"] != digest_task(task, identity):
        return "made of another photo, mask, prompt or seed"
    return ""


def _edit(method: Method, task: Task) -> tuple[np.ndarray, np.ndarray | None]:
    """One edit, checked, and its region where the method tells one; out of memory, once more with the cache emptied."""
    # A method that writes into what it is given must reach neither the record nor the next method.
    task = copy.deepcopy(task)
    try:
        edited = method.edit(task)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        edited = None
    if edited is None:  # out of the handler: the exception held the failed run's tensors
        _empty_cache()
        edited = method.edit(task)
    edited, region = (edited.rgb, edited.region) if isinstance(edited, Edit) else (edited, None)
    if edited.shape != task.source.shape or edited.dtype != np.uint8:
        raise DataError(
            f"{task.case.id}: {method.name} returned {edited.dtype} {edited.shape}, not uint8 {task.source.shape}"
        )
    if region is not None and (region.shape != edited.shape[:2] or region.dtype != np.bool_):
        raise DataError(f"{task.case.id}: {method.name} told a region of {region.dtype} {region.shape}")
    return edited, region


def _is_out_of_memory(error: BaseException) -> bool:
    words = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "out of memory" in words
        or "can't allocate memory" in words
    )


def _empty_cache() -> None:
    gc.collect()
    torch = sys.modules.get("torch")  # not imported for methods that need none
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _log(file: Path, job: EditJob, seconds: float) -> None:
    """Append a line; what a killed process left of one ends there."""
    row = {"protocol": job.protocol, "stem": job.stem, "seconds": seconds}
    try:
        with open(file, "ab+") as log:
            size = log.seek(0, os.SEEK_END)
            begun = False
            if size:
                log.seek(size - 1)
                begun = log.read(1) != b"\n"
            log.write((b"\n" if begun else b"") + json.dumps(row).encode() + b"\n")
    except OSError as error:
        raise DataError(
            f"{show_name(str(file))}: cannot be written: {error.strerror}", hint="check the free space"
        ) from error


def _describe(method: Method, task: Task) -> dict[str, Any]:
    return {
        "fingerprint": get_fingerprint(method, task),
        "task": digest_task(task, method.identity),
        "method": method.name,
        "protocol": task.protocol,
        "id": task.case.id,
        "seed": task.seed,
        "identity": method.identity,
    }


def _get_reason(error: A2Error) -> str:
    return {"DataError": "cannot be used", "BackboneError": "the model failed"}.get(
        type(error).__name__, "cannot be edited"
    )


def _get_failure(method: Method, job: EditJob, stage: str, reason: str, detail: str) -> CaseFailure:
    return CaseFailure(job.id, stage, reason, detail, method.name, job.protocol)
