"""What came of an evaluation, what is missing from it and why, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from a2cli.evaluation.records.cases import CaseFailure
from a2cli.evaluation.results import Results, Row
from a2cli.metrics.measure import Measure
from a2cli.metrics.table import MetricInfo

OUTSIDE = ("preservation", "leakage", "seam")  # families that a mask of the whole picture leaves nothing to
NO_EDIT = "no edit was measured"


@dataclass(frozen=True)
class Outcome:
    """What came of an evaluation.

    `missed` are the gate's lines, `warned` what makes them doubtful. `lacking` are metrics asked for by name, or of a
    judge that was named, that have no value at all.
    """

    results: Results
    rows: list[Row]
    failures: list[CaseFailure]
    missed: list[str]
    warned: list[str]
    lacking: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """4 where a threshold was missed, 3 where something failed or could not be had, else 0."""
        return 4 if self.missed else 3 if self.failures or self.lacking or not self.is_measured else 0

    @property
    def is_measured(self) -> bool:
        """Whether there is one value."""
        return any(score.mean is not None for part in self.results.parts for score in part.scores.values())

    def list_lacks(self) -> list[str]:
        """Lines for what the exit code is 3 for, besides failures."""
        missing = self.results.missing
        if not self.is_measured:
            if any(not row.error for row in self.rows):
                return [f"nothing was measured: {'; '.join(list_missing(missing))}"]
            why = f", the first failed: {self.failures[0].detail}" if self.failures else ""
            return [f"nothing was measured{why}"]
        return list_missing({name: why for name, why in missing.items() if name in self.lacking})


def list_missing(missing: Mapping[str, str]) -> list[str]:
    """A line for each reason: "l1 and psnr are missing: WHY"."""
    names: dict[str, list[str]] = {}
    for name, why in missing.items():
        names.setdefault(why, []).append(name)
    return [
        f"{_join(some)} {'is' if len(some) == 1 else 'are'} missing: {why}" for why, some in names.items()
    ]


def list_unjudged(infos: Iterable[MetricInfo], judge: Measure | None) -> dict[str, str]:
    """Marks that were asked for, and that no judge gives."""
    given = {info.name for info in judge.infos} if judge else set()
    why = "the judge is not asked for it (judge.ask)" if judge else "no judge is named (--judge API:MODEL)"
    return {info.name: why for info in infos if info.family == "judge" and info.name not in given}


def explain(info: MetricInfo, rows: Sequence[Row], failures: Sequence[CaseFailure]) -> str:
    """Why a metric that could be opened has no value at all."""
    for failure in failures:
        names = {name.partition("@")[0] for name in failure.reason.split(", ")}
        if failure.stage == "measure" and info.name in names:
            return f"failed on every edit: {failure.detail}"
    measured = [row for row in rows if not row.error]
    if not measured:
        return NO_EDIT
    if info.family == "judge":
        return "the judge gave no mark (see judge)"
    if info.family in OUTSIDE and all(row.mask_share == 1 for row in measured):
        return "the mask covers the whole picture"
    if info.family == "region":
        return "no method told which region it edited (methods with localize do)"
    few = "fewer than two edits, or " if info.of_set else ""
    return f"{few}no edit of a record with a {' and a '.join(info.needs)}" if info.needs else NO_EDIT


def _join(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
