"""The generator against a real server on loopback that answers well, badly, late and never."""

from __future__ import annotations

import base64
import fcntl
import json
import multiprocessing
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from image_server import (
    Answer,
    ImageServer,
    answer_by_content,
    build_answer,
    encode_picture,
    serve_images,
)

from a2cli.building import generate_client
from a2cli.building.config import GenerateConfig
from a2cli.building.generate import Generator, build_second_prompt, get_subject
from a2cli.building.generate_access import get_auth, get_host, is_loopback, load_key
from a2cli.building.generate_client import Ask, Failure, ImageClient, get_wait
from a2cli.building.records import Item, Reject, View
from a2cli.data.provenance import Rights
from a2cli.errors import ConfigError, DataError
from a2cli.images.read import open_photo

RGB = np.random.default_rng(3).integers(0, 256, (40, 56, 3), dtype=np.uint8)
KEY = "sk-very-secret-0123456789"
WAIT_S = 0.05


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_client, "FIRST_WAIT_S", WAIT_S)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def build_config(url: str, **options: Any) -> GenerateConfig:
    settings: dict[str, Any] = {"size": "64x64", "retries": 2, "timeout_s": 5.0, **options}
    return GenerateConfig(url, **settings)


def build_item(*views: View, name: str = "one", **options: Any) -> Item:
    return Item(name, name, views, category="vehicles", subcategory="sports car", **options)


def ask(server: ImageServer, cache: Path, **options: Any) -> Item | Reject:
    """Complete an item of one picture."""
    stage = Generator(build_config(server.url, **options), cache)
    return stage(build_item(View("a.jpg", RGB)))


def test_an_item_of_one_picture_gets_a_second(tmp_path: Path) -> None:
    with serve_images(build_answer(seed=7)) as server:
        item = ask(server, tmp_path, licence="CC0-1.0")
    assert isinstance(item, Item) and len(item.views) == 2
    assert item.views[0].rgb is RGB and item.views[1].name == "generated/second" and item.views[1].role == ""
    expected = open_photo(base64.b64decode(encode_picture(seed=7))).rgb
    np.testing.assert_array_equal(item.views[1].rgb, expected)
    (request,) = server.requests
    assert request.path == "/v1/images/edits" and "Authorization" not in request.headers
    assert request.fields == {
        "model": "gpt-image-1",
        "prompt": build_second_prompt(item, "sports car"),
        "n": "1",
        "size": "64x64",
    }
    assert request.image is not None
    np.testing.assert_array_equal(open_photo(request.image).rgb, RGB)  # lossless
    host = server.url.split("/")[2]
    assert item.generated == {
        "model": "gpt-image-1",
        "host": host,
        "size": "64x64",
        "views": "second",
        "second_endpoint": "images/edits",
        "second_prompt": request.fields["prompt"],
        "licence": "CC0-1.0",
    }
    assert item.tools == {"generate": f"gpt-image-1 at {host}"}
    assert item.rights == Rights()  # the photo's licence stays unknown


def test_an_item_without_pictures_gets_both(tmp_path: Path) -> None:
    with serve_images(answer_by_content) as server:
        stage = Generator(build_config(server.url, model="flux", licence="CC0-1.0"), tmp_path)
        item = stage(build_item())
        again = stage(build_item())
    assert isinstance(item, Item) and [view.role for view in item.views] == ["reference", ""]
    first, second = server.requests  # and no third: the rest came from the cache
    assert first.path == "/v1/images/generations" and first.fields["response_format"] == "b64_json"
    assert first.fields["n"] == 1 and "sports car" in first.fields["prompt"]
    assert second.path == "/v1/images/edits" and second.fields["response_format"] == "b64_json"
    assert second.image is not None
    np.testing.assert_array_equal(open_photo(second.image).rgb, item.views[0].rgb)
    assert not np.array_equal(item.views[0].rgb, item.views[1].rgb)
    assert item.generated["views"] == "reference, second"
    assert item.generated["reference_prompt"] == first.fields["prompt"]
    assert item.rights == Rights(source="generated", licence="CC0-1.0")
    assert isinstance(again, Item)
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(item.views, again.views, strict=True))


