"""The frame of a page that is one file: it asks for nothing, runs no script but its own, works from a file: address."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name, write_bytes
from a2cli.pages.plots import STYLE, escape_text

PAGE_STYLE = """
* { box-sizing: border-box; } p, details { margin: 8px 0; } summary { cursor: pointer; }
body { margin: 0 auto; max-width: 1080px; padding: 28px 24px 64px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 36px 0 14px; padding-top: 14px; border-top: 1px solid var(--rule); }
h3 { font-size: 15px; margin: 26px 0 8px; } figure { margin: 0 0 22px; } .wide { overflow-x: auto; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(172px, 1fr)); gap: 20px 24px; margin: 24px 0; }
dl div { border-left: 3px solid var(--s0); padding-left: 12px; } dd span { display: block; }
dd { margin: 0; font-size: 18px; font-weight: 600; line-height: 1.35; overflow-wrap: anywhere; }
dt, dd span, figcaption, th { color: var(--soft); font-size: 13px; font-weight: 400; }
.notes { border-left: 3px solid var(--s1); margin: 20px 0; padding: 0 0 0 30px; }
.line-chart { width: 100%; margin-bottom: 14px; } .wide svg { max-width: none; } .wide .line-chart { min-width: 680px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(440px, 100%), 1fr)); gap: 18px 24px; }
img { display: block; max-width: 100%; height: auto; } table { border-collapse: collapse; font-size: 14px; }
th, td { padding: 4px 20px 4px 0; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child, caption { text-align: left; } tbody th { min-width: 8em; }
caption { padding-bottom: 4px; font-size: 13.5px; font-weight: 600; }
pre { overflow-x: auto; padding: 14px 16px; background: var(--tint); font: 13px/1.5 ui-monospace, monospace; }
:focus-visible { outline: 3px solid var(--s0); outline-offset: 2px; border-radius: 3px; }
@media (max-width: 640px) { body { padding: 20px 14px 48px; }
  dl { grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); } }
@media print { body { max-width: none; padding: 0; } .grid { grid-template-columns: 1fr 1fr; }
  h2, h3 { break-after: avoid; } svg, figure, tr, dl { break-inside: avoid; } .wide svg { max-width: 100%; } }
"""


def build_page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole HTML document around `body`, which is HTML already; `title` is text and is escaped.

    Its policy lets nothing be fetched and, of scripts, only `script` run (by its hash), so that what slipped into
    `body` unescaped could neither. `style` comes after the styles of charts and pages. Raises `ValueError` for a
    style or script that would end its own element.
    """
    if "</" in style or "</" in script or "<!--" in script:
        raise ValueError("a style or script of a page holds a tag")
    style = f"{STYLE}{PAGE_STYLE}{style}"
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{escape_text(title)}</title>\n<style>{style}</style></head>\n"
        f"<body><main>\n{body}\n</main>{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def check_page(out: Path) -> None:
    """Raise, before any work is done, `ConfigError` for a name that no page has, `DataError` for a missing folder."""
    shown = show_name(str(out))
    if out.suffix.lower() not in (".html", ".htm"):  # a data set's file is not written over by a slip
        raise ConfigError(f"{shown}: not the name of a page", hint="end it in .html")
    if not out.parent.is_dir():
        raise DataError(f"{shown}: its folder is not there", hint="make the folder first")


def write_page(page: str, out: Path) -> None:
    """Write a page in one step. Raises as `check_page` does, and `DataError` when the disk refuses."""
    check_page(out)
    write_bytes(page.encode(), out)


def build_tiles(tiles: Iterable[tuple[str, str, str]]) -> str:
    """The figures at the head of a page: name, value and a remark each, all text."""
    shown = "".join(
        f"<div><dt>{escape_text(name)}</dt><dd>{escape_text(value)}<span>{escape_text(remark)}</span></dd></div>"
        for name, value, remark in tiles
    )
    return f"<dl>{shown}</dl>"


def build_notes(notes: Sequence[str]) -> str:
    """What the reader must know before the rest, a line of text each; nothing for none."""
    listed = "".join(f"<li>{escape_text(note)}</li>" for note in notes)
    return f'<ul class="notes">{listed}</ul>' if notes else ""


def build_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str) -> str:
    """A table of texts whose first column names the rows; it scrolls by itself where it is too wide."""
    names = "".join(f'<th scope="col">{escape_text(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{escape_text(row[0])}</th>'
        + "".join(f"<td>{escape_text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    name = escape_text(caption)
    table = f"<table><caption>{name}</caption><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<div class="wide" role="region" aria-label="{name}" tabindex="0">{table}</div>'


def build_section(title: str, body: str) -> str:
    """A part of a page under a heading of its own; `body` is HTML."""
    return f"<section><h2>{escape_text(title)}</h2>{body}</section>\n"
