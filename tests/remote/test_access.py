"""Whose key goes where, and which addresses are those of an API."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from a2cli.errors import ConfigError
from a2cli.remote.access import get_auth, get_host, is_loopback, load_key

API, KEY = "https://api.example.org/v1", "sk-very-secret-0123456789"


def test_the_key_is_put_on_and_no_password_of_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for key, sent in (("", None), (KEY, f"Bearer {KEY}")):
        away = requests.Request("POST", "http://127.0.0.1/v1", auth=get_auth(key))
        assert requests.Session().prepare_request(away).headers.get("Authorization") == sent


def test_a_key_travels_over_https_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        load_key(API, "MY_KEY")
    monkeypatch.setenv("MY_KEY", KEY)
    assert load_key(API, "MY_KEY") == KEY
    assert load_key("http://192.168.0.9:8000/v1", "MY_KEY") == ""
    assert load_key("http://localhost:8000/v1", "MY_KEY") == KEY
    monkeypatch.setenv("MY_KEY", "a\nb: c")
    with pytest.raises(ConfigError, match="characters that no key has") as caught:
        load_key(API, "MY_KEY")
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
