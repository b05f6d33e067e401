"""Where an API is, and who may be told its key."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from a2cli.errors import ConfigError


def get_host(url: str, setting: str = "the url") -> str:
    """The host of an API's address, with its port where it says one; never what stands before an @.

    Raises `ConfigError`, in which `setting` names where the address comes from, for one that is not http or https, or
    holds a name, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if (
        parts.scheme not in ("http", "https")
        or not host
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise ConfigError(
            f"{setting} is no address of an API",
            hint="such as https://api.openai.com/v1, without a key in it",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown


def is_loopback(url: str) -> bool:
    """Whether an API runs on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def load_key(url: str, variable: str, setting: str = "the url") -> str:
    """The key from its environment variable; "" where none is needed or none may be sent.

    A key goes over https, or to this machine, alone; https elsewhere needs one. Raises `ConfigError` naming the
    variable, and what `get_host` raises.
    """
    get_host(url, setting)
    if not variable.isidentifier():  # not quoted: it may be the key
        raise ConfigError(
            "the key's variable is no name of a variable", hint="the key itself stays in the environment"
        )
    key = os.environ.get(variable, "").strip()
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        return ""
    if not key and not is_loopback(url):
        raise ConfigError(f"{variable} is not set", hint="export the API's key under this name")
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"{variable} holds characters that no key has")
    return key


def get_auth(key: str, header: str = "Authorization") -> Callable[[Any], Any]:
    """What puts the key on a request; given even without one, so that no password of ~/.netrc is sent instead.

    "Authorization" holds it as a bearer's token, any other header as it is.
    """

    def authorise(request: Any) -> Any:
        if key:
            request.headers[header] = f"Bearer {key}" if header == "Authorization" else key
        return request

    return authorise
