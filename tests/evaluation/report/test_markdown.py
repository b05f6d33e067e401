"""results.md: the tables hold what the results hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scored import make_results, make_rows, with_mean

from a2cli.config.load import to_dict
from a2cli.evaluation.report.markdown import FOLLOWS, build_markdown, choose_headline, format_score, list_keys
from a2cli.evaluation.results import Results, Row, Score
from a2cli.metrics.table import METRICS


def read_tables(text: str) -> list[list[list[str]]]:
    """The cells of every table, head first, rules left out."""
    tables: list[list[list[str]]] = []
    before = ""
    for line in text.split("\n"):
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            if not line.startswith("| ---"):
                tables[-1].append([cell.strip() for cell in line.strip("|").split(" | ")])
        before = line
    return tables


@pytest.fixture
def rows() -> list[Row]:
    return make_rows()


@pytest.fixture
def results(rows: list[Row]) -> Results:
    return make_results(rows)


def test_methods_are_rows_and_masks_columns(results: Results, rows: list[Row]) -> None:
    found = with_mean(results, "nano", "fine", "psnr", 23.4567)
    scores = read_tables(build_markdown(found, rows))[0]
    assert scores[0][:3] == ["method", "fine: l1 ↓", "fine: psnr ↑"] and scores[0][-1] == "n"
    assert [line[0] for line in scores[1:]] == ["nano", "paste"] and scores[1][-1] == "24"
    cell = scores[1][scores[0].index("fine: psnr ↑")]
    se = found.parts[0].scores["psnr"].se
    assert se is not None and cell.startswith("**23.") and f"± {se:.2f}"[:5] in cell


def test_every_table_is_whole_and_the_best_is_bold(results: Results, rows: list[Row]) -> None:
    tables = read_tables(build_markdown(results, rows))
    assert len(tables) >= 6 and all(len({len(line) for line in table}) == 1 for table in tables)
    bold = [[cell.startswith("**") for cell in line[1:-1]] for line in tables[0][1:]]
    assert bold[0] == [True] * len(bold[0]) and not any(bold[1])  # nano is better throughout


def test_the_drop_is_paired(results: Results, rows: list[Row]) -> None:
    text = build_markdown(results, rows)
    drop = read_tables(text[text.index("## From fine to rough") :])[0]
    column = drop[0].index("psnr ↑")
    naive = [
        b.values["psnr"] - a.values["psnr"]
        for a in rows
        for b in rows
        if a.id == b.id and a.method == b.method == "nano" and (a.protocol, b.protocol) == ("fine", "rough")
    ]
    shown = float(drop[1][column].split(" ")[0])
    assert shown == pytest.approx(sum(naive) / 24, abs=0.01) and drop[1][column].startswith("-")
    error = float(drop[1][column].split("± ")[1])
    alone = results.parts[0].scores["psnr"].se
    assert alone is not None and error < alone / 2


def test_a_sweep_has_masks_as_rows(rows: list[Row]) -> None:
    protocols = ("fine", "erode-16", "erode-32", "dilate-16", "shift-32")
    many = make_rows(("nano",), protocols, n=4)
    text = build_markdown(make_results(many), many)
    table = read_tables(text)[0]
    assert (
        "### nano" in text and table[0][0] == "masks" and [line[0] for line in table[1:]] == list(protocols)
    )


def test_categories_missing_and_implementations_are_told(results: Results, rows: list[Row]) -> None:
    text = build_markdown(results, rows)
    assert (
        "- clip_i: missing: no network here" in text and "| psnr | 10 log10" in text and "| drawn |" in text
    )
    categories = read_tables(text[text.index("## By category") :])[0]
    assert [line[0] for line in categories] == ["category", "animals", "vehicles"]
    assert categories[1][-1] == "12"
    assert "paste" not in " ".join(categories[0])  # baselines are no news there
    assert "Nothing failed" in text
    failed = replace(results, failures={"edit: DataError": 2})
    assert "**2 failed**: 2 edits could not be read (failures.jsonl)" in build_markdown(failed, rows)
    assert "Without baselines (paste)." in text


def test_set_values_have_no_error_and_missing_parts_a_dash(results: Results, rows: list[Row]) -> None:
    parts = tuple(
        replace(part, n=20, scores={**part.scores, "fid": Score(57.72 + i, None, 20)})
        for i, part in enumerate(results.parts)
        if (part.method, part.protocol) != ("paste", "rough")
    )
    metrics = {**results.metrics, "fid": to_dict(METRICS["fid"])}
    text = build_markdown(replace(results, parts=parts, metrics=metrics), rows)
    scores = read_tables(text)[0]
    assert scores[1][scores[0].index("fine: fid ↓")] == "**57.72**"
    assert scores[2][scores[0].index("rough: fid ↓")] == "–" and scores[1][-1] == "20 of 24"
    drop = read_tables(text[text.index("## From fine to rough") :])[0]
    assert drop[1][drop[0].index("fid ↓")] == "+1" and drop[2][drop[0].index("fid ↓")] == "–"


def test_bold_is_explained_where_there_is_any(results: Results, rows: list[Row]) -> None:
    assert "**Bold**: the best of its column, as shown." in build_markdown(results, rows)
    alone = make_rows(("nano",))
    assert "**" not in build_markdown(make_results(alone), alone)
    sweep = make_rows(("nano", "paste"), ("fine", "erode-16", "erode-32", "dilate-16"), n=4)
    assert "**" not in build_markdown(make_results(sweep), sweep)


def set_scores(results: Results, found: dict[str, Score]) -> Results:
    """One value for each method, under every protocol."""
    return replace(
        results, parts=tuple(replace(part, scores={"psnr": found[part.method]}) for part in results.parts)
    )


@pytest.mark.parametrize(
    ("scores", "bold"),
    [
        ((20.001, 20.004, 19.0), (True, True, False)),
        ((20.001, 20.004, 20.0), (False, False, False)),
        ((20.001, None, 20.004), (False, False, False)),
        ((20.001, None, 20.4), (False, False, True)),
        ((-3.0, -2.0, None), (False, True, False)),
    ],
)
def test_equal_as_shown_is_all_bold_or_none(scores: tuple[float | None, ...], bold: tuple[bool, ...]) -> None:
    names = ("nano", "paste", "mean")
    rows = make_rows(names, ("fine",), n=4)
    found = {name: Score(mean, 0.5 if mean else None, 4) for name, mean in zip(names, scores, strict=True)}
    table = read_tables(build_markdown(set_scores(make_results(rows), found), rows))[0]
    assert tuple(line[1].startswith("**") for line in table[1:]) == bold


def test_values_over_masks_are_said_to_follow_them(results: Results, rows: list[Row]) -> None:
    text = build_markdown(results, rows)
    drop = text[text.index("## From fine to rough") :]
    assert FOLLOWS in drop.split("|")[0]
    plain = [replace(row, values={"l1": row.values["l1"]}) for row in rows]
    assert FOLLOWS not in build_markdown(set_l1(results), plain)


def set_l1(results: Results) -> Results:
    return replace(
        results,
        parts=tuple(replace(part, scores={"l1": part.scores["l1"]}) for part in results.parts),
    )


def test_a_judge_is_told_of(results: Results, rows: list[Row]) -> None:
    judge = {
        "model": "a|judge",
        "api": "openai",
        "asked": 50,
        "answered": 40,
        "from_cache": 9,
        "calls": 44,
        "cost": 1.37,
        "failed": {"timeout": 1},
        "coverage": {"vlm": 0.98},
        "expected": {"vlm": 50},
        "position_bias": {"vlm": {"mean": 1.25, "se": 0.5, "n": 12}},
        "compared": {
            "nano against paste": {"fine": {"asked": 9, "judged": 8, "wins": 5, "ties": 2, "losses": 1}}
        },
    }
    text = build_markdown(replace(results, judge=judge), rows)
    told = text[text.index("## Judge") :]
    assert "- Model: a\\|judge (openai)\n" in told and "- Cost: 1.37 (of this run)\n" in told
    assert "- Answered: 49 (of 50 asked, 9 kept from before)\n" in told
    marks, sides = read_tables(told)[:2]
    assert marks[1] == ["vlm", "98.0 %", "50", "1.25 ± 0.5", "12"]
    assert sides[1] == ["nano against paste", "fine", "5", "2", "1", "8 of 9", "–", "–"]
    assert "## Judge" not in build_markdown(results, rows)


def test_methods_are_told_in_words(results: Results, rows: list[Row]) -> None:
    text = build_markdown(results, rows)
    assert "| paste | baseline: the reference's subject stretched to the mask's box |" in text


def test_others_words_end_no_cell(results: Results, rows: list[Row]) -> None:
    named = replace(results, title="a|b <script> [x](y)\n# z", data={"name": "p|q`", "split": "test"})
    text = build_markdown(named, rows)
    assert text.startswith("# a\\|b &lt;script> \\[x](y)\\\\n# z\n") and "p\\|q\\`, test" in text


def test_nothing_measured_is_no_crash(results: Results) -> None:
    empty = replace(
        results, parts=tuple(replace(part, n=0, scores={}, per_category={}) for part in results.parts)
    )
    text = build_markdown(empty, [])
    assert list_keys(empty) == [] and "## Scores" not in text and "## How it was measured" in text


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Score(21.34567, 0.4249, 9), "21.35 ± 0.42"),
        (Score(0.0898123, 0.00123, 9), "0.0898 ± 0.0012"),
        (Score(123.456, 12.3, 9), "123 ± 12"),
        (Score(1.0, 0.0, 9), "1 ± 0"),
        (Score(0.3, 1e-17, 9), "0.3 ± 0"),
        (Score(57.7234, None, 9), "57.72"),
        (Score(None, None, 0), "–"),
        (None, "–"),
    ],
)
def test_a_score_has_the_digits_its_error_allows(score: Score | None, text: str) -> None:
    assert format_score(score) == text


def test_the_headline_prefers_the_papers_columns() -> None:
    keys = [key for info in METRICS.values() for key in info.keys]
    assert choose_headline(keys) == ["lpips_alex", "clip_i", "dino_i", "fid", "vlm"]
    assert choose_headline(["l1", "l1@mask", "seam"], 2) == ["l1@mask", "seam"]
