"""FAULTS 18: addresses are fetched from the open internet only, and each redirect is checked like the first."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from a2cli.errors import DataError
from a2cli.urls import Address, fetch, is_public, is_url

BODY = bytes(range(256)) * 40


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        port = self.server.server_address[1]
        places = {
            "/away": f"http://127.0.0.2:{port}/ok",
            "/near": "/ok?x=1",
            "/round": "/round",
            "/file": "file:///etc/passwd",
        }
        if self.path in places:
            self.send_response(302)
            self.send_header("Location", places[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/ok"):
            self.reply(BODY)
        elif self.path == "/cut":
            self.reply(BODY[:100], len(BODY))
        elif self.path == "/slow":
            for _ in range(50):
                try:
                    self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" if not _ else b"x")
                except OSError:
                    return
                time.sleep(0.1)
        else:
            self.send_error(404)

    def reply(self, body: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server on every loopback address, of which the tests take 127.0.0.1 for the open internet."""
    made = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    made.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def is_first(address: Address) -> bool:
    return str(address) == "127.0.0.1"


def get_url(server: ThreadingHTTPServer, path: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{server.server_address[1]}{path}"


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("2002:7f00:1::", False),
    ],
)
def test_only_the_open_internet_is_public(text: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(text)) is public


def test_a_body_and_a_redirect_to_an_allowed_place(server: ThreadingHTTPServer) -> None:
    assert fetch(get_url(server, "/ok?a=b"), allowed=is_first) == BODY
    assert fetch(get_url(server, "/near"), allowed=is_first) == BODY
    assert server.seen == ["/ok?a=b", "/near", "/ok?x=1"]  # type: ignore[attr-defined]
    assert is_url("HTTPS://x/y") and not is_url("file:///x") and not is_url("a/b.png")


def test_loopback_is_refused_without_a_connection(server: ThreadingHTTPServer) -> None:
    for host in ("127.0.0.1", "localhost", "127.1", "[::1]", "0x7f000001", "2130706433"):
        with pytest.raises(DataError, match=r"not of the open internet|is not known|cannot"):
            fetch(get_url(server, "/ok", host))
    assert server.seen == []  # type: ignore[attr-defined]


def test_a_redirect_to_a_private_place_is_refused(server: ThreadingHTTPServer) -> None:
    with pytest.raises(DataError, match=r"127\.0\.0\.2, which is not of the open internet"):
        fetch(get_url(server, "/away"), allowed=is_first)
    assert server.seen == ["/away"]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="not an address that is fetched"):
        fetch(get_url(server, "/file"), allowed=is_first)
    with pytest.raises(DataError, match="more than 5 redirects"):
        fetch(get_url(server, "/round"), allowed=is_first)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("/none", {}, "answers 404"),
        ("/cut", {}, "cut off|IncompleteRead"),
        ("/ok", {"max_bytes": 1000}, "more than 0 MiB"),
        ("/slow", {"timeout_s": 0.5}, "takes too long|no answer in time"),
    ],
)
def test_bad_answers_are_one_line(
    server: ThreadingHTTPServer, path: str, options: dict[str, float], message: str
) -> None:
    started = time.monotonic()
    with pytest.raises(DataError, match=message) as caught:
        fetch(get_url(server, path), allowed=is_first, **options)  # type: ignore[arg-type]
    assert time.monotonic() - started < 3
    assert "\n" not in str(caught.value) and path in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/y",
        "http:///x",
        "http://a b/",
        "http://me:secret@x/",
        "http://x:99999/",
        "http://x:0/",
        "//x/y",
        "",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(DataError, match="not an address that is fetched"):
        fetch(url)
