"""What is told of an evaluation: the gallery chosen and opened, files and pages written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from a2cli.errors import DataError
from a2cli.evaluation.config import EvalConfig
from a2cli.evaluation.records.candidates import EditFile, Place, list_candidates
from a2cli.evaluation.records.cases import CaseEntry, CaseFailure
from a2cli.evaluation.records.protocols import Protocol
from a2cli.evaluation.report.gallery import Choice, Views, build_gallery, choose_exhibits
from a2cli.evaluation.report.markdown import build_markdown
from a2cli.evaluation.report.page import build_report
from a2cli.evaluation.results import MARKDOWN, PAGE, Results, Row
from a2cli.evaluation.store import write_results
from a2cli.files import write_bytes
from a2cli.pages.page import write_page


def add_gallery(
    config: EvalConfig,
    results: Results,
    rows: Sequence[Row],
    entries: Sequence[CaseEntry],
    protocols: Sequence[Protocol],
    edits: Mapping[Place, EditFile | CaseFailure],
) -> Results:
    """The results with the worst and the best edits in small; as they are where no page is written."""
    if not config.gallery or (config.out is None and config.report is None):
        return results
    methods = {name: bool(facts.get("baseline")) for name, facts in results.methods.items()}
    choices = choose_exhibits(rows, methods, list(results.metrics), config.gallery)
    # Of a session each method has sources of its own: shown is that of the one the exhibits are ranked by.
    ranked = next((name for name, baseline in methods.items() if not baseline), "")
    by_id = {entry.id: entry for entry in entries}
    by_name = {protocol.name: protocol for protocol in protocols}

    def load(choice: Choice) -> Views:
        one = [by_id[choice.id]]
        under = [by_name[choice.protocol]]
        shots = {
            found.row.method: found.shot
            for found in list_candidates(one, list(methods), under, edits)
            if found.shot is not None
        }
        if not shots:
            raise DataError(f"{choice.id}: its edits are gone")
        first = shots.get(ranked) or next(iter(shots.values()))
        if first.given is None:
            raise DataError(f"{choice.id}: the photo before the edit is not known")
        pictures = {method: shot.edited for method, shot in shots.items()}
        return Views(first.given, first.mask, pictures, first.target, first.ref_rgb, first.request)

    return replace(results, gallery=build_gallery(choices, rows, load))


def write_all(
    config: EvalConfig, results: Results, rows: Sequence[Row], failures: Sequence[CaseFailure]
) -> None:
    """Write everything into the folder, and the page also where `report` says."""
    if config.out is None and config.report is None:
        return
    page = build_report(results, rows)
    if config.out is not None:
        out = Path(config.out)
        write_page(page, out / PAGE)
        write_bytes(build_markdown(results, rows).encode("utf-8", "backslashreplace"), out / MARKDOWN)
        write_results(results, rows, failures, out)
    if config.report is not None:
        write_page(page, Path(config.report))
