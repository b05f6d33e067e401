"""Filters over the cards of a page: a search, selects with counts, outlines of masks on and off; from a file too.

A card is an element of class `card` with a number for each select in its data attribute of the select's name, several
with spaces between them, and an element of class `words` that the search looks through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from a2cli.pages.plots import escape_text

FILTER_STYLE = """
[hidden] { display: none !important; }
#filters { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: 10px 14px; align-items: end;
  margin: 26px -24px 22px; padding: 12px 24px; background: var(--ground); border-block: 1px solid var(--rule); }
.field { display: grid; gap: 3px; } .field label { color: var(--soft); font-size: 13px; }
.tick { display: flex; gap: 7px; align-items: center; height: 36px; color: var(--ink); font-size: 14px; }
.text { flex: 1 1 180px; } #shown { margin-left: auto; line-height: 36px; white-space: nowrap; }
input[type=search], select, button { height: 36px; padding: 0 10px; border: 1px solid var(--soft); border-radius: 6px;
  background: var(--ground); color: var(--ink); font: inherit; font-size: 14px; width: 100%; }
button { width: auto; cursor: pointer; } button:hover { background: var(--tint); } select { max-width: 15em; }
input[type=checkbox] { width: 17px; height: 17px; margin: 0; accent-color: var(--s0); }
.dim { fill: #000; fill-opacity: .45; fill-rule: evenodd; } .edge { fill: none; stroke: #fff; stroke-width: 2.8; }
.edge, .line { stroke-linejoin: round; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.line { fill: none; stroke: #e6005a; stroke-width: 1.4; } .bare .dim, .bare .edge, .bare .line { display: none; }
#none { padding: 60px 0; text-align: center; color: var(--soft); }
@media (max-width: 640px) {
  #filters { position: static; margin-inline: -14px; padding-inline: 14px; }
  .field { flex: 1 1 40%; } select { max-width: none; } #shown { margin: 0; } }
@media print { #filters { display: none; } }
"""

FILTER_SCRIPT = r"""
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const search = find("search"), outlines = find("outlines"), shown = find("shown"), none = find("none");
  const selects = [...document.querySelectorAll("#filters select")];
  const cards = [...document.querySelectorAll(".card")].map((node) => ({
    node,
    text: node.querySelector(".words").textContent.toLowerCase(),
    values: Object.fromEntries(selects.map((s) => [s.id, node.dataset[s.id].split(" ")])),
  }));
  const fits = (card, select, value) => value === "" || card.values[select.id].includes(value);
  function update() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    const left = cards.filter((card) => words.every((word) => card.text.includes(word)));
    for (const card of cards) card.node.hidden = true;
    for (const card of left) {
      if (selects.every((select) => fits(card, select, select.value))) { card.node.hidden = false; count += 1; }
    }
    for (const select of selects) {
      const others = selects.filter((other) => other !== select);
      const rest = left.filter((card) => others.every((other) => fits(card, other, other.value)));
      for (const option of select.options) {
        option.text = `${option.dataset.name} (${rest.filter((card) => fits(card, select, option.value)).length})`;
      }
    }
    shown.textContent = `${count} of ${cards.length} shown`;
    none.hidden = count > 0;
    document.body.classList.toggle("bare", !outlines.checked);
  }
  function clear() {
    search.value = "";
    for (const select of selects) select.value = "";
    update();
    search.focus();
  }
  for (const node of [search, outlines, ...selects]) node.addEventListener("input", update);
  for (const node of document.querySelectorAll(".clear")) node.addEventListener("click", clear);
  addEventListener("pageshow", update);
  find("filters").hidden = false;
  update();
})();
"""

Choice = tuple[str, str]  # value of an option, its words


def number_names(names: Iterable[str]) -> dict[str, str]:
    """A number for every name, as the values of options: names themselves may hold anything. "" comes last."""
    return {name: str(number) for number, name in enumerate(sorted(set(names), key=lambda n: (n == "", n)))}


def build_select(name: str, label: str, everything: str, choices: Sequence[Choice]) -> str:
    """A select of id `name` whose first option, `everything`, filters nothing."""
    options = "".join(
        f'<option value="{value}" data-name="{escape_text(words)}">{escape_text(words)}</option>'
        for value, words in [("", everything), *choices]
    )
    return (
        f'<div class="field"><label for="{name}">{label}</label>'
        f'<select id="{name}" autocomplete="off">{options}</select></div>'
    )


def build_filters(selects: Sequence[str], *, what: str, example: str) -> str:
    """The bar of filters over `what` ("records"); hidden until the script runs. `example` says what can be searched."""
    return (
        f'<div id="filters" role="search" aria-label="Filter the {what}" hidden>'
        '<div class="field text"><label for="search">Search</label><input type="search" id="search"'
        f' autocomplete="off" spellcheck="false" placeholder="{example}"></div>'
        f"{''.join(selects)}"
        '<label class="tick"><input type="checkbox" id="outlines" checked> Masks</label>'
        '<button type="button" class="clear">Clear</button>'
        '<output id="shown" aria-live="polite"></output></div>'
    )


def build_outline(path: str, size: tuple[int, int]) -> str:
    """A mask's outline over a picture of `size` (height, width), what lies outside it dimmed; "" without one."""
    if not path:
        return ""
    height, width = size
    return (
        f'<path class="dim" d="M0 0H{width}V{height}H0Z{path}"/>'
        f'<path class="edge" d="{path}"/><path class="line" d="{path}"/>'
    )
