"""What is counted: rates, intervals against naive loops, strengths against a plain ascent; and what is refused."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studies import METHODS, answer_all, make_key

from a2cli.errors import DataError
from a2cli.evaluation.study.answers import Answer, Answers, load_answers
from a2cli.evaluation.study.config import StudyKey, Trial
from a2cli.evaluation.study.score import Share, get_share, list_tables, score_study, to_record
from a2cli.evaluation.study.strength import PRIOR, get_strengths

A, B = METHODS


def test_wins_ties_and_losses_are_counted_whatever_the_side() -> None:
    key = make_key(8)
    said = [A, A, A, A, A, "tie", "tie", B]
    duel = score_study(key, answer_all(key, 1, lambda t, _: said[int(t.code[1:])])).duels[0]
    assert (duel.a, duel.b, duel.wins, duel.ties, duel.losses) == (A, B, 5, 2, 1)
    assert duel.rate.share == pytest.approx(6 / 8) and duel.rate.n == 8
    assert (duel.raters, duel.items) == (1, 8)


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe, 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for wins, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        share = get_share(wins, n)
        assert (share.low, share.high) == pytest.approx((low, high), abs=1e-4)
    assert get_share(0, 0) == Share(None, None, None, 0)


def test_the_interval_widens_where_answers_are_not_independent() -> None:
    """Two persons who each always say the same thing are not worth as much as forty answers."""
    key = make_key(20)
    stubborn = score_study(key, answer_all(key, 2, lambda t, rater: METHODS[rater])).duels[0].rate
    assert stubborn.share == 0.5 and (stubborn.low, stubborn.high) == (0.0, 1.0)
    rng = random.Random(0)
    mixed = score_study(key, answer_all(key, 2, lambda t, _: rng.choice(METHODS))).duels[0].rate
    assert mixed.low is not None and mixed.high is not None and 0.15 < mixed.high - mixed.low < 0.6


def test_the_bootstrap_draws_raters_and_records() -> None:
    """The spread of its means is near that of a naive loop over persons and records."""
    key = make_key(12)
    rng = random.Random(1)
    liking = {f"p{i}": rng.random() for i in range(6)}
    answers = answer_all(key, 6, lambda t, r: A if rng.random() < liking[f"p{r}"] else B)
    rate = score_study(key, answers, resamples=4000).duels[0].rate
    won = {
        (a.rater, key.by_code[a.code].id): float(getattr(key.by_code[a.code], a.choice) == A)
        for a in answers.answers
    }
    people, items = sorted({r for r, _ in won}), sorted({i for _, i in won})
    means = []
    for _ in range(2000):
        drawn = [(r, i) for r in rng.choices(people, k=6) for i in rng.choices(items, k=12)]
        means.append(np.mean([won[place] for place in drawn]))
    low, high = np.quantile(means, [0.025, 0.975])
    wilson = get_share(sum(won.values()), len(won))
    assert wilson.low is not None and wilson.high is not None
    assert rate.low == pytest.approx(min(low, wilson.low), abs=0.05)
    assert rate.high == pytest.approx(max(high, wilson.high), abs=0.05)
    assert rate.low < wilson.low and rate.high > wilson.high


def climb(wins: np.ndarray) -> np.ndarray:
    """The likelihood's maximum by plain gradient ascent, one pair at a time."""
    k = len(wins)
    score = np.zeros(k)
    for _ in range(20_000):
        slope = np.zeros(k)
        for i in range(k):
            for j in range(k):
                if i != j:
                    expected = 1 / (1 + math.exp(score[j] - score[i]))
                    slope[i] += wins[i, j] - (wins[i, j] + wins[j, i]) * expected
        score += 0.02 * slope
        if np.abs(slope).max() < 1e-9:
            break
    return score - score.mean()


def test_strengths_are_the_most_likely_ones() -> None:
    wins = np.array([[0, 7, 9.5, 0], [3, 0, 6, 2], [0.5, 4, 0, 5], [0, 3, 5, 0]])
    met = (wins + wins.T) > 0
    found = get_strengths(wins[None])
    assert found is not None
    assert found[0] == pytest.approx(climb(wins + PRIOR * met), abs=1e-6)
    both = get_strengths(np.stack([wins, wins.T]))
    assert both is not None and both[1] == pytest.approx(-both[0], abs=1e-6)
    apart = np.zeros((4, 4))
    apart[0, 1] = apart[2, 3] = 5
    assert get_strengths(apart[None]) is None


def test_strengths_recover_what_the_answers_were_drawn_from() -> None:
    names = ("m0", "m1", "m2", "m3")
    true = np.array([1.0, 0.4, -0.3, -1.1])
    key, rng = make_key(240, names), random.Random(3)

    def choose(trial: Trial, _: int) -> str:
        odds = true[names.index(trial.left)] - true[names.index(trial.right)]
        return trial.left if rng.random() < 1 / (1 + math.exp(-odds)) else trial.right

    scores = score_study(key, answer_all(key, 4, choose), resamples=300)
    assert [s.method for s in scores.strengths] == list(names)
    assert [s.score for s in scores.strengths] == pytest.approx(true.tolist(), abs=0.3)
    assert sum(s.score for s in scores.strengths) == pytest.approx(0, abs=1e-6)
    assert (
        sum(s.low <= t <= s.high for s, t in zip(scores.strengths, true, strict=True) if s.low and s.high)
        >= 3
    )
    assert len(scores.duels) == 6
    assert score_study(make_key(4), answer_all(make_key(4), 1, lambda t, _: A)).strengths == ()


