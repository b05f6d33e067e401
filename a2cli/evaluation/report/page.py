"""The report of an evaluation: one page, made from results and rows alone, that works from a file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from a2cli.evaluation.report.charts import CHART_SCRIPT, CHART_STYLE, build_panels, get_look
from a2cli.evaluation.report.failed import FAILED_STYLE, build_failed, tell_failures
from a2cli.evaluation.report.gallery_page import GALLERY_SCRIPT, GALLERY_STYLE, build_gallery_cards
from a2cli.evaluation.report.identity import describe_masks, describe_method
from a2cli.evaluation.report.judge_page import build_judge
from a2cli.evaluation.report.markdown import COLUMNS, choose_headline, list_keys, mark, tell_against
from a2cli.evaluation.report.score_tables import TABLE_STYLE, build_costs, build_scores
from a2cli.evaluation.results import Results, Row
from a2cli.evaluation.scoring.against import get_other, list_against
from a2cli.pages.filters import FILTER_SCRIPT
from a2cli.pages.page import build_notes, build_page, build_section, build_table, build_tiles
from a2cli.pages.plots import escape_text, show_number, show_percent

MOST_KINDS = 3  # of failures, told at the head

STYLE = """
body { max-width: 1280px; } .made { color: var(--soft); margin: 6px 0 0; } .lead { margin: 0 0 16px; max-width: 80ch; }
.wide { margin: 0 0 26px; } .facts th, .facts td { text-align: left; max-width: 46em; overflow-wrap: break-word; }
.facts th, .facts td { vertical-align: top; } .facts tbody th { color: var(--ink); } pre { max-height: 420px; }
main > section > details { border-bottom: 1px solid var(--rule); } .facts table { width: 100%; }
main > section > details > summary { padding: 8px 0; font-weight: 600; }
"""


def build_report(results: Results, rows: Sequence[Row]) -> str:
    """The whole page, HTML: head, scores, what failed, charts, judge, worst and best cases, how all was measured."""
    keys, look = list_keys(results), get_look(results, rows)
    body = _build_head(results, rows)
    if keys:
        body += build_section("Scores", build_scores(results, look, keys))
    if failed := build_failed(results.failures, rows):
        body += build_section("What failed", failed)
    if against := _build_against(results, rows, keys):
        body += build_section(f"Against {escape_text(get_other(results))}", against)
    if costs := build_costs(results, look, keys):
        body += build_section("From mask to mask", costs)
    if panels := build_panels(results, look, keys):
        body += build_section("Charts", panels)
    if results.judge:
        body += build_section("Judge", build_judge(results.judge))
    if cards := build_gallery_cards(results, look, keys):
        body += build_section("Worst and best", cards)
    body += build_section("How it was measured", _build_details(results, rows))
    script = CHART_SCRIPT + (FILTER_SCRIPT + GALLERY_SCRIPT if cards else "")
    style = GALLERY_STYLE + CHART_STYLE + TABLE_STYLE + FAILED_STYLE + STYLE
    return build_page(results.title, body, style=style, script=script)


def _build_head(results: Results, rows: Sequence[Row]) -> str:
    baselines = [name for name, facts in results.methods.items() if facts.get("baseline")]
    measured, expected = sum(p.n for p in results.parts), sum(p.expected for p in results.parts)
    categories = {row.category for row in rows}
    failed = sum(results.failures.values())
    of_baselines = f", {len(baselines)} of them baselines" if baselines else ""
    whole = "all that were expected" if measured == expected else f"of {show_number(expected, 9)} expected"
    tiles = (
        ("Records", show_number(results.n, 9), _name_data(results, len(categories))),
        ("Methods", str(len(results.methods)), _list_names(results.methods) + of_baselines),
        ("Masks", str(len(results.protocols)), _list_names(results.protocols)),
        ("Edits measured", show_number(measured, 9), whole),
        ("Missing metrics", str(len(results.missing)), _list_names(results.missing) or "none"),
        (
            "Failures",
            show_number(failed, 9),
            "; ".join(tell_failures(results.failures)[:MOST_KINDS]) or "none",
        ),
    )
    notes = [f"{name} is missing: {why}" for name, why in results.missing.items()]
    made = f"{results.created} · a2 {results.a2}{f' · {results.git[:12]}' if results.git else ''}"
    return (
        f'<h1>{escape_text(results.title)}</h1><p class="made">{escape_text(made)}</p>'
        f"{build_tiles(tiles)}{build_notes(notes)}"
    )


def _build_against(results: Results, rows: Sequence[Row], keys: Sequence[str]) -> str:
    """Paired differences to the method that the settings name; a table for each kind of mask."""
    other, chosen = get_other(results), choose_headline(keys, COLUMNS)
    if other is None or not chosen:
        return ""
    cells = {(one.protocol, one.method, one.key): tell_against(one) for one in list_against(results, rows)}
    tables = ""
    for protocol in results.protocols:
        lines = [
            (method, *(cells.get((protocol, method, key), "–") for key in chosen))
            for method in results.methods
            if method != other
        ]
        tables += build_table(
            ("method", *map(mark, chosen)),
            lines,
            caption=f"{protocol}: method minus {other}, of the same records",
        )
    return tables


def _build_details(results: Results, rows: Sequence[Row]) -> str:
    metrics = [
        [name, *(str(info.get(part, "")) for part in ("definition", "unit", "source", "implementation"))]
        for name, info in results.metrics.items()
    ]
    methods = [[name, *_time(rows, name), describe_method(facts)] for name, facts in results.methods.items()]
    masks = [[name, _share(rows, name), describe_masks(facts)] for name, facts in results.protocols.items()]
    versions = [[name, version] for name, version in results.versions.items()]
    text = _fold(
        "Metrics",
        build_table(
            ["metric", "definition", "unit", "source", "implementation"], metrics, caption="Definitions"
        ),
    )
    head = ["method", "median time", "what it was"]
    text += _fold("Methods", build_table(head, methods, caption="What edited"))
    head = ["masks", "mean share", "how they were made"]
    text += _fold("Masks", build_table(head, masks, caption="What was given"))
    text += _fold("Versions", build_table(["library", "version"], versions, caption="Installed"))
    settings = json.dumps({"config": results.config, "data": results.data}, indent=1, ensure_ascii=False)
    shown = "\n".join(escape_text(line) for line in settings.splitlines())
    return text + _fold("Settings", f'<pre tabindex="0" aria-label="Settings">{shown}</pre>')


def _fold(title: str, body: str) -> str:
    return f'<details class="facts"><summary>{escape_text(title)}</summary>{body}</details>'


def _name_data(results: Results, categories: int) -> str:
    name = str(results.data.get("name") or results.data.get("benchmark") or "")
    split = str(results.data.get("split") or "")
    counted = f"{categories} categories" if categories > 1 else ""
    return ", ".join(filter(None, [name, split, counted]))


def _list_names(names: Mapping[str, Any], most: int = 4) -> str:
    more = len(names) - most
    return ", ".join(list(names)[:most]) + (f" and {more} more" if more > 0 else "")


def _time(rows: Sequence[Row], method: str) -> list[str]:
    known = [row.seconds for row in rows if row.method == method and row.seconds is not None]
    return [f"{show_number(statistics.median(known), 2)} s" if known else "–"]


def _share(rows: Sequence[Row], protocol: str) -> str:
    known = [row.mask_share for row in rows if row.protocol == protocol and row.mask_share is not None]
    return f"{show_percent(statistics.fmean(known))} %" if known else "–"
