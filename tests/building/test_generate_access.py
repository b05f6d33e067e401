"""Whose key goes where, and which addresses are those of an API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import requests
from image_server import (
    RGB,
    Answer,
    ask,
    build_answer,
    build_config,
    build_item,
    serve_images,
)

from a2cli.building.generate import Generator
from a2cli.building.generate_access import get_auth, get_host, is_loopback, load_key
from a2cli.building.records import Item, Reject, View
from a2cli.errors import ConfigError

KEY = "sk-very-secret-0123456789"


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
