"""The data card of a build: Markdown with the front matter that the hub and `datasets` read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from a2cli.config.load import dump_yaml
from a2cli.files import show_name

if TYPE_CHECKING:
    from a2cli.building.output import BuildReport

LIBRARIES = ("numpy", "pillow", "opencv-python-headless", "av", "imagehash", "torch", "transformers", "pyiqa")
MOST_ROWS = 40


def get_count(count: int, noun: str) -> str:
    """A number and its noun: "1 pair", "1,200 pairs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def build_card(report: BuildReport, name: str, split: str) -> str:
    """The card's text, of what `report` counts."""
    front = {
        "pretty_name": show_name(name),
        "configs": [
            {"config_name": "default", "data_files": [{"split": split, "path": f"{split}-*.parquet"}]}
        ],
        "size_categories": [_get_size(report.pairs)],
        "task_categories": ["image-to-image"],
    }
    stages = {
        stage: value.get("model") if value.get("method") != "embedded" else "embedded"
        for stage, value in report.settings.items()
        if stage in ("detect", "segment")
    }
    allowed = report.settings.get("allow_licence")
    rows = {
        "id, split": "name of the pair, its split",
        "category, subcategory": "what is shown, in the words that a2 dataset taxonomy lists",
        "prompt": "a caption",
        "ref_image, ref_mask": "the reference picture, and where its subject is",
        "tar_image, tar_mask": "the target photo, and where the subject stands in it",
        "provenance": "JSON: source, author, licence, permission, group, tools, scores",
    }
    parts = [
        f"---\n{dump_yaml(front)}---\n\n# {_escape(show_name(name))}\n",
        f"{get_count(report.pairs, 'pair')} of one subject seen twice, out of {get_count(report.inputs, 'input')}.\n",
        "## Columns\n",
        _build_table(("column", "what it is"), rows.items()),
        "## Categories\n",
        _build_table(("category", "pairs"), _sort(report.categories)),
        _build_table(("subcategory", "pairs"), _sort(report.subcategories)) if report.subcategories else "",
        "## Licences\n",
        _build_table(("licence", "pairs"), _sort(report.licences)),
        "Every licence was allowed: the right to use the pictures was not checked.\n"
        if allowed is None
        else f"Allowed: {_escape(', '.join(allowed))}. Whatever states another licence or none was left out.\n",
        "## Sources\n",
        _build_table(("source", "pairs"), _sort(report.sources)),
        "## What was left out\n",
        _build_table(("stage and reason", "inputs"), _sort(report.rejects))
        if report.rejects
        else "Nothing.\n",
        "Single views left behind:\n\n" + _build_table(("reason", "views"), _sort(report.dropped))
        if report.dropped
        else "",
        "## Made with\n",
        _build_table(("stage", "method"), [(stage, method or "") for stage, method in stages.items()]),
        _build_table(("library", "version"), report.versions.items()),
    ]
    return "\n".join(part for part in parts if part)


def _sort(counts: dict[str, int]) -> list[tuple[str, str]]:
    """The largest first; from MOST_ROWS on one row for all that are left."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [(name, f"{count:,}") for name, count in ordered[:MOST_ROWS]]
    if rest := ordered[MOST_ROWS:]:
        rows.append((f"{len(rest)} more", f"{sum(count for _, count in rest):,}"))
    return rows


def _build_table(head: tuple[str, str], rows: Any) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    lines += [f"| {_escape(show_name(str(one)))} | {_escape(show_name(str(two)))} |" for one, two in rows]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """Text from the data, kept from being Markdown or HTML."""
    for mark in "\\|<>[]`*_{}":
        text = text.replace(mark, "\\" + mark if mark not in "<>{}" else f"&#{ord(mark)};")
    return text


def _get_size(count: int) -> str:
    names = (("n<1K", 1e3), ("1K<n<10K", 1e4), ("10K<n<100K", 1e5), ("100K<n<1M", 1e6))
    return next((name for name, limit in names if count < limit), "n>1M")
