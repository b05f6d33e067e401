"""An images API on loopback that answers as a test says: well, badly, late or not at all."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.building.config import GenerateConfig
from a2cli.building.generate import Generator
from a2cli.building.records import Item, Reject, View
from a2cli.images.write import build_photo, encode_png

RGB = np.random.default_rng(3).integers(0, 256, (40, 56, 3), dtype=np.uint8)


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
    """Status, body and headers; sent after `wait_s`, `cut` leaves that much of the body out, None drops the line."""

    body: bytes | None = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    cut: int = 0


@dataclass
class ImageServer:
    """`answers` are given in turn, the last again and again; `requests` is what came."""

    url: str
    answers: list[Answer | Callable[[Request], Answer]]
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def build_answer(*, size: tuple[int, int] = (64, 64), seed: int = 0) -> Answer:
    """A good answer: a picture of `size` (H, W) as the API gives it."""
    return Answer(json.dumps({"created": 1, "data": [{"b64_json": encode_picture(size, seed)}]}).encode())


def encode_picture(size: tuple[int, int] = (64, 64), seed: int = 0) -> str:
    rgb = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return base64.b64encode(encode_png(build_photo(rgb), rgb)).decode()


def answer_by_content(request: Request) -> Answer:
    """A picture that depends on what was asked, as a real server's would."""
    asked = (request.fields["prompt"] + str(len(request.image or b""))).encode()
    return build_answer(seed=int.from_bytes(asked[-8:], "big"))


@contextmanager
def serve_images(*answers: Answer | Callable[[Request], Answer]) -> Iterator[ImageServer]:
    """Run a server until the block ends."""
    state = ImageServer("", list(answers))

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
                self.wfile.write(answer.body[: len(answer.body) - answer.cut])
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


def build_config(url: str, **options: Any) -> GenerateConfig:
    settings: dict[str, Any] = {"size": "64x64", "retries": 2, "timeout_s": 5.0, "key_variable": "A2_NO_KEY"}
    settings.update(options)
    return GenerateConfig(url, **settings)


def build_item(*views: View, name: str = "one", **options: Any) -> Item:
    return Item(name, name, views, category="vehicles", subcategory="sports car", **options)


def ask(server: ImageServer, cache: Path, **options: Any) -> Item | Reject:
    """Complete an item of one picture."""
    stage = Generator(build_config(server.url, **options), cache)
    return stage(build_item(View("a.jpg", RGB)))
