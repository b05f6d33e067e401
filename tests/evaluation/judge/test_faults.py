"""Judges that answer badly, late, out of range or not at all (FAULTS 28): tries end, missing is missing."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from api_server import Answer, Request, serve_api
from judge_server import MARKS, build_shot, build_shots, get_message, mark_by_level, open_on, say, say_gemini

from a2cli.errors import DataError
from a2cli.evaluation.judge import asking
from a2cli.evaluation.judge.asking import (
    CLOSED,
    DECLINED,
    MOST_REFUSED,
    MOST_SILENT,
    NONSENSE,
    REFUSED,
    SILENT,
)

GOOD = say(MARKS)
# What a server may do once, how it is counted if it does so for ever, and whether that may have to be paid.
BAD: dict[str, tuple[Answer, str, bool]] = {
    "busy": (Answer(b'{"error": {"message": "slow down"}}', 429, {"Retry-After": "0"}), SILENT, False),
    "down": (Answer(b"<html>500</html>", 500), SILENT, False),
    "hung up": (Answer(None), SILENT, True),
    "closed early": (replace(GOOD, cut=20), SILENT, True),
    "html": (Answer(b"<html>welcome</html>"), NONSENSE, True),
    "not an object": (Answer(b"[]"), NONSENSE, True),
    "no choices": (Answer(b'{"choices": []}'), NONSENSE, True),
    "an error with status 200": (Answer(b'{"error": {"code": 502, "message": "upstream"}}'), NONSENSE, True),
    "null": (Answer(b'{"choices": [{"message": {"content": null}}]}'), NONSENSE, True),
    "no message": (Answer(b'{"choices": [{}]}'), NONSENSE, True),
    "prose": (say("It looks rather good, 85 of 100."), NONSENSE, True),
    "no reason": (say_gemini("", finishReason="OTHER", content={}), NONSENSE, True),
    "cut JSON": (say('{"boundary_quality": 80, "visual_rea', finish_reason="length"), NONSENSE, True),
    "wrong keys": (say({"score": 5}), NONSENSE, True),
    "out of range": (say(dict.fromkeys(MARKS, 101)), NONSENSE, True),
    "zero": (say(dict.fromkeys(MARKS, 0)), NONSENSE, True),
    "nan": (
        say('{"boundary_quality": NaN, "visual_realism": NaN, "local_consistency": NaN}'),
        NONSENSE,
        True,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_may_pass_is_tried_again(tmp_path: Path, name: str) -> None:
    with serve_api(BAD[name][0], GOOD) as server:
        judge = open_on(server, tmp_path)
        (values,) = judge.measure([build_shot()])
    report = judge.report()
    assert values["vlm"] == 70 and len(server.requests) == 2 == report["calls"]
    assert (report["retries"], report["answered"], report["failed"]) == (1, 1, {})
    assert report["spent"] == 1 + BAD[name][2]


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_pass_is_missing(tmp_path: Path, name: str) -> None:
    answer, reason, paid = BAD[name]
    with serve_api(answer) as server:
        judge = open_on(server, tmp_path, retries=1)
        assert judge.measure([build_shot()]) == [{}]
    report = judge.report()
    assert len(server.requests) == 2 and report["failed"] == {reason: 1}
    assert report["coverage"] == dict.fromkeys(report["expected"], 0.0) and report["expected"]["vlm"] == 1
    assert report["spent"] == 2 * paid and not list(tmp_path.glob("*.json"))
    assert report["details"][reason].isprintable()
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize(
    "answer",
    [say('{"boundary_quality": 8', finish_reason="length"), say_gemini("", finishReason="MAX_TOKENS")],
    ids=["openai", "gemini"],
)
def test_an_answer_that_is_cut_off_says_so(tmp_path: Path, answer: Answer) -> None:
    api = "openai" if b"choices" in (answer.body or b"") else "gemini"
    with serve_api(answer) as server:
        judge = open_on(server, tmp_path, api=api, retries=0)
        judge.measure([build_shot()])
    assert judge.report()["details"][NONSENSE].startswith("cut off for its length: ")


def test_one_missing_mark_leaves_the_others_and_no_mean(tmp_path: Path) -> None:
    with serve_api(
        say({"boundary_quality": 80, "visual_realism": 700}), say({**MARKS, "visual_realism": None})
    ) as s:
        judge = open_on(s, tmp_path, retries=1)
        assert judge.measure([build_shot()]) == [{"vlm_boundary": 80, "vlm_consistency": 60}]
    report = judge.report()
    assert report["coverage"] == {"vlm": 0, "vlm_boundary": 1, "vlm_consistency": 1, "vlm_realism": 0}
    assert report["details"][NONSENSE] == "visual_realism is null"


def test_one_missing_half_leaves_vie_without_its_root(tmp_path: Path) -> None:
    with serve_api(say({"request_followed": 9}), say({"naturalness": 9, "clean": 4})) as server:
        judge = open_on(server, tmp_path, ask=("vie",), retries=0)
        assert judge.measure([build_shot()]) == [{"vie_pq": 4}]


def test_an_unread_answer_is_told_so(tmp_path: Path) -> None:
    with serve_api(say("fine"), Answer(b"", 503), say("fine"), GOOD) as server:
        open_on(server, tmp_path, retries=3).measure([build_shot()])
    told = ["could not be read" in str(get_message(request)[-1]) for request in server.requests]
    assert told == [False, True, True, True]
    assert [request.fields["seed"] for request in server.requests] == [0, 1, 1, 2]


DECLINES = {
    "openai refusal": say("", message={"content": None, "refusal": "I can't look at people"}),
    "openai filter": say("", finish_reason="content_filter"),
    "in words": say("I'm sorry, but I can't assist with that."),
    "gemini blocks": Answer(b'{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}'),
    "gemini stops": say_gemini("", finishReason="SAFETY", content={}),
}


@pytest.mark.parametrize("name", DECLINES)
def test_a_judge_that_declines_is_not_argued_with(tmp_path: Path, name: str) -> None:
    api = "gemini" if "gemini" in name else "openai"
    with serve_api(DECLINES[name]) as server:
        for _ in range(2):  # the answer was paid, and is kept
            judge = open_on(server, tmp_path, api=api)
            assert judge.measure([build_shot()]) == [{}]
            assert judge.report()["failed"] == {DECLINED: 1} and judge.report()["coverage"]["vlm"] == 0
    assert len(server.requests) == 1


REFUSING = {
    "response_format": b'{"error": {"message": "Unknown parameter: response_format"}}',
    "temperature": b'{"error": {"message": "Unsupported value: \'temperature\' does not support 0"}}',
    "max_tokens": b'{"error": {"message": "Use max_completion_tokens instead of max_tokens"}}',
}


@pytest.mark.parametrize("name", REFUSING)
def test_an_option_that_is_refused_is_left_out_for_good(tmp_path: Path, name: str) -> None:
    def answer(request: Request) -> Answer:
        return Answer(REFUSING[name], 400) if name in request.fields else GOOD

    with serve_api(answer) as server:
        judge = open_on(server, tmp_path, retries=0)
        assert [len(value) for value in judge.measure(build_shots(3))] == [4, 4, 4]
    assert [name in request.fields for request in server.requests] == [True, False, False, False]
    assert all("seed" in request.fields for request in server.requests)
    assert len(judge.report()["without"]) == 1 and judge.report()["spent"] == 3


def test_a_server_that_knows_no_option_at_all(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        for name in ("seed", "responseSchema", "temperature", "maxOutputTokens"):
            if name in request.fields["generationConfig"]:
                return Answer(json.dumps({"error": {"message": f'Unknown name "{name}"'}}).encode(), 400)
        return say_gemini(MARKS)

    with serve_api(answer) as server:
        judge = open_on(server, tmp_path, api="gemini", workers=4)
        assert [value["vlm"] for value in judge.measure(build_shots(6))] == [70] * 6
    assert judge.report()["without"] == ["form", "limit", "seed", "temperature"]
    assert server.requests[-1].fields["generationConfig"] == {}


def test_a_request_that_is_wrong_for_other_reasons_is_not_repeated(tmp_path: Path) -> None:
    with serve_api(Answer(b'{"error": {"message": "image too large"}}', 400)) as server:
        judge = open_on(server, tmp_path)
        judge.measure([build_shot()])
    assert len(server.requests) == 1 and judge.report()["failed"] == {REFUSED: 1}
    assert "image too large" in judge.report()["details"][REFUSED] and judge.report()["spent"] == 0


def test_late_and_dripping_servers_are_left(tmp_path: Path) -> None:
    for answer in (replace(GOOD, wait_s=3.0), replace(GOOD, drip_s=0.05)):
        with serve_api(answer) as server:
            judge = open_on(server, tmp_path, retries=1, timeout_s=0.1)
            started = time.monotonic()
            assert judge.measure([build_shot()]) == [{}]
            assert time.monotonic() - started < 2 and len(server.requests) == 2
        assert judge.report()["failed"] == {SILENT: 1} and judge.report()["calls"] == 2


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    with serve_api(Answer(b"", 429, {"Retry-After": "0.4"}), GOOD) as server:
        open_on(server, tmp_path).measure([build_shot()])
    assert 0.4 <= server.requests[1].time - server.requests[0].time < 1.5


def test_a_huge_answer_is_left(tmp_path: Path) -> None:
    with serve_api(Answer(b" " * (5 << 20))) as server:
        judge = open_on(server, tmp_path)
        judge.measure([build_shot()])
    assert len(server.requests) == 1 and "more than 4 MiB" in judge.report()["details"][NONSENSE]


@pytest.mark.parametrize(
    "answer", [Answer(b"{}", 401), Answer(b"", 307, {"Location": "http://127.0.0.1:9/"})]
)
def test_a_refusal_that_holds_for_all_ends_the_asking(tmp_path: Path, answer: Answer) -> None:
    with serve_api(answer) as server:
        judge = open_on(server, tmp_path)
        assert judge.measure(build_shots(5)) == [{}] * 5
    assert len(server.requests) == 1 and judge.report()["failed"] == {CLOSED: 4, REFUSED: 1}


@pytest.mark.parametrize(
    ("answer", "most"), [(Answer(b"", 503), MOST_SILENT), (Answer(b"", 400), MOST_REFUSED)]
)
def test_many_failures_in_a_row_end_the_asking(tmp_path: Path, answer: Answer, most: int) -> None:
    shots = build_shots(most + 3)
    with serve_api(*[answer] * (most - 1), GOOD, answer) as server:
        judge = open_on(server, tmp_path, retries=0)
        judge.measure(shots)
        assert len(server.requests) == most + 3  # an answer between them begins the row anew
        judge.measure(shots)
    assert judge.report()["failed"].get(CLOSED) is None  # known already, not asked again
    with serve_api(answer) as server:
        judge = open_on(server, tmp_path / "other", retries=0)
        judge.measure(shots)
    assert len(server.requests) == most and judge.report()["failed"][CLOSED] == 3


def test_nobody_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with serve_api(GOOD) as server:
        judge = open_on(server, tmp_path, url=url, retries=0)
        assert judge.measure([build_shot()]) == [{}]
    assert "the connection fails" in judge.report()["details"][SILENT] and judge.report()["spent"] == 0


def test_paid_tries_count_against_the_budget(tmp_path: Path) -> None:
    with serve_api(say("prose")) as server:
        judge = open_on(server, tmp_path, retries=9, budget=3)
        judge.measure(build_shots(2))
    assert len(server.requests) == 3 and judge.report()["failed"] == {"judge budget spent": 2}
    assert judge.report()["cost"] is None and judge.report()["tokens_in"] == 3000


def test_tokens_that_are_not_told_make_no_cost(tmp_path: Path) -> None:
    with serve_api(say(MARKS, tokens=None)) as server:
        judge = open_on(server, tmp_path, prices=(1.0, 1.0))
        judge.measure([build_shot()])
    assert judge.report()["tokens_untold"] == 1 and judge.report()["cost"] is None


def measure_all(url: str, cache: Path) -> None:
    judge = open_on(_Server(url), cache)  # type: ignore[arg-type]
    judge.measure(build_shots(6))


class _Server:
    def __init__(self, url: str) -> None:
        self.url = url


def test_killed_and_run_again(tmp_path: Path) -> None:
    """FAULTS 22: what was answered before kill -9 is not paid again; what was under way may have been."""
    slow = threading.Event()

    def answer(request: Request) -> Answer:
        found = mark_by_level()(request)
        return found if slow.is_set() or len(server.requests) < 4 else replace(found, wait_s=5.0)

    with serve_api(answer) as server:
        process = multiprocessing.get_context("fork").Process(target=measure_all, args=(server.url, tmp_path))
        process.start()
        while len(server.requests) < 4:
            time.sleep(0.01)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        slow.set()
        judge = open_on(server, tmp_path, workers=4)
        values = judge.measure(build_shots(6))
    assert len(server.requests) == 4 + 3 and all(len(value) == 4 for value in values)
    report = judge.report()
    assert (report["from_cache"], report["answered"], report["spent"]) == (3, 3, 7)
    assert not list(tmp_path.glob("*.tmp"))


def test_processes_share_a_budget(tmp_path: Path) -> None:
    """FAULTS 25."""
    with serve_api(lambda request: replace(mark_by_level()(request), wait_s=0.02)) as server:
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=spend, args=(server.url, tmp_path, number)) for number in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(server.requests) == 5 == len(list(tmp_path.glob("*.json")))


def spend(url: str, cache: Path, number: int) -> None:
    shots = [build_shot(10 + 40 * number + i) for i in range(4)]
    open_on(_Server(url), cache, budget=5, workers=2).measure(shots)  # type: ignore[arg-type]


def test_an_interruption_ends_soon_and_keeps_what_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS 29: no more calls after Ctrl-C, no pause waited out, answers under way kept."""
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 30.0)
    with serve_api(Answer(b"", 503), Answer(b"", 503), replace(GOOD, wait_s=0.5)) as server:
        process = multiprocessing.get_context("fork").Process(
            target=be_interrupted, args=(server.url, tmp_path)
        )
        process.start()
        while len(server.requests) < 3:
            time.sleep(0.01)
        time.sleep(0.2)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        process.join(10)
    assert process.exitcode == 130 and len(server.requests) == 3
    assert len(list(tmp_path.glob("*.json"))) == 1


def be_interrupted(url: str, cache: Path) -> None:
    judge = open_on(_Server(url), cache, workers=3)  # type: ignore[arg-type]
    try:
        judge.measure(build_shots(9))
    except KeyboardInterrupt:
        sys.exit(130)


def test_a_disk_that_refuses_ends_the_run(tmp_path: Path) -> None:
    """What cannot be kept would be paid again."""
    cache = tmp_path / "cache"

    def answer(request: Request) -> Answer:
        if len(server.requests) == 2:
            shutil.rmtree(cache)
        return GOOD

    with serve_api(answer) as server:
        judge = open_on(server, cache)
        with pytest.raises(DataError, match="cache"):
            judge.measure(build_shots(9))
    assert len(server.requests) == 2
