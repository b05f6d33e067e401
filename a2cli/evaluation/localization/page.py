"""The page of `a2 eval localize`: the table, how many things were found how well, and what each way saw."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from a2cli.evaluation.localization.results import ALL, Line, Localized, Shown, list_unread
from a2cli.evaluation.localization.scores import WORDS
from a2cli.evaluation.results import Picture, Row
from a2cli.pages.filters import (
    FILTER_SCRIPT,
    FILTER_STYLE,
    build_filters,
    build_outline,
    build_select,
    number_names,
)
from a2cli.pages.page import build_notes, build_page, build_section, build_table, build_tiles
from a2cli.pages.plots import COLOURS, Series, escape_text, line_chart, show_number

POINTS = np.linspace(0, 1, 101)  # of IoU, along the curve
SCORED = ("iou", "found", "pointing", "auc", "size")
HEAD = (
    *("way", "n", "median IoU", "mean IoU", "IoU ≥ 0.5", "peak on the thing", "AUC", "size over the thing's"),
    *("names no place", "median s"),
)
LEAD = (
    "From the worst record to the best, in even steps. The first picture shows what can be seen of the thing, whose "
    "words are underlined; then the target, and what each way saw: bright is high, its region is outlined."
)

STYLE = """
body { max-width: 1280px; } .made { color: var(--soft); margin: 6px 0 0; } .lead { margin: 0 0 16px; max-width: 80ch; }
.wide { margin-bottom: 22px; } pre { max-height: 420px; }
.card { margin: 0 0 16px; padding: 12px 16px 14px; border: 1px solid var(--rule); border-radius: 10px;
  overflow-wrap: anywhere; } .card h3 { margin: 0 0 9px; display: flex; flex-wrap: wrap; gap: 2px 12px;
  align-items: baseline; } .card h3 span { color: var(--soft); font-size: 13px; font-weight: 400; }
.card h3 .asked { flex-basis: 100%; color: var(--ink); font-size: 14px; } .asked mark { background: none;
  color: inherit; font-weight: 650; text-decoration: underline; text-underline-offset: 3px; }
.views { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px; }
.views figure { margin: 0; min-width: 0; max-width: 220px; }
.views svg { width: 100%; border-radius: 5px; background: var(--tint); outline: 1px solid var(--rule); }
.views figcaption { margin-top: 4px; font-size: 12.5px; line-height: 1.4; }
.views b { display: block; color: var(--ink); font-weight: 600; }
@media (max-width: 640px) { .card { padding: 10px; } .views { grid-template-columns: repeat(3, minmax(0, 1fr));
  gap: 8px; } }
