"""One call: bounded in time whatever the server does, its key hidden, tries counted."""

from __future__ import annotations

import json
import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

import pytest
from api_server import Answer, serve_api

from a2cli.remote.calls import CallError, Fault, Place, fail, get_error, get_wait, post, try_often

GOOD = Answer(b'{"fine": true}')


def build_place(url: str, *, timeout_s: float = 5.0, most_bytes: int = 1 << 20, key: str = "") -> Place:
    return Place(url, key, timeout_s, most_bytes)


def test_a_call_and_its_answer() -> None:
    with serve_api(GOOD) as server:
        reply = post(
            Place(server.url + "/", "sk-1", 5.0, 1 << 20, "x-goog-api-key"), "models/m:do", json={"a": 1}
        )
    (request,) = server.requests
    assert (reply.status, json.loads(reply.body)) == (200, {"fine": True})
    assert request.path == "/v1/models/m:do" and request.fields == {"a": 1}
    assert request.headers["x-goog-api-key"] == "sk-1" and "Authorization" not in request.headers


def test_what_may_have_arrived_may_have_to_be_paid() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with pytest.raises(CallError, match="the connection fails") as nobody:
        post(build_place(url), "ask", json={})
    with serve_api(Answer(None)) as server, pytest.raises(CallError, match="the connection fails") as hung_up:
        post(build_place(server.url), "ask", json={})
    assert (nobody.value.fault.paid, hung_up.value.fault.paid) == (False, True)
    assert "sk-1" not in repr(build_place(url, key="sk-1"))  # which a traceback may show


def test_a_body_that_drips_is_left() -> None:
    """A byte now and then satisfies every timeout of a socket."""
    with serve_api(Answer(b" " * 4000, drip_s=0.05)) as server:
        started = time.monotonic()
        with pytest.raises(CallError, match=r"no whole answer in 0\.15 s") as caught:
            post(build_place(server.url, timeout_s=0.15), "ask", json={})
    assert time.monotonic() - started < 1.5
    assert caught.value.again and caught.value.fault.paid and caught.value.fault.cause == "silent"


@contextmanager
def drip_headers() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.get_context("fork").Process(target=drip, args=(listener,), daemon=True)
        process.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        process.terminate()
        process.join()


def drip(listener: socket.socket) -> None:
    line, _ = listener.accept()
    line.recv(65536)
    line.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        line.sendall(b"x")
        time.sleep(0.05)


def test_headers_that_drip_are_left() -> None:
    with drip_headers() as url:
        started = time.monotonic()
        with pytest.raises(CallError, match="no whole answer"):
            post(build_place(url, timeout_s=0.15), "ask", json={})
    assert time.monotonic() - started < 1.5


def test_size_and_redirects_are_bounded() -> None:
    with (
        serve_api(Answer(b" " * (3 << 20))) as server,
        pytest.raises(CallError, match="more than 1 MiB") as caught,
    ):
        post(build_place(server.url), "ask", json={})
    assert not caught.value.again and caught.value.fault.paid
    with serve_api(GOOD) as other, serve_api(Answer(b"", 307, {"Location": other.url})) as server:
        reply = post(build_place(server.url, key="sk-1"), "ask", json={})
    assert reply.status == 307 and not other.requests
    assert get_error(build_place(server.url), reply).fault.cause == "refused"


def test_errors_tell_busy_from_refused_and_hide_the_key() -> None:
    body = b'{"error": {"code": "nope", "message": "key sk-1\\nis wrong"}}'
    with serve_api(Answer(body, 401), Answer(b"", 429, {"Retry-After": "7"}), Answer(b"", 500)) as server:
        place = build_place(server.url, key="sk-1")
        errors = [get_error(place, post(place, "ask", json={})) for _ in range(3)]
    assert [error.fault.cause for error in errors] == ["refused", "silent", "silent"]
    assert [error.again for error in errors] == [False, True, True]
    assert [error.wait_s for error in errors] == [0, 7, 0] and [e.fault.status for e in errors] == [
        401,
        429,
        500,
    ]
    assert errors[0].fault.detail == f"{place.host} answers 401: nope key *** is wrong"


def test_retry_after_is_seconds_or_a_date() -> None:
    assert get_wait("7") == 7 and get_wait(" 1.5 ") == 1.5
    assert 50 < get_wait(formatdate(time.time() + 60, usegmt=True)) <= 60
    for value in ("", "-3", "soon", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999-01"):
        assert get_wait(value) == 0


def test_tries_end_with_an_answer_a_refusal_or_their_number() -> None:
    pauses: list[float] = []

    def run(*outcomes: CallError | str, retries: int) -> str:
        pauses.clear()
        left = list(outcomes)

        def call(number: int) -> str:
            assert number == len(outcomes) - len(left)
            outcome = left.pop(0)
            if isinstance(outcome, str):
                return outcome
            raise outcome

        return try_often(call, retries, first_wait_s=1, most_wait_s=5, sleep=pauses.append)

    busy = CallError(Fault("silent", "busy"), again=True)
    slow = CallError(Fault("silent", "slow"), again=True, wait_s=99)
    assert run(busy, slow, busy, "yes", retries=3) == "yes" and pauses == [1, 5, 4]
    with pytest.raises(CallError, match="slow") as caught:
        run(fail("prose"), slow, retries=1)
    assert caught.value.fault.paid and pauses == [1]  # the first one was
    with pytest.raises(CallError, match="no") as caught:
        run(CallError(Fault("refused", "no"), again=False), "yes", retries=3)
    assert not caught.value.fault.paid and pauses == []
