"""What the tests of plans share: folders of empty files, and a plan as plain values. Planning opens no picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from a2cli.batch.job import Job, Refusal
from a2cli.batch.plan import Plan, plan_jobs
from a2cli.config.batch import BatchConfig
from a2cli.config.edit import EditConfig

BOX = "box:0,0,8,8"


def touch(*names: str) -> None:
    """Make empty files, and the folders above them."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def make(*sources: str, **changes: Any) -> EditConfig:
    """Settings with a reference and a box; those of BatchConfig among the changes are told apart."""
    batch = {name: changes.pop(name) for name in list(changes) if name in BatchConfig.__dataclass_fields__}
    fields: dict[str, Any] = {"sources": sources, "refs": ("r.png",), "mask": BOX}
    return EditConfig(**fields | changes, batch=BatchConfig(**batch))


def plan(*sources: str, stdin: bytes = b"", **changes: Any) -> Plan:
    return plan_jobs(make(*sources, **changes), lambda: stdin)


def list_jobs(*sources: str, stdin: bytes = b"", **changes: Any) -> list[Job]:
    """The edits of a plan in which nothing is refused."""
    planned = plan(*sources, stdin=stdin, **changes)
    entries = list(planned)
    assert planned.total == len(entries)
    refused = [entry for entry in entries if isinstance(entry, Refusal)]
    assert not refused, refused
    return [entry for entry in entries if isinstance(entry, Job)]


def list_outs(*sources: str, **changes: Any) -> list[str | None]:
    return [job.out for job in list_jobs(*sources, **changes)]


def list_refusals(planned: Plan) -> list[Refusal]:
    return [entry for entry in planned if isinstance(entry, Refusal)]


def get_refusal(line: str, **changes: Any) -> str:
    """Why a manifest's only line is refused, without the remedy."""
    (refusal,) = list(plan(stdin=line.encode("utf-8", "surrogateescape"), manifest="-", **changes))
    assert isinstance(refusal, Refusal) and refusal.line == 1, refusal
    assert refusal.reason.startswith("line 1: ") and "\n" not in refusal.reason
    return refusal.reason.removeprefix("line 1: ")
