"""The page's server: loopback only, a token in every address, closed as soon as the mask is there.

Everything else is 403: another token, another host's name (a site that lets its name point here), another origin.
No answer allows a foreign page to read it.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.picking.session import Session

HOST = "127.0.0.1"
HOSTS = frozenset({HOST, "localhost", "::1"})  # names a browser may know it by, any port: it may be forwarded
MOST_BYTES = 16 * 2**20  # of a request
SILENCE = 30.0  # seconds a connection may say nothing
WEB = Path(__file__).parent / "web"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = {
    "" if file.name == "index.html" else file.name: file for file in WEB.iterdir() if file.suffix in TYPES
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
log = logging.getLogger(__name__)


@contextmanager
def serve(session: Session, port: int = 0) -> Iterator[str]:
    """Serve a session's page while the block runs; gives its address. Afterwards nothing listens or is connected.

    port 0 takes any that is free. Raises `ConfigError` where the port cannot be had.
    """
    try:
        server = _Server(session, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"port {port} cannot be used: {reason}", hint="leave it out for a free one"
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/{server.token}/"
    finally:
        server.shutdown()
        server.server_close()
        server.hang_up()
        thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, session: Session, port: int) -> None:
        self.session, self.token = session, secrets.token_urlsafe(24)
        self._connected: set[socket.socket] = set()
        super().__init__((HOST, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connected.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connected.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        level = logging.DEBUG if isinstance(sys.exception(), OSError) else logging.ERROR  # it went away
        log.log(level, "the page's server failed on a request", exc_info=True)

    def hang_up(self) -> None:
        """End the connections that are still open, so that none is served after the last."""
        for request in tuple(self._connected):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "a2", ""
    timeout = SILENCE

    def do_GET(self) -> None:
        route = self._get_route()
        if route is None:
            return
        name, query = route
        session = self.server.session
        try:
            if name in FILES:
                self._answer(200, FILES[name].read_bytes(), TYPES[FILES[name].suffix])
            elif name == "info":
                self._tell(200, session.describe())
            elif name == "photo":
                self._answer(200, session.get_view(_get_box(query)), "image/jpeg")
            elif name == "mask":
                self._answer(200, session.get_start(), "image/png")
            else:
                self._tell(404, {"error": "no such page"})
        except A2Error as error:
            self._tell(404, {"error": str(error)})

    def do_POST(self) -> None:
        route = self._get_route()
        if route is None:
            return
        name, session = route[0], self.server.session
        if name not in ("mask", "cancel"):
            self._tell(404, {"error": "no such page"})
            return
        body = self._read_body()
        if body is None:
            return
        try:
            session.save(body) if name == "mask" else session.cancel()
        except A2Error as error:
            self._tell(422, {"error": str(error)})
            return
        try:
            self._tell(200, {"saved": session.saved})
        finally:
            session.finish()  # the page has its answer, or has gone

    def do_refused(self) -> None:
        if self._get_route() is not None:
            self._tell(405, {"error": "not a thing one can ask for"})

    do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = do_CONNECT = do_refused

    def _get_route(self) -> tuple[str, str] | None:
        """What is asked for and its query; None, answered already, for whoever may ask for nothing."""
        path, _, query = self.path.partition("?")
        token, slash, name = path.removeprefix("/").partition("/")
        known = hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self.server.token.encode())
        if not (self._is_from_here() and known):
            self._tell(403, {"error": "this page is another's"})
            return None
        if not slash:  # from where the page's own addresses would lead elsewhere
            self.send_response(308)
            self.send_header("Location", f"/{self.server.token}/")
            self.end_headers()
            return None
        return name, query

    def _is_from_here(self) -> bool:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return name in HOSTS and origin in (None, f"http://{host}")

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json":
            self._tell(415, {"error": "marks come as JSON"})
        elif not (length.isascii() and length.isdigit()):
            self._tell(411, {"error": "how long is it?"})
        elif int(length[:20]) > MOST_BYTES:
            self._tell(413, {"error": "these are too many marks: clear some, or save in parts"})
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            self._tell(400, {"error": "the request broke off"})
        return None

    def _tell(self, status: int, record: dict[str, Any]) -> None:
        self._answer(status, json.dumps(record).encode(), "application/json")

    def _answer(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if "image" not in kind else kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is the user's, and addresses hold the token."""


def _get_box(query: str) -> tuple[int, int, int, int] | None:
    """`box=x0,y0,x1,y1` in photo pixels, None without one; raises `DataError`."""
    given = parse_qs(query).get("box")
    if given is None:
        return None
    parts = given[0].split(",")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise DataError("a box is x0,y0,x1,y1")
    return int(parts[0]), int(parts[1]), int(parts[2]), int(parts[3])
