"""The page of `a2 dataset preview`: a card a record, filters over them; the words of a data set are only ever text."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from a2cli.curation.cards import Card, Picture, has_fault
from a2cli.pages.filters import (
    FILTER_SCRIPT,
    FILTER_STYLE,
    Choice,
    build_filters,
    build_outline,
    build_select,
    number_names,
)
from a2cli.pages.page import build_notes, build_page, build_tiles
from a2cli.pages.plots import escape_text, show_number, show_percent

STYLE = """
:root { --bad: #a3123d; --bad-ground: #fdeef2; --warn: #7a4b00; --warn-ground: #fdf4e0; --cell: #f2f4f7;
  --mark: #ffe9a8; }
@media screen and (prefers-color-scheme: dark) {
  :root { --bad: #ff9db4; --bad-ground: #3b1722; --warn: #f4c26b; --warn-ground: #35280f; --cell: #0d1013;
    --mark: #5a4700; } }
body { max-width: 1560px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(560px, 100%), 1fr)); gap: 22px; }
.card { min-width: 0; padding: 14px; border: 1px solid var(--rule); border-radius: 10px; content-visibility: auto;
  contain-intrinsic-size: auto 330px; overflow-wrap: anywhere; }
.card.faulty { border-color: var(--bad); } .views { display: grid; grid-template-columns: repeat(3, 1fr); gap: 10px; }
.views figure { margin: 0; min-width: 0; } .views figcaption { margin-top: 4px; font-size: 12.5px; line-height: 1.35; }
.views span { white-space: nowrap; } .views.four { grid-template-columns: repeat(4, 1fr); }
.prompt mark { background: var(--mark); color: inherit; border-radius: 3px; padding: 0 2px; }
.views svg, .empty { width: 100%; aspect-ratio: 1; background: var(--cell); border-radius: 5px; }
.empty { display: grid; place-items: center; color: var(--soft); font-size: 13px; }
.card h2 { display: flex; flex-wrap: wrap; gap: 2px 12px; justify-content: space-between; align-items: baseline;
  margin: 0; padding: 0; border: 0; font-size: 15px; } .views { margin-bottom: 12px; } .card p { margin: 3px 0 0; }
.kind { color: var(--soft); font-size: 13px; font-weight: 400; } .rights { color: var(--soft); font-size: 13px; }
.faults { list-style: none; margin: 10px 0 0; padding: 0; display: grid; gap: 5px; font-size: 13.5px;
  line-height: 1.4; }
.faults li { padding: 6px 10px; border-left: 3px solid; border-radius: 3px; background: var(--bad-ground);
  color: var(--bad); }
.faults .warning { background: var(--warn-ground); color: var(--warn); } .faults b { display: block; }
@media (max-width: 640px) { .cards { gap: 14px; } .card { padding: 10px; } .views { gap: 6px; }
  .views.four { grid-template-columns: repeat(2, 1fr); } }
@media print { .cards { grid-template-columns: 1fr 1fr; gap: 12px; }
  .card { break-inside: avoid; content-visibility: visible; } .views svg, .faults li { print-color-adjust: exact; } }
"""

FAULT = "fault"  # the severity that is no warning
FAULTY: tuple[Choice, ...] = (("any", "with faults"), ("none", "without faults"))


def build_preview(name: str, cards: Sequence[Card], records: int, seed: int) -> str:
    """The whole page, HTML, of cards drawn by `seed` of the `records` of the data set `name`."""
    categories = number_names(card.category for card in cards)
    splits = number_names(card.split for card in cards)
    kinds = number_names(fault.kind for card in cards for fault in card.faults)
    tasks = number_names(_get_task(card) for card in cards) if any(card.instructed for card in cards) else {}
    chosen_task = [build_select("task", "Task", "all", [(v, k) for k, v in tasks.items()])] if tasks else []
    filters = (
        build_select("category", "Category", "all", [(v, k or "no category") for k, v in categories.items()]),
        build_select("split", "Split", "all", [(v, k or "no split") for k, v in splits.items()]),
        *chosen_task,
        build_select("fault", "Faults", "all", [*FAULTY, *((v, k) for k, v in kinds.items())]),
    )
    drawn = "".join(
        _build_card(
            card,
            f'data-category="{categories[card.category]}" data-split="{splits[card.split]}"'
            f' data-fault="{_get_fault_values(card, kinds)}"'
            + (f' data-task="{tasks[_get_task(card)]}"' if tasks else ""),
        )
        for card in cards
    )
    body = (
        f"<h1>{escape_text(name)}</h1>{_build_summary(cards, records, seed)}"
        f"{build_filters(filters, what='records', example='id, prompt, source …')}"
        f'<section class="cards" aria-label="Records">{drawn}</section>'
        '<p id="none" hidden>No record fits. <button type="button" class="clear">Clear</button></p>'
    )
    return build_page(f"{name}: preview", body, style=FILTER_STYLE + STYLE, script=FILTER_SCRIPT)


def _get_task(card: Card) -> str:
    """What the filter calls a record's task."""
    return (card.task or "any edit") if card.instructed else "no edit"


def _get_fault_values(card: Card, kinds: dict[str, str]) -> str:
    found = sorted({kinds[fault.kind] for fault in card.faults})
    return " ".join(["any" if has_fault(card) else "none", *found])


def _build_summary(cards: Sequence[Card], records: int, seed: int) -> str:
    faulty = [card for card in cards if has_fault(card)]
    common = Counter(fault.kind for card in faulty for fault in card.faults if fault.severity == FAULT)
    splits = Counter(card.split or "no split" for card in cards)
    kinds = len({(card.category, card.subcategory) for card in cards if card.subcategory})
    whole = len(cards) == records
    bare = sum(card.bare for card in cards)
    tiles = (
        (
            "Records",
            show_number(records, 9),
            _list_counts(splits) + ("" if whole else ", of those shown"),
        ),
        (
            "Shown",
            show_number(len(cards), 9),
            "all" if whole else f"even over categories, seed {seed}",
        ),
        ("With faults", show_number(len(faulty), 9), _list_counts(common, 3) or "none of those shown"),
        ("Categories", str(len({card.category for card in cards} - {""})), f"{kinds} subcategories"),
    )
    notes = (
        [f"{bare} records are shown without pictures, which would make the page too large"] if bare else []
    )
    return build_tiles(tiles) + build_notes(notes)


def _list_counts(counts: Counter[str], most: int = 4) -> str:
    return ", ".join(f"{name} {show_number(count, 9)}" for name, count in counts.most_common(most))


def _build_card(card: Card, data: str) -> str:
    names = [card.category or "no category", card.subcategory]
    kind = " · ".join(filter(None, [" / ".join(filter(None, names)), card.task, card.split]))
    rights, number = card.rights, card.number
    known = " · ".join(
        filter(None, [rights.licence or "no licence", rights.permission, rights.author, rights.source])
    )
    faults = "".join(
        f'<li class="{"fault" if fault.severity == FAULT else "warning"}"><b>{escape_text(fault.kind)}</b>'
        f"{escape_text(fault.detail)}</li>"
        for fault in sorted(card.faults, key=lambda fault: fault.severity != FAULT)
    )
    listed = f'<ul class="faults">{faults}</ul>' if faults else ""
    texts = (("prompt", _mark_keyword(card)), ("rights", escape_text(known) if card.id else ""))
    words = "".join(f'<p class="{name}">{text}</p>' for name, text in texts if text)
    return (
        f'<article class="card{" faulty" if has_fault(card) else ""}" {data} aria-labelledby="n{number}">'
        f'{_build_views(card)}<div class="words"><h2><span id="n{number}">'
        f'{escape_text(card.id or Path(card.where).name)}</span><span class="kind">{escape_text(kind)}</span></h2>'
        f"{words}{listed}</div></article>\n"
    )


def _mark_keyword(card: Card) -> str:
    """The prompt, HTML; the words that name the thing are marked."""
    before, found, after = card.prompt.partition(card.keyword) if card.keyword else (card.prompt, "", "")
    marked = f"<mark>{escape_text(found)}</mark>" if found else ""
    return f"{escape_text(before)}{marked}{escape_text(after)}"


def _build_views(card: Card) -> str:
    """Target, target with its mask, reference with its mask; the target's picture is in the file once.

    The photo from before an edit stands before them, with what it shows of the thing.
    """
    target, reference, source, number = card.target, card.reference, card.source, card.number
    if target is None and reference is None and source is None:
        return ""
    views = (
        _build_view(target, "Target", _embed(target, f"t{number}"), masked=False)
        + _build_view(target, "Target, masked", f'<use href="#t{number}"/>', masked=True)
        + _build_view(reference, "Reference", _embed(reference, f"r{number}"), masked=True)
    )
    if not card.instructed:
        return f'<div class="views">{views}</div>'
    before = _build_view(source, "Source", _embed(source, f"s{number}"), masked=True)
    return f'<div class="views four">{before}{views}</div>'


def _embed(picture: Picture | None, name: str) -> str:
    if picture is None:
        return ""
    (height, width), data = picture.size, base64.b64encode(picture.data).decode()
    return f'<image id="{name}" href="data:image/webp;base64,{data}" width="{width}" height="{height}"/>'


def _build_view(picture: Picture | None, name: str, image: str, *, masked: bool) -> str:
    if picture is None:
        return f'<figure><div class="empty">no picture</div><figcaption>{name}</figcaption></figure>'
    height, width = picture.size
    drawn = build_outline(picture.outline, picture.size) if masked else ""
    share = "no mask" if picture.share is None else f"mask {show_percent(picture.share)} %"
    words = [f"{picture.full[1]} × {picture.full[0]}"] if image.startswith("<image") else []
    words += [share] if masked else []
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{name}">{image}{drawn}</svg>'
        f"<figcaption>{name}<br>{', '.join(f'<span>{part}</span>' for part in words)}</figcaption></figure>"
    )
