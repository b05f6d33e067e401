"""What results.md says beside its scores: the judge, what is missing, how all was measured; and a table's form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from a2cli.evaluation.report.identity import describe_masks, describe_method
from a2cli.evaluation.report.judge_page import MARKS, SIDES, list_marks, list_sides, tell_judge
from a2cli.evaluation.results import Results
from a2cli.files import show_name


def build_judge_notes(results: Results) -> str:
    """Who judged, how much was answered and at what cost, and what the order of the pictures changed."""
    judge = results.judge
    if not judge:
        return ""
    told = (
        f"{name}: {value} ({remark})" if remark else f"{name}: {value}"
        for name, value, remark in tell_judge(judge)
    )
    text = "## Judge\n\n" + "".join(f"- {escape_words(line)}\n" for line in told) + "\n"
    if marks := list_marks(judge):
        text += format_table(MARKS, marks)
    if sides := list_sides(judge):
        text += format_table(SIDES, sides)
    return text


def build_missing(results: Results) -> str:
    """Why metrics that were asked for have no values."""
    if not results.missing:
        return ""
    lines = (
        f"- {escape_words(name)}: missing: {escape_words(why)}\n" for name, why in results.missing.items()
    )
    return f"## Missing\n\n{''.join(lines)}"


def build_implementations(results: Results) -> str:
    """Definitions and implementations of metrics, what the methods were, how the masks were made."""
    parts = ("definition", "source", "implementation")
    rows = [[name, *(str(info.get(part, "")) for part in parts)] for name, info in results.metrics.items()]
    methods = [[name, describe_method(facts)] for name, facts in results.methods.items()]
    masks = [[name, describe_masks(facts)] for name, facts in results.protocols.items()]
    return (
        "## How it was measured\n\n"
        + format_table(["metric", *parts], rows, numbers=False)
        + format_table(["method", "what it was"], methods, numbers=False)
        + format_table(["masks", "how they were made"], masks, numbers=False)
    )


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> str:
    """A table in Markdown, columns of `numbers` to the right."""
    lines = [list(head), ["---", *["---:" if numbers else "---"] * (len(head) - 1)], *rows]
    return "".join("| " + " | ".join(map(escape_words, line)) + " |\n" for line in lines) + "\n"


def escape_words(text: str) -> str:
    """Text of others that ends no cell, opens no tag and no link."""
    plain = show_name(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return plain.replace("[", "\\[").replace("`", "\\`")