def test_repeats_tell_how_steady_people_are_and_do_not_count_twice() -> None:
    key = make_key(8, repeats=4)
    steady = score_study(key, answer_all(key, 2, lambda t, _: A))
    assert steady.repeats.share == 1 and steady.repeats.n == 8
    assert steady.duels[0].rate.n == 16 and steady.n == 24
    lefty = score_study(key, answer_all(key, 2, lambda t, _: "left"))
    assert (lefty.repeats.share, lefty.left.share, lefty.left.n) == (0, 1, 24)
    half = score_study(key, answer_all(key, 2, lambda t, r: "tie" if r else "left"))
    assert half.repeats.share == 0.5
    assert [(r.rater, r.consistency.share, r.left.share, r.median_seconds) for r in half.raters] == [
        ("p0", 0, 1, 1.5),
        ("p1", 1, None, 1.5),
    ]


def test_the_record_is_json_and_the_tables_hold_it() -> None:
    key = make_key(12, ("m0", "m1", "m2"), repeats=2)
    scores = score_study(key, answer_all(key, 2, lambda t, _: min(t.left, t.right)))
    record = json.loads(json.dumps(to_record(scores), allow_nan=False))
    assert record["duels"][0]["rate"]["share"] == 1.0 and record["repeats"]["n"] == 4
    tables = dict(list_tables(scores))
    duels, strengths, people = tables.values()
    assert duels[1][:7] == ("overall", "m0", "m1", "8", "0", "0", "100.0 %")
    assert [row[1] for row in strengths[1:]] == ["m0", "m1", "m2"]
    assert people[-1][:3] == ("all", "28", "100.0 %")
    assert all(len(row) == len(table[0]) for table in tables.values() for row in table)


# Files of answers


def write_file(path: Path, key: StudyKey, entries: list[Any], **changes: Any) -> Path:
    record = {
        "format": "a2-study-answers",
        "version": 1,
        "study": key.study,
        "rater": path.stem,
        "answers": entries,
    }
    path.write_text(json.dumps(record | changes))
    return path


def test_what_is_wrong_with_a_file_is_one_line_and_the_rest_counts(tmp_path: Path) -> None:
    key = make_key(4)
    good = [{"trial": f"c{i}", "question": "overall", "answer": "left", "ms": 900} for i in range(4)]
    bad: list[Any] = [
        good[0] | {"trial": "c9"},
        good[0] | {"trial": ["c0"]},
        good[1] | {"question": "beauty"},
        good[1] | {"answer": "both"},
        good[0],
        7,
    ]
    files = [
        write_file(tmp_path / "ann.json", key, [*good, *bad]),
        write_file(
            tmp_path / "bob.json", key, [*good[:2], good[2] | {"ms": True}, good[3] | {"ms": 10**400}]
        ),
        write_file(tmp_path / "other.json", key, good, study="study2"),
        write_file(tmp_path / "later.json", key, good, version=2),
        write_file(tmp_path / "kind.json", key, good, format="x"),
        write_file(tmp_path / "list.json", key, good, answers={}),
        tmp_path / "torn.json",
        tmp_path / "none.json",
    ]
    files[-2].write_text('{"format": "a2-st')
    found = load_answers(files, key)
    assert len(found.answers) == 8
    assert [a.ms for a in found.answers if a.rater == "bob"] == [900, 900, None, None]
    shown = [problem.replace(f"{tmp_path}/", "") for problem in found.problems]
    assert shown[:5] == [
        "ann.json: 2 answers to a pair that the study has not",
        "ann.json: 1 answer to a question that the study has not",
        "ann.json: 1 answer neither left, right nor tie",
        "ann.json: 1 answer given twice, the first counts",
        "ann.json: 1 answer of no known form",
    ]
    for line, said in zip(
        shown[5:],
        ("study2", "version 2", "not the answers", "no rater", "no JSON", "no such file"),
        strict=True,
    ):
        assert said in line and "\n" not in line
    assert score_study(key, found).problems == found.problems
    with pytest.raises(DataError, match="study2"):
        load_answers([files[2]], key)
    with pytest.raises(DataError, match="no files"):
        load_answers([], key)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DataError) as caught:
        load_answers([tmp_path / "other.json"], key)
    assert str(caught.value).count("the page saves them") == 1


def test_a_file_handed_in_twice_counts_once(tmp_path: Path) -> None:
    key = make_key(3)
    entries = [{"trial": f"c{i}", "question": "overall", "answer": "tie"} for i in range(3)]
    file = write_file(tmp_path / "ann.json", key, entries)
    found = load_answers([file, file], key)
    assert found.answers == tuple(Answer("ann", f"c{i}", "overall", "tie") for i in range(3))
    assert found.problems == (f"{file}: 3 answers given twice, the first counts",)


def test_a_question_nobody_answered_has_no_duel() -> None:
    key = make_key(3)
    assert score_study(key, Answers((Answer("p", "c0", "blend", "left"),))).duels == ()
