"""The page's server: for whoever has the token, on this machine, until the mask is there."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_photos import BLUE, make_map

from a2cli.errors import ConfigError
from a2cli.images.read import open_photo
from a2cli.images.write import build_photo
from a2cli.masks.read import read_mask
from a2cli.picking import server as module
from a2cli.picking.server import serve
from a2cli.picking.session import VIEW_SIDE, Session

BOX = {"kind": "box", "erase": False, "points": [10, 20, 40, 30]}


class Client:
    """Asks as a browser would, or as one should not."""

    def __init__(self, url: str, session: Session) -> None:
        self.port = int(url.split(":")[2].split("/")[0])
        self.token, self.session = url.split("/")[3], session

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def post(self, marks: object, path: str = "mask", **headers: str) -> tuple[int, dict[str, object]]:
        sent = {"Content_Type": "application/json"} | headers
        status, data, _ = self.ask(
            f"/{self.token}/{path}", "POST", json.dumps({"marks": marks}).encode(), **sent
        )
        return status, json.loads(data)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    photo = open_photo(make_map(tmp_path / "map.png", 120, 80))
    session = Session(photo, None, tmp_path / "mask.png")
    with serve(session) as url:
        yield Client(url, session)


def test_the_page_and_all_its_parts(client: Client) -> None:
    for name, kind in (("", "text/html"), ("main.js", "text/javascript"), ("style.css", "text/css")):
        status, data, headers = client.ask(f"/{client.token}/{name}")
        assert status == 200 and data and headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Access-Control-Allow-Origin"] is None and "Python" not in headers["Server"]
    assert json.loads(client.ask(f"/{client.token}/info")[1]) == {
        "name": "map.png", "out": "mask.png", "width": 120, "height": 80, "scale": 1.0, "start": False,
    }  # fmt: skip
    status, _, headers = client.ask(f"/{client.token}")
    assert status == 308 and headers["Location"] == f"/{client.token}/"
    assert client.ask(f"/{client.token}/../../etc/passwd")[0] == 404
    assert client.ask(f"/{client.token}/server.py")[0] == 404
    assert client.ask(f"/{client.token}/mask")[0] == 404  # there is none to start from
    assert client.ask(f"/{client.token}/", "DELETE")[0] == 405


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_without_the_token_403(client: Client, method: str) -> None:
    body = b"{}" if method == "POST" else None
    for path in ("/", "/photo", "/mask", "/{t}x/photo", "/X{t}/mask", "/%C3/photo", "?{t}/", "/x/../{t}/"):
        status, data, headers = client.ask(path.format(t=client.token), method, body)
        assert status == 403 and headers["Access-Control-Allow-Origin"] is None
        assert client.token.encode() not in data and not client.session.saved


def test_a_request_line_of_no_path(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as line:
        line.sendall(b"GET photo HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.0 403 ")


def test_another_host_or_origin_403(client: Client) -> None:
    """A site whose name was made to point here, or that sends a form here, is told nothing even with the token."""
    photo = f"/{client.token}/photo"
    for host in ("evil.example", f"evil.example:{client.port}", "127.0.0.1.evil.example", "", "[", "[::2]"):
        assert client.ask(photo, Host=host)[0] == 403
    for host in ("localhost", "localhost:9000", "127.0.0.1:1", "[::1]:80"):  # forwarded by ssh -L
        assert client.ask(photo, Host=host)[0] == 200
    assert client.post([BOX], Origin="http://evil.example")[0] == 403
    assert client.post([BOX], Origin="null")[0] == 403
    assert not client.session.saved
    assert client.post([BOX], Host="localhost:9000", Origin="http://localhost:9000") == (200, {"saved": True})


def test_only_marks_are_taken(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/{client.token}/mask"
    assert client.ask(path, "POST", b"{}", Content_Type="text/plain")[0] == 415
    assert client.ask(path, "POST", None, Content_Type="application/json", Content_Length="x")[0] == 411
    assert client.ask(path, "POST", b"{", Content_Type="application/json")[0] == 422
    assert client.post([BOX], "photo")[0] == 404
    assert client.post([]) == (422, {"error": "nothing is marked (paint over what is to be replaced)"})
    erased = [BOX, {**BOX, "erase": True}]
    assert client.post(erased)[0] == 422
    monkeypatch.setattr(module, "MOST_BYTES", 20)
    assert client.post([BOX])[0] == 413
    assert not client.session.saved and not client.session.out.exists()
    assert not client.session.wait(0)


def test_saved_once_exactly(client: Client) -> None:
    assert client.post([BOX]) == (200, {"saved": True})
    assert client.session.wait(5)
    mask = read_mask(client.session.out, (80, 120))
    assert mask.sum() == 300 and mask[20:30, 10:40].all()
    status, told = client.post([{**BOX, "points": [0, 0, 5, 5]}])
    assert status == 422 and told == {"error": "this photo was saved already, in another tab"}
    assert client.post([], "cancel")[0] == 422
    assert read_mask(client.session.out, (80, 120)).sum() == 300


def test_a_refused_file_can_be_saved_again(client: Client) -> None:
    client.session.out.mkdir()
    status, told = client.post([BOX])
    assert status == 422 and "mask.png: cannot be written" in str(told["error"])
    client.session.out.rmdir()
    assert client.post([BOX])[0] == 200


def test_a_closer_look_shows_that_very_box(client: Client) -> None:
    status, data, headers = client.ask(f"/{client.token}/photo?box=30,10,90,60")
    look = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(float)
    assert status == 200 and headers["Content-Type"] == "image/jpeg" and look.shape == (50, 60, 3)
    np.testing.assert_allclose(look[..., 0].mean(axis=0), (np.arange(30, 90) + 0.5) / 120 * 255, atol=3)
    np.testing.assert_allclose(look[..., 1].mean(axis=1), (np.arange(10, 60) + 0.5) / 80 * 255, atol=3)
    for box in ("0,0,121,80", "5,5,5,9", "9,0,3,9", "0,0,9", "a,0,9,9", "-1,0,9,9", "0,0,9,99999999999"):
        assert client.ask(f"/{client.token}/photo?box={box}")[0] == 404


def test_a_large_photo_is_sent_small_and_a_transparent_one_on_chequers() -> None:
    rgb = np.full((300, 3 * VIEW_SIDE, 3), BLUE, dtype=np.uint8)
    session = Session(build_photo(rgb), None, Path("mask.png"))
    assert session.describe()["scale"] == pytest.approx(1 / 3)
    view = cv2.imdecode(np.frombuffer(session.get_view(), np.uint8), cv2.IMREAD_COLOR)
    assert view.shape == (100, VIEW_SIDE, 3)
    alpha = np.zeros(rgb.shape[:2], dtype=np.uint8)
    alpha[:, :VIEW_SIDE] = 255
    clear = Session(build_photo(rgb, alpha=alpha), None, Path("mask.png"))
    view = cv2.imdecode(np.frombuffer(clear.get_view(), np.uint8), cv2.IMREAD_COLOR)
    assert abs(int(view[50, 100, 0]) - BLUE) < 4
    assert abs(int(view[6, 1206, 0]) - int(view[6, 1218, 0])) > 20  # next chequer


def test_nothing_listens_or_is_connected_afterwards(tmp_path: Path) -> None:
    session = Session(open_photo(make_map(tmp_path / "map.png", 40, 30)), None, tmp_path / "mask.png")
    before = threading.active_count()
    with serve(session) as url:
        client = Client(url, session)
        with socket.socket() as other:
            assert other.connect_ex(("127.0.0.2", client.port)) != 0  # only this one address
        idle = socket.create_connection(("127.0.0.1", client.port), timeout=10)
        assert is_listening(client.port)
    with idle:
        assert not is_listening(client.port)
        with suppress(ConnectionError):
            idle.sendall(f"GET /{client.token}/photo HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            assert idle.recv(10) == b""
    assert threading.active_count() <= before + 1  # the idle connection's own thread may still be ending
    with pytest.raises(RuntimeError, match="in the block"), serve(session, client.port):
        raise RuntimeError("in the block")
    assert not is_listening(client.port)


def test_a_port_of_ones_own_or_none(tmp_path: Path) -> None:
    session = Session(open_photo(make_map(tmp_path / "map.png", 40, 30)), None, tmp_path / "mask.png")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"port {port} cannot be used: Address already in use"),
            serve(session, port),
        ):
            pass
    with serve(session, port) as url:
        assert url.startswith(f"http://127.0.0.1:{port}/")
    with pytest.raises(ConfigError, match="port 70000 cannot be used"), serve(session, 70000):
        pass


def test_two_tokens_differ(tmp_path: Path) -> None:
    session = Session(open_photo(make_map(tmp_path / "map.png", 40, 30)), None, tmp_path / "mask.png")
    with serve(session) as one, serve(session) as other:
        assert one.split("/")[3] != other.split("/")[3] and len(one.split("/")[3]) >= 32
    assert os.listdir(tmp_path) == ["map.png"]
