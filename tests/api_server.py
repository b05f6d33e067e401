"""An API on loopback that answers as a test says: well, badly, late, drop by drop or not at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """One call: `fields` of the JSON or the form, `image` the picture of an edit, `time` of arrival in s."""

    path: str
    headers: dict[str, str]
    fields: dict[str, Any]
    image: bytes | None
    time: float


@dataclass(frozen=True)
class Answer:
    """Status, body and headers; sent after `wait_s`, `cut` leaves that much of the body out, None drops the line.

    With `drip_s` the body comes byte by byte, so many seconds apart.
    """

    body: bytes | None = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    cut: int = 0
    drip_s: float = 0.0


@dataclass
class ApiServer:
    """`answers` are given in turn, the last again and again; `requests` is what came."""

    url: str
    answers: list[Answer | Callable[[Request], Answer]]
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serve_api(*answers: Answer | Callable[[Request], Answer]) -> Iterator[ApiServer]:
    """Run a server until the block ends."""
    state = ApiServer("", list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fields, image = parse(dict(self.headers), body)
            request = Request(self.path, dict(self.headers), fields, image, time.monotonic())
            with state.lock:
                state.requests.append(request)
                answer = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            self.reply(answer(request) if callable(answer) else answer)

        def reply(self, answer: Answer) -> None:
            time.sleep(answer.wait_s)
            if answer.body is None:
                self.close_connection = True
                return
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                body = answer.body[: len(answer.body) - answer.cut]
                for start in range(0, len(body), 1) if answer.drip_s else ():
                    self.wfile.write(body[start : start + 1])
                    time.sleep(answer.drip_s)
                if not answer.drip_s:
                    self.wfile.write(body)
            except OSError:
                pass  # the client did not wait
            self.close_connection = bool(answer.cut)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def parse(headers: dict[str, str], body: bytes) -> tuple[dict[str, Any], bytes | None]:
    """Fields and picture of a call, JSON or multipart."""
    kind = headers["Content-Type"]
    if kind == "application/json":
        return json.loads(body), None
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    fields: dict[str, Any] = {}
    image = None
    for part in message.iter_parts():  # type: ignore[attr-defined]
        name = part.get_param("name", header="Content-Disposition")
        content = part.get_payload(decode=True)
        if name == "image":
            assert part.get_content_type() == "image/png" and part.get_filename()
            image = content
        else:
            fields[name] = content.decode()
    return fields, image