def test_two_pictures_are_enough(tmp_path: Path) -> None:
    item = build_item(View("a", RGB), View("b", RGB))
    assert Generator(build_config("http://127.0.0.1:9/v1"), tmp_path)(item) is item


def test_a_rerun_pays_nothing_and_gives_the_same(tmp_path: Path) -> None:
    with serve_images(build_answer(seed=1), build_answer(seed=2)) as server:
        first = ask(server, tmp_path)
        again = ask(server, tmp_path)
        other = Generator(build_config(server.url), tmp_path)(build_item(View("a.jpg", RGB), name="two"))
    assert len(server.requests) == 2
    assert isinstance(first, Item) and isinstance(again, Item) and isinstance(other, Item)
    np.testing.assert_array_equal(first.views[1].rgb, again.views[1].rgb)
    assert first.generated == again.generated
    assert not np.array_equal(first.views[1].rgb, other.views[1].rgb)  # another item, another picture
    kept = sorted(path.suffix for path in tmp_path.iterdir() if path.name != ".budget.lock")
    assert kept == [".image", ".image"]


def test_a_damaged_answer_in_the_cache_is_asked_for_again(tmp_path: Path) -> None:
    with serve_images(build_answer()) as server:
        ask(server, tmp_path, budget=1)
        (kept,) = tmp_path.glob("*.image")
        kept.write_bytes(kept.read_bytes()[:50])
        assert isinstance(ask(server, tmp_path, budget=1), Item)
    assert len(server.requests) == 2


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
    counted = name not in ("busy", "down", "hung up")  # what came may have to be paid
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


def test_retry_after_is_seconds_or_a_date() -> None:
    assert get_wait("7") == 7 and get_wait(" 1.5 ") == 1.5
    assert 50 < get_wait(formatdate(time.time() + 60, usegmt=True)) <= 60
    for value in ("", "-3", "soon", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999-01"):
        assert get_wait(value) == 0


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
    for key, sent in (("", None), (KEY, f"Bearer {KEY}")):  # elsewhere requests reads ~/.netrc
        away = requests.Request("POST", "http://127.0.0.1/v1", auth=get_auth(key))
        assert requests.Session().prepare_request(away).headers.get("Authorization") == sent


def test_a_key_travels_over_https_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    api = build_config("https://api.example.org/v1", key_variable="MY_KEY")
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        load_key(api)
    monkeypatch.setenv("MY_KEY", KEY)
    assert load_key(api) == KEY
    assert load_key(replace(api, url="http://192.168.0.9:8000/v1")) == ""
    assert load_key(replace(api, url="http://localhost:8000/v1")) == KEY
    monkeypatch.setenv("MY_KEY", "a\nb: c")
    with pytest.raises(ConfigError, match="characters that no key has") as caught:
        load_key(api)
    assert "b: c" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "api.openai.com/v1", "ftp://host/v1", "http://", "https://me:secret@host/v1", "http://h/v1?key=secret", "http://h:nine/"]
)  # fmt: skip
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of an API") as caught:
        get_host(url)
    assert "secret" not in str(caught.value)


def test_hosts_are_named_without_what_surrounds_them() -> None:
    assert get_host("https://API.openai.com/v1/") == "api.openai.com"
    assert get_host("http://[::1]:8000/v1") == "[::1]:8000"
    assert (
        is_loopback("http://[::1]:8000/v1")
        and is_loopback("http://127.8.9.1")
        and is_loopback("http://localhost")
    )
    assert not is_loopback("https://127.0.0.1.example.org") and not is_loopback("http://10.0.0.1")


def test_the_budget_ends(tmp_path: Path) -> None:
    with serve_images(answer_by_content) as server:
        stage = Generator(build_config(server.url, budget=3), tmp_path)
        results = [stage(build_item(View("a", RGB), name=f"n{i}")) for i in range(5)]
        again = [stage(build_item(View("a", RGB), name=f"n{i}")) for i in range(5)]
        more = Generator(build_config(server.url, budget=4), tmp_path)(build_item(View("a", RGB), name="n4"))
    assert [isinstance(result, Item) for result in results] == [True, True, True, False, False]
    assert [isinstance(result, Item) for result in again] == [True, True, True, False, False]
    assert isinstance(results[3], Reject) and results[3].reason == "generator budget spent"
    assert not results[3].failed and isinstance(more, Item) and len(server.requests) == 4


