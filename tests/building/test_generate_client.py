"""The client against a server that answers badly, late, never, or with what is no picture."""

from __future__ import annotations

import base64
import json
import multiprocessing
import socket
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_server import (
    RGB,
    Answer,
    ask,
    build_answer,
    build_config,
    build_item,
    encode_picture,
    serve_images,
)

from a2cli.building import generate_client
from a2cli.building.generate import Generator
from a2cli.building.generate_client import Ask, Failure, ImageClient
from a2cli.building.records import Item, Reject, View

WAIT_S = 0.05
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_client, "FIRST_WAIT_S", WAIT_S)


# What a server may do first, before it answers well.
PASSING: dict[str, Answer] = {
    "busy": Answer(b'{"error": {"message": "slow down"}}', 429),
    "down": Answer(b"<html>502 Bad Gateway</html>", 502),
    "html": Answer(b"<html>welcome</html>"),
    "not an object": Answer(b"[]"),
    "no data": Answer(b'{"data": []}'),
    "null": Answer(b'{"data": [{"b64_json": null}]}'),
    "not base64": Answer(b'{"data": [{"b64_json": "!!!"}]}'),
    "truncated base64": Answer(json.dumps({"data": [{"b64_json": encode_picture()[:-401]}]}).encode()),
    "truncated picture": Answer(json.dumps({"data": [{"b64_json": encode_picture()[:400]}]}).encode()),
    "no picture": Answer(
        json.dumps({"data": [{"b64_json": base64.b64encode(b"hello" * 9).decode()}]}).encode()
    ),
    "wrong size": build_answer(size=(64, 48)),
    "cut off": replace(build_answer(), cut=100),
    "hung up": Answer(None),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again(tmp_path: Path, name: str) -> None:
    """FAULTS 28."""
    with serve_images(PASSING[name], build_answer()) as server:
        assert isinstance(ask(server, tmp_path), Item)
    assert len(server.requests) == 2
    assert server.requests[1].time - server.requests[0].time >= WAIT_S


@pytest.mark.parametrize("name", PASSING)
def test_what_does_not_pass_is_given_up(tmp_path: Path, name: str) -> None:
    """FAULTS 28."""
    with serve_images(PASSING[name]) as server:
        reject = ask(server, tmp_path, retries=1)
    assert len(server.requests) == 2
    assert isinstance(reject, Reject) and reject.failed and "\n" not in reject.detail
    silent = name in ("busy", "down", "cut off", "hung up")
    assert reject.reason == ("generator does not answer" if silent else "generator answers nonsense")
    counted = name not in ("busy", "down")  # what arrived may have to be paid
    assert len(list(tmp_path.glob("*.asked"))) == counted
    assert not list(tmp_path.glob("*.image"))


def test_waits_double_and_honour_retry_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Answer(b"", 503)
    with serve_images(busy, busy, replace(busy, headers={"Retry-After": "0.5"}), build_answer()) as server:
        assert isinstance(ask(server, tmp_path, retries=3), Item)
    gaps = np.diff([request.time for request in server.requests])
    assert WAIT_S <= gaps[0] < 0.4 and 2 * WAIT_S <= gaps[1] < 0.4 and 0.5 <= gaps[2] < 1.0
    monkeypatch.setattr(generate_client, "MOST_WAIT_S", 0.1)
    with serve_images(Answer(b"", 429, {"Retry-After": "3600"}), build_answer()) as server:
        started = time.monotonic()
        assert isinstance(ask(server, tmp_path / "other"), Item)
    assert time.monotonic() - started < 2


def test_a_late_server_is_not_waited_for(tmp_path: Path) -> None:
    with serve_images(replace(build_answer(), wait_s=3.0)) as server:
        started = time.monotonic()
        reject = ask(server, tmp_path, retries=1, timeout_s=0.2)
    assert time.monotonic() - started < 2 and len(server.requests) == 2
    assert isinstance(reject, Reject) and reject.reason == "generator does not answer"
    assert "no answer in time" in reject.detail


def test_a_server_that_dribbles_is_left(tmp_path: Path) -> None:
    """One byte now and then keeps a connection alive; the whole answer has a limit of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.get_context("fork").Process(target=dribble, args=(listener,), daemon=True)
        process.start()
        client = ImageClient(
            build_config(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", retries=0, timeout_s=0.5),
            tmp_path,
        )
        started = time.monotonic()
        answer = client.ask(Ask("images/generations", "one", "a cat"))
        process.terminate()
        process.join()
    assert time.monotonic() - started < 3
    assert isinstance(answer, Failure) and answer.reason == "generator does not answer"


def dribble(listener: socket.socket) -> None:
    line, _ = listener.accept()
    line.recv(65536)
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        line.sendall(b" " * 4096)
        time.sleep(0.1)


def test_nobody_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    reject = Generator(build_config(url, retries=0), tmp_path)(build_item(View("a.jpg", RGB)))
    assert isinstance(reject, Reject) and reject.reason == "generator does not answer"
    assert "the connection fails" in reject.detail and not list(tmp_path.glob("*.asked"))


REFUSALS = {
    "400: Your request was rejected by our safety system": Answer(
        b'{"error": {"message": "Your request was\\nrejected by our safety system"}}', 400
    ),
    "404: no such model": Answer(b'{"error": "no such model"}', 404),
    "403: Forbidden": Answer(b"<html><h1>Forbidden</h1></html>", 403),
    "429: insufficient_quota Pay": Answer(
        b'{"error": {"code": "insufficient_quota", "message": "Pay"}}', 429
    ),
    "302": Answer(b"", 302, {"Location": "http://127.0.0.1:1/"}),
    "401: ": Answer(b"\xff\x00\x1b[31m", 401),
}


@pytest.mark.parametrize("said", REFUSALS)
def test_a_refusal_is_quoted_and_not_argued_with(tmp_path: Path, said: str) -> None:
    with serve_images(REFUSALS[said]) as server:
        reject = ask(server, tmp_path)
    assert len(server.requests) == 1
    assert isinstance(reject, Reject) and reject.reason == "generator refuses" and not reject.failed
    assert said in reject.detail and reject.detail.isprintable()
    assert not list(tmp_path.glob("*.asked"))  # nothing was made, nothing counts


def test_an_address_instead_of_a_picture_is_not_followed(tmp_path: Path) -> None:
    """FAULTS 18."""
    with serve_images(Answer(b"")) as other:
        body = json.dumps({"data": [{"url": f"{other.url}/picture.png"}]}).encode()
        with serve_images(Answer(body)) as server:
            reject = ask(server, tmp_path)
    assert isinstance(reject, Reject) and "an address instead of a picture" in reject.detail
    assert len(server.requests) == 1 and not other.requests


def test_a_huge_answer_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_client, "MOST_BYTES", 1 << 20)
    with serve_images(Answer(b" " * (3 << 20))) as server:
        reject = ask(server, tmp_path)
    assert isinstance(reject, Reject) and "more than 1 MiB" in reject.detail and len(server.requests) == 1


def test_response_format_goes_where_it_is_refused(tmp_path: Path) -> None:
    refusal = Answer(b'{"error": {"message": "Unknown parameter: response_format"}}', 400)
    with serve_images(refusal, build_answer()) as server:
        stage = Generator(build_config(server.url, model="other", retries=0), tmp_path)
        assert isinstance(stage(build_item(View("a", RGB))), Item)
        assert isinstance(stage(build_item(View("a", RGB), name="two")), Item)
    assert ["response_format" in request.fields for request in server.requests] == [True, False, False]


def test_the_key_is_sent_and_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f"{KEY}\n")
    with serve_images(
        build_answer(), Answer(f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode(), 401)
    ) as server:
        item = ask(server, tmp_path, key_variable="MY_KEY")
        stage = Generator(build_config(server.url, key_variable="MY_KEY"), tmp_path)
        reject = stage(build_item(View("a.jpg", RGB), name="two"))
    assert [request.headers["Authorization"] for request in server.requests] == [f"Bearer {KEY}"] * 2
    assert isinstance(reject, Reject) and "bad key ***" in reject.detail
    assert KEY not in repr(item) + repr(reject)
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes() + path.name.encode()


def test_no_password_of_netrc_and_no_proxy_on_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with serve_images(build_answer()) as server:
        assert isinstance(ask(server, tmp_path / "cache"), Item)
    assert "Authorization" not in server.requests[0].headers