@media print { .card { break-inside: avoid; } .views { grid-template-columns: repeat(6, 1fr); } }
"""


def build_localize_page(title: str, found: Localized) -> str:
    """The whole page, HTML."""
    body = _build_head(title, found)
    body += build_section("Ways", _build_tables(found.lines))
    if found.rows:
        body += build_section("How well", _build_curves(found.rows))
    if found.shown:
        body += build_section("What each way saw", f'<p class="lead">{LEAD}</p>{_build_cards(found.shown)}')
    body += build_section("How it was measured", _build_details(found))
    return build_page(title, body, style=FILTER_STYLE + STYLE, script=FILTER_SCRIPT if found.shown else "")


def _build_tables(lines: Sequence[Line]) -> str:
    """A table for all records, and one for each task."""
    tables = ""
    for task in dict.fromkeys(line.task for line in lines):
        cells = [
            (
                *(line.way, str(line.n), _show(line.median_iou)),
                *(_show(line.scores[name].mean, line.scores[name].se) for name in SCORED),
                *(_show(line.diffuse), _show(line.seconds)),
            )
            for line in lines
            if line.task == task
        ]
        tables += build_table(HEAD, cells, caption="all records" if task == ALL else task)
    return tables


def _build_head(title: str, found: Localized) -> str:
    whole = [line for line in found.lines if line.task == ALL]
    best = max(whole, key=lambda line: line.median_iou or 0, default=None)
    tasks = sorted({row.protocol for row in found.rows if row.protocol})
    tiles = (
        (
            "Records",
            show_number(max((line.n for line in whole), default=0), 9),
            str(found.data.get("name", "")),
        ),
        ("Tasks", str(len(tasks)), ", ".join(tasks) or "none said"),
        ("Best median IoU", _show(best.median_iou if best else None), best.way if best else "no way"),
        (
            "Failures",
            show_number(len(found.failures), 9),
            found.failures[0].reason if found.failures else "none",
        ),
    )
    notes = [f"{way} is missing: {why}" for way, why in found.missing.items()]
    notes += list_unread(found.rows)
    most = max((line.n for line in whole), default=0)
    notes += [
        f"{line.way} failed on {most - line.n} of {most} records, which its means leave out"
        for line in whole
        if line.n < most
    ]
    made = f"{found.created} · a2 {found.a2}{f' · {found.git[:12]}' if found.git else ''}"
    return (
        f'<h1>{escape_text(title)}</h1><p class="made">{escape_text(made)}</p>'
        f"{build_tiles(tiles)}{build_notes(notes)}"
    )


def _build_curves(rows: Sequence[Row]) -> str:
    """How large a share of the records reaches an IoU, a line for each way; four lines a chart can be told apart."""
    series = []
    for way in dict.fromkeys(row.method for row in rows):
        values = np.array([row.values["iou"] for row in rows if row.method == way and not row.error])
        if values.size:
            shares = (values[:, None] >= POINTS).mean(axis=0)
            series.append(Series(way, 100 * POINTS, 100 * shares))
    charts = [
        line_chart(
            series[first : first + COLOURS],
            title="Records whose region reaches an IoU, %",
            x_label="IoU, % of the union",
            x_end=100,
            smoothed=False,
        )
        for first in range(0, len(series), COLOURS)
    ]
    return f'<div class="wide">{"".join(charts)}</div>'


def _build_cards(shown: Sequence[Shown]) -> str:
    tasks, categories = (number_names(getattr(one, name) for one in shown) for name in ("task", "category"))
    filters = (
        build_select("task", "Task", "all", [(v, k or "no task") for k, v in tasks.items()]),
        build_select("category", "Category", "all", [(v, k or "no category") for k, v in categories.items()]),
    )
    cards = "".join(
        f'<article class="card" data-task="{tasks[one.task]}" data-category="{categories[one.category]}"'
        f' aria-labelledby="c{number}">{_build_card(one, number)}</article>\n'
        for number, one in enumerate(shown)
    )
    bar = build_filters(filters, what="records", example="id, category, sentence …")
    return f'{bar}{cards}<p id="none" hidden>No record fits. <button type="button" class="clear">Clear</button></p>'


def _build_card(one: Shown, number: int) -> str:
    kind = " · ".join(filter(None, (one.category, one.task)))
    head = (
        f'<h3 class="words"><b id="c{number}">{escape_text(one.id)}</b><span>{escape_text(kind)}</span>'
        f'<span class="asked">{_mark(one.prompt, one.keyword)}</span></h3>'
    )
    words = {"source": "Photo, the thing", "target": "Target"}
    views = ""
    for name, picture in one.pictures.items():
        values = one.values.get(name)
        told = "" if values is None else f"IoU {show_number(values['iou'], 2)}"
        if values is not None and values["diffuse"]:
            told += ", names no place"
        label = words.get(name, name)
        views += _build_view(picture, label, told, one.outlines.get(name, ""), dim=name == "source")
    return f'{head}<div class="views">{views}</div>'


def _build_view(picture: Picture, name: str, told: str, outline: str, *, dim: bool) -> str:
    height, width = picture.size
    path = escape_text(outline)
    drawn = build_outline(path, picture.size) if dim else ""
    if outline and not dim:
        drawn = f'<path class="edge" d="{path}"/><path class="line" d="{path}"/>'
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape_text(name)}">'
        f'<image href="data:image/webp;base64,{escape_text(picture.data)}" width="{width}" height="{height}"/>{drawn}'
        f"</svg><figcaption><b>{escape_text(name)}</b>{escape_text(told)}</figcaption></figure>"
    )


def _mark(prompt: str, keyword: str) -> str:
    """The sentence with the words that name the thing underlined, where they stand in it."""
    before, there, after = prompt.partition(keyword) if keyword else (prompt, "", "")
    marked = f"<mark>{escape_text(there)}</mark>" if there else ""
    return f"{escape_text(before)}{marked}{escape_text(after)}"


def _build_details(found: Localized) -> str:
    values = build_table(("value", "what it is"), WORDS.items(), caption="Values")
    ways = build_table(
        ("way", "what it was"),
        [(way, ", ".join(f"{k} {v}" for k, v in facts.items())) for way, facts in found.ways.items()],
        caption="Ways",
    )
    settings = {"config": found.config, "data": found.data, "versions": found.versions}
    lines = json.dumps(settings, indent=1, ensure_ascii=False).splitlines()
    text = "\n".join(escape_text(line) for line in lines)
    folded = f'<pre tabindex="0" aria-label="Settings">{text}</pre>'
    return f"{values}{ways}<details><summary>Settings</summary>{folded}</details>"


def _show(value: float | None, se: float | None = None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" + ("" if se is None else f" ± {se:.3f}")