def test_a_picture_that_was_asked_for_and_lost_counts_once(tmp_path: Path) -> None:
    """kill -9 between the request and its answer: the rerun asks again, within the budget."""
    with serve_images(answer_by_content) as server:
        stage = Generator(build_config(server.url, budget=1), tmp_path)
        digest = stage.client.get_digest(
            Ask("images/edits", "one", build_second_prompt(build_item(), "sports car"), RGB)
        )
        (tmp_path / f"{digest}.asked").touch()
        other = stage(build_item(View("a.jpg", RGB), name="two"))
        same = stage(build_item(View("a.jpg", RGB)))
    assert isinstance(other, Reject) and isinstance(same, Item) and len(server.requests) == 1


def test_processes_share_a_budget(tmp_path: Path) -> None:
    """FAULTS 25."""
    slow: Callable[[Any], Answer] = lambda request: replace(answer_by_content(request), wait_s=0.05)  # noqa: E731
    with serve_images(slow) as server:
        context = multiprocessing.get_context("fork")
        workers = [
            context.Process(target=spend, args=(build_config(server.url, budget=7), tmp_path, number))
            for number in range(2)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(server.requests) == 7 == len(list(tmp_path.glob("*.image")))
    assert not list(tmp_path.glob("*.asked"))


def spend(config: GenerateConfig, cache: Path, number: int) -> None:
    stage = Generator(config, cache)
    for i in range(6):
        stage(build_item(View("a", RGB), name=f"{number}-{i}"))


def test_no_two_processes_take_the_last_picture(tmp_path: Path) -> None:
    """Another process is about to take it: this one waits, then finds it taken."""
    client = ImageClient(build_config("http://127.0.0.1:9/v1", budget=1), tmp_path)
    process = multiprocessing.get_context("fork").Process(target=take, args=(client, tmp_path / "late.image"))
    with open(tmp_path / ".budget.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process.start()
        time.sleep(0.3)
        assert process.is_alive() and not list(tmp_path.glob("*.asked"))
        (tmp_path / "early.asked").touch()
    process.join(10)
    assert process.exitcode == 0 and [path.name for path in tmp_path.glob("*.asked")] == ["early.asked"]


def take(client: ImageClient, kept: Path) -> None:
    assert not client._take(kept)


def test_answers_are_kept_by_all_that_was_asked(tmp_path: Path) -> None:
    config = build_config("http://127.0.0.1:9/v1")
    one = Ask("images/edits", "one", "a cat", RGB)
    asks = [
        one,
        replace(one, endpoint="images/generations"),
        replace(one, item="two"),
        replace(one, prompt="a dog"),
        replace(one, rgb=None),
        replace(one, rgb=255 - RGB),
        replace(one, rgb=RGB.reshape(56, 40, 3)),
    ]
    configs = [
        replace(config, model="other"),
        replace(config, size="1x1"),
        replace(config, url="http://[::1]/v1"),
    ]
    digests = [ImageClient(config, tmp_path).get_digest(ask) for ask in asks]
    digests += [ImageClient(other, tmp_path).get_digest(one) for other in configs]
    assert len(set(digests)) == len(digests) == 10
    slashed = replace(config, url=config.url + "/", budget=3, retries=9)
    assert ImageClient(slashed, tmp_path).get_digest(one) == digests[0]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """FAULTS 23."""
    (tmp_path / "file").write_text("")
    with serve_images(build_answer()) as server, pytest.raises(DataError, match="file"):
        ask(server, tmp_path / "file")
    assert not server.requests


def test_subjects_are_named_as_well_as_they_are_known() -> None:
    item = build_item()
    assert get_subject(replace(item, prompt="A photo of a red sports car.")) == "a red sports car"
    assert get_subject(item) == "sports car"
    assert get_subject(replace(item, subcategory="")) == get_subject(replace(item, subcategory=""))
    assert get_subject(replace(item, category="", subcategory="")) == "everyday object"


def test_prompts_differ_between_items_and_not_between_runs() -> None:
    prompts = [build_second_prompt(build_item(name=f"item {i}"), "car") for i in range(40)]
    assert len(set(prompts)) > 20
    assert prompts == [build_second_prompt(build_item(name=f"item {i}"), "car") for i in range(40)]
