"""The worst and the best edits as cards side by side, with filters over them; every picture is in the page once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from a2cli.evaluation.report.charts import Look
from a2cli.evaluation.report.markdown import choose_headline
from a2cli.evaluation.results import Exhibit, Picture, Results
from a2cli.pages.filters import FILTER_STYLE, build_filters, build_outline, build_select, number_names
from a2cli.pages.plots import escape_text, show_number

MOST_BYTES = 1_800_000  # of pictures as base64; cards beyond are shown without
FIGURES = 3  # values below each edit
ACROSS = 8  # pictures beside each other on a wide screen
EDIT = "edit: "

GALLERY_STYLE = (
    FILTER_STYLE
    + """
.card { margin: 0 0 18px; padding: 14px 16px 16px; border: 1px solid var(--rule); border-radius: 10px;
  overflow-wrap: anywhere; } .card h3 { margin: 0 0 10px; display: flex; flex-wrap: wrap; gap: 2px 12px;
  align-items: baseline; } .card h3 span { color: var(--soft); font-size: 13px; font-weight: 400; }
.card h3 .end { padding: 1px 9px; border-radius: 9px; background: var(--tint); color: var(--fall); font-weight: 600; }
.card h3 .end.best { color: var(--rise); } .card h3 .asked { flex-basis: 100%; color: var(--ink); }
.views { display: grid; grid-template-columns: repeat(var(--across), minmax(0, 1fr)); gap: 12px; }
.views figure { margin: 0; min-width: 0; max-width: 256px; }
.views svg { width: 100%; border-radius: 5px; background: var(--tint); outline: 1px solid var(--rule); }
.views figcaption { margin-top: 5px; font-size: 12.5px; line-height: 1.4; }
.views b { display: block; color: var(--ink); font-weight: 600; } .views i { font-style: normal; color: var(--c); }
.views figcaption span { display: block; } .views .given { order: -1; }
.store { position: absolute; width: 0; height: 0; overflow: hidden; }
@media (max-width: 900px) { .views { grid-template-columns: repeat(4, minmax(0, 1fr)); } }
@media (max-width: 640px) { .card { padding: 10px; } .views { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .views figcaption span + span { display: none; } }
@media print { .card { break-inside: avoid; } .views { grid-template-columns: repeat(6, 1fr); } }
"""
)

GALLERY_SCRIPT = r"""
(() => {
  const method = document.getElementById("method");
  if (!method) return;
  const views = [...document.querySelectorAll("[data-by]")];
  const show = () => {
    for (const view of views) view.hidden = method.value !== "" && view.dataset.by !== method.value;
  };
  method.addEventListener("input", show);
  for (const node of document.querySelectorAll(".clear")) node.addEventListener("click", show);
  addEventListener("pageshow", show);
  show();
})();
"""


@dataclass
class _Store:
    """Pictures of a page by their data, each once, as long as there is room."""

    numbers: dict[str, int] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, pictures: Sequence[Picture]) -> bool:
        """Whether all of a card's pictures are in the page."""
        new = {picture.data: picture for picture in pictures if picture.data not in self.numbers}
        needed = sum(map(len, new))
        if self.size + needed > MOST_BYTES:
            return False
        self.size += needed
        for data, picture in new.items():
            self.numbers[data] = len(self.images)
            height, width = picture.size
            self.images.append(
                f'<image id="p{self.numbers[data]}" href="data:image/webp;base64,{escape_text(data)}"'
                f' width="{width}" height="{height}"/>'
            )
        return True


def build_gallery_cards(results: Results, look: Look, keys: Sequence[str]) -> str:
    """Filters and cards of `results.gallery`; "" without any."""
    cases = results.gallery
    if not cases:
        return ""
    protocols = {name: str(i) for i, name in enumerate(results.protocols)}
    methods = {name: str(i) for i, name in enumerate(results.methods)}
    categories = number_names(case.category for case in cases)
    reasons = {why: str(i) for i, why in enumerate(dict.fromkeys(case.why for case in cases))}
    filters = (
        build_select("protocol", "Masks", "all", [(v, k) for k, v in protocols.items()]),
        build_select("category", "Category", "all", [(v, k or "no category") for k, v in categories.items()]),
        build_select("method", "Method", "all", [(v, k) for k, v in methods.items()]),
        build_select("why", "Why", "all", [(v, k) for k, v in reasons.items()]),
    )
    store, cards = _Store(), ""
    for number, case in enumerate(cases):
        shown = [name[len(EDIT) :] for name in case.pictures if name.startswith(EDIT)]
        data = (
            f'data-protocol="{protocols.get(case.protocol, "")}" data-category="{categories[case.category]}"'
            f' data-method="{" ".join(methods[name] for name in shown if name in methods)}"'
            f' data-why="{reasons[case.why]}"'
        )
        embedded = store.add(list(case.pictures.values()))
        views = _build_views(case, store, look, methods, keys) if embedded else "<p>No room for pictures.</p>"
        cards += (
            f'<article class="card" {data} aria-labelledby="c{number}">{_build_head(case, number)}'
            f'<div class="views" style="--across: {_get_columns(len(case.pictures))}">{views}</div></article>\n'
        )
    bar = build_filters(filters, what="cases", example="id, category, prompt …")
    return (
        f'<svg class="store" aria-hidden="true"><defs>{"".join(store.images)}</defs></svg>{bar}{cards}'
        '<p id="none" hidden>No case fits. <button type="button" class="clear">Clear</button></p>'
    )


def _build_head(case: Exhibit, number: int) -> str:
    kind = " · ".join(filter(None, [case.category, case.protocol]))
    end = case.why.partition(" ")[0]
    asked = f'<span class="asked">{escape_text(case.prompt)}</span>' if case.prompt else ""
    return (
        f'<h3 class="words"><b id="c{number}">{escape_text(case.id)}</b><span>{escape_text(kind)}</span>'
        f'<span class="end{" best" if end == "best" else ""}">{escape_text(case.why)}</span>{asked}</h3>'
    )


def _build_views(
    case: Exhibit, store: _Store, look: Look, methods: dict[str, str], keys: Sequence[str]
) -> str:
    figures = _choose_figures(case, keys)
    views = ""
    photo = "Photo and mask" if case.outline else "Photo"
    for name, words in (("source", photo), ("reference", "Reference"), ("target", "Target")):
        if name in case.pictures:
            outline = case.outline if name == "source" else ""
            caption = f"<b>{words}</b>"
            views += _build_view(case.pictures[name], store, words, caption, 'class="given"', outline)
    for name, picture in case.pictures.items():
        method = name.removeprefix(EDIT)
        if name == method:
            continue
        values = case.values.get(method, {})
        told = "".join(
            f"<span>{escape_text(key)} {show_number(values[key], 4)}</span>"
            for key in figures
            if key in values
        )
        kind = look.kinds.get(method, "")
        caption = f'<b><i class="{kind}" aria-hidden="true">■</i> {escape_text(method)}</b>{told}'
        number = methods.get(method, "")
        views += _build_view(picture, store, f"Edit by {method}", caption, f'data-by="{number}"', "")
    return views


def _build_view(
    picture: Picture, store: _Store, words: str, caption: str, attribute: str, outline: str
) -> str:
    height, width = picture.size
    return (
        f'<figure {attribute}><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape_text(words)}">'
        f'<use href="#p{store.numbers[picture.data]}"/>{build_outline(escape_text(outline), picture.size)}</svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _get_columns(pictures: int) -> int:
    """So many that all stand in one row, or in rows about as long as each other."""
    rows = -(-pictures // ACROSS)
    return max(5, -(-pictures // max(1, rows)))


def _choose_figures(case: Exhibit, keys: Sequence[str]) -> list[str]:
    """The value the case was chosen by, then others of the headline."""
    there = {key for values in case.values.values() for key in values}
    named = [key for key in keys if f"by {key}," in case.why]
    rest = [key for key in choose_headline([key for key in keys if key in there]) if key not in named]
    return [*named, *rest][:FIGURES]
