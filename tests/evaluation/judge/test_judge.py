"""Judges behind APIs that answer well: marks, order, what is sent, kept and reported."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from api_server import Answer, serve_api
from judge_server import (
    MARKS,
    build_shot,
    build_shots,
    get_message,
    get_shown,
    mark_by_level,
    open_on,
    prefer_by_level,
    say,
    say_gemini,
)

from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.config import JudgeConfig
from a2cli.evaluation.judge.opening import get_address, open_judge

KEY = "sk-very-secret-0123456789"
VALUES = {"vlm": 70.0, "vlm_boundary": 80.0, "vlm_realism": 70.0, "vlm_consistency": 60.0}


def test_marks_become_metrics(tmp_path: Path) -> None:
    with serve_api(say(MARKS)) as server:
        judge = open_on(server, tmp_path, prices=(2.0, 10.0))
        assert judge.measure([build_shot()]) == [VALUES]
        report = judge.report()
    assert [info.name for info in judge.infos] == list(VALUES)
    (request,) = server.requests
    assert request.path == "/v1/chat/completions" and "Authorization" not in request.headers
    fields = request.fields
    assert (fields["model"], fields["temperature"], fields["seed"]) == ("judge-1", 0, 0)
    assert fields["response_format"]["json_schema"]["schema"]["required"][1:] == list(MARKS)
    assert {name: report[name] for name in ("asked", "answered", "from_cache", "calls", "retries", "spent")} == {
        "asked": 1, "answered": 1, "from_cache": 0, "calls": 1, "retries": 0, "spent": 1,
    }  # fmt: skip
    assert (report["tokens_in"], report["tokens_out"]) == (1000, 20)
    assert report["cost"] == pytest.approx(0.0022) and report["failed"] == {}
    assert report["coverage"] == dict.fromkeys(VALUES, 1.0) == report["expected"]
    assert "openai: judge-1 at 127.0.0.1" in judge.implementation and ", a2 " in judge.implementation
    json.dumps(report, allow_nan=False)


def test_the_pictures_arrive(tmp_path: Path) -> None:
    shot = build_shot(side=200, level=33)
    with serve_api(say(MARKS)) as server:
        open_on(server, tmp_path, max_side=128).measure([shot])
    message = get_message(server.requests[0])
    assert isinstance(message[0], str) and message[0].startswith("You judge edited photographs")
    assert isinstance(message[-1], str) and '"boundary_quality": "<1 to 100>"' in message[-1]
    shown = get_shown(server.requests[0])
    assert [name.split()[0] + " " + name.split()[1] for name in shown] == [
        "The photo", "The reference", "The edited", "A close-up",
    ]  # fmt: skip
    assert {picture.shape for picture in shown.values()} == {(128, 128, 3)}
    assert abs(shown["The edited photo"][36:60, 36:60].mean() - 33) < 3


def test_gemini_is_asked_in_its_own_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with serve_api(say_gemini(MARKS)) as server:
        judge = open_on(server, tmp_path, api="gemini", model="gemini-3-pro", key_variable="MY_KEY")
        assert judge.measure([build_shot()]) == [VALUES]  # not those of its thoughts
    (request,) = server.requests
    assert request.path == "/v1/models/gemini-3-pro:generateContent"
    assert request.headers["x-goog-api-key"] == KEY and "Authorization" not in request.headers
    assert len(get_shown(request)) == 4
    generation = request.fields["generationConfig"]
    assert generation["responseMimeType"] == "application/json" and generation["temperature"] == 0
    assert judge.report()["tokens_out"] == 27  # thoughts are paid


def test_vie_scores_are_the_least_and_the_root(tmp_path: Path) -> None:
    looks = {"naturalness": 9, "clean": "4/10"}
    with serve_api(say({"request_followed": 9, "rest_kept": 8}), say(looks)) as server:
        judge = open_on(server, tmp_path, ask=("vie",))
        assert judge.measure([build_shot()]) == [
            {"vie_sc": 8, "vie_pq": 4, "vie_o": pytest.approx(math.sqrt(32))}
        ]
    first, second = server.requests
    assert "«make it grey»" in str(get_message(first)[-2]) and len(get_shown(first)) == 2
    assert list(get_shown(second)) == ["The edited photo"]


def test_a_mark_of_zero_is_a_mark(tmp_path: Path) -> None:
    with serve_api(
        say({"request_followed": 0, "rest_kept": 8}), say({"naturalness": 9, "clean": 4})
    ) as server:
        judge = open_on(server, tmp_path, ask=("vie",))
        assert judge.measure([build_shot()]) == [{"vie_sc": 0, "vie_pq": 4, "vie_o": 0}]


def test_what_an_edit_lacks_is_not_asked(tmp_path: Path) -> None:
    bare = build_shot(source=None, prompt=" ")
    with serve_api(say(MARKS)) as server:
        judge = open_on(server, tmp_path, ask=("a2", "vie"))
        assert judge.measure([bare, build_shot(ref_rgb=None, ref_mask=None, prompt="")]) == [{}, {}]
        report = judge.report()
    assert not server.requests
    assert set(report["expected"].values()) == {0} and set(report["coverage"].values()) == {None}


def test_order_is_kept_by_many_workers(tmp_path: Path) -> None:
    shots = build_shots(12)
    with serve_api(mark_by_level()) as server:
        judge = open_on(server, tmp_path, workers=6)
        values = judge.measure(shots)
        alone = [open_on(server, tmp_path / "alone").measure([shot])[0] for shot in shots[::-1]]
    marks = [value["vlm"] for value in values]
    assert values == alone[::-1] and len(server.requests) == 24
    assert (np.diff(marks) > 1).all()


def test_nothing_is_paid_twice(tmp_path: Path) -> None:
    shots = build_shots(4)
    with serve_api(mark_by_level()) as server:
        first = open_on(server, tmp_path, workers=3)
        values = first.measure([*shots, *shots])  # twice under other names is once
        assert len(server.requests) == 4 and values[:4] == values[4:]
        again = open_on(server, tmp_path, budget=0)
        assert again.measure(shots) == values[:4]
    assert len(server.requests) == 4
    report = again.report()
    assert (report["from_cache"], report["calls"], report["tokens_in"], report["spent"]) == (4, 0, 0, 4)
    assert first.report()["asked"] == 8 and first.report()["from_cache"] == 4


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"text": 5, "refused": ""}', b'{"text": "{}", "refused": ""}']
)
def test_a_damaged_answer_in_the_cache_is_asked_for_again(tmp_path: Path, damage: bytes) -> None:
    with serve_api(say(MARKS)) as server:
        open_on(server, tmp_path).measure([build_shot()])
        (kept,) = tmp_path.glob("*.json")
        kept.write_bytes(damage)
        assert open_on(server, tmp_path).measure([build_shot()]) == [VALUES]
    assert len(server.requests) == 2


def test_answers_belong_to_whom_was_asked_and_what_was_shown(tmp_path: Path) -> None:
    with serve_api(say(MARKS)) as server, serve_api(say(MARKS)) as other:
        for options in (
            {},
            {"model": "judge-2"},
            {"max_side": 64, "url": other.url},
            {"url": server.url + "/"},
        ):
            open_on(server, tmp_path, **options).measure([build_shot()])
        open_on(server, tmp_path).measure([build_shot(121)])
    assert (len(server.requests), len(other.requests)) == (3, 1)


def test_the_budget_ends(tmp_path: Path) -> None:
    shots = build_shots(5)
    with serve_api(mark_by_level()) as server:
        judge = open_on(server, tmp_path, budget=3)
        values = judge.measure(shots)
        more = open_on(server, tmp_path, budget=4)
        assert [len(value) for value in more.measure(shots)] == [4, 4, 4, 4, 0]
    assert [len(value) for value in values] == [4, 4, 4, 0, 0] and len(server.requests) == 4
    report = judge.report()
    assert report["failed"] == {"judge budget spent": 2} and report["coverage"]["vlm"] == pytest.approx(0.6)
    assert report["asked"] == report["answered"] + report["from_cache"] + 2


def test_side_by_side_needs_a_win_in_both_orders(tmp_path: Path) -> None:
    a = [build_shot(level, id=f"n{level}") for level in (200, 60, 90, 120)]
    b = [build_shot(level, id=shot.id) for level, shot in zip((80, 180, 90, 130), a, strict=True)]
    with serve_api(prefer_by_level(lambda difference: 4 < difference < 50)) as server:
        judge = open_on(server, tmp_path, workers=3)
        found = judge.compare(a, b)
    assert [preference.winner for preference in found] == ["a", "b", "tie", "tie"]
    assert [preference.consistent for preference in found] == [True, True, True, False]
    assert found[3].answers == ("first", "first") and len(server.requests) == 8 - 1  # equal edits: one ask
    report = judge.report()["side_by_side"]
    assert {name: report[name] for name in ("judged", "wins", "losses", "ties", "inconsistent")} == {
        "judged": 4, "wins": 1, "losses": 1, "ties": 2, "inconsistent": 0.25,
    }  # fmt: skip
    with pytest.raises(DataError, match="different records"):
        judge.compare(a, b[::-1])


def test_an_answer_missing_on_one_side_leaves_no_preference(tmp_path: Path) -> None:
    with serve_api(say({"better": "first"}), say({"better": "A"})) as server:
        judge = open_on(server, tmp_path, retries=1)
        (found,) = judge.compare([build_shot(9)], [build_shot(200)])
    assert found.winner is None and found.consistent is None and found.answers == ("first", None)
    report = judge.report()["side_by_side"]
    assert (report["asked"], report["judged"], report["inconsistent"]) == (1, 0, None)


def test_a_missing_key_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A2_NO_KEY", raising=False)
    config = JudgeConfig(model="m", url="https://api.example.org/v1", key_variable="A2_NO_KEY")
    with pytest.raises(ConfigError, match="A2_NO_KEY is not set"):
        open_judge(config, tmp_path)
    with pytest.raises(ConfigError, match=r"judge\.url is no address"):
        open_judge(JudgeConfig(model="m", url="api.example.org"), tmp_path)
    with pytest.raises(ConfigError, match="no name of a variable") as caught:
        open_judge(JudgeConfig(model="m", key_variable=KEY), tmp_path)
    assert KEY not in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file"):
        open_judge(JudgeConfig(model="m", url="http://127.0.0.1:9/v1"), tmp_path / "file")


def test_no_key_of_one_company_goes_to_another() -> None:
    gemini = JudgeConfig(api="gemini", model="m")
    assert get_address(gemini) == ("https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY")
    own = JudgeConfig(api="gemini", model="m", url="http://localhost/v1", key_variable="K")
    assert get_address(own) == ("http://localhost/v1", "K")
    assert get_address(JudgeConfig(model="m")) == ("https://api.openai.com/v1", "OPENAI_API_KEY")


def test_the_key_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    told = Answer(json.dumps({"error": {"message": f"wrong key {KEY}"}}).encode(), 200)
    denied = Answer(json.dumps({"error": {"message": f"wrong key {KEY}"}}).encode(), 401)
    with serve_api(say(MARKS), told, denied) as server:
        judge = open_on(server, tmp_path, key_variable="MY_KEY", retries=0)
        judge.measure(build_shots(3))
    assert {request.headers["Authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    report = json.dumps(judge.report())
    assert KEY not in report and report.count("wrong key ***") == 2
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes() + path.name.encode()
