"""What an edit reads that is no file: stdin, read once, and addresses, where they are allowed."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from edits import encode_mask, make_reference
from pictures import encode, make_scene

from a2cli.config.edit import EditConfig
from a2cli.engine.inputs import read_inputs
from a2cli.engine.outputs import get_address_names, get_output_paths
from a2cli.errors import ConfigError, DataError
from a2cli.urls import fetch

SCENE = make_scene()
MARKED = np.zeros(SCENE.shape[:2], bool)
MARKED[10:20, 10:30] = True
FILES = {
    "/photo.png": encode(SCENE, "PNG"),
    "/mask.png": encode_mask(MARKED),
    "/cat.png": encode(make_reference(), "PNG"),
}
fetch_here = partial(fetch, allowed=lambda address: address.is_loopback)  # the test's own server


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if (body := FILES.get(self.path)) is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server with a photo, a mask and a reference."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_addresses_are_fetched_and_their_bytes_kept(server: str) -> None:
    names = tuple(f"{server}{path}" for path in FILES)
    config = EditConfig(names[:1], names[2:], mask=names[1], allow_urls=True)
    inputs = read_inputs(config, fetch_here)
    assert np.array_equal(inputs.photo.rgb, SCENE) and inputs.mask is not None
    assert np.array_equal(inputs.mask > 0.5, MARKED)
    assert inputs.raw == dict(zip(names, FILES.values(), strict=True)) and inputs.name == names[0]


def test_what_cannot_be_fetched_is_named(server: str, tmp_path: Path) -> None:
    """FAULTS 18."""
    (tmp_path / "cat.png").write_bytes(FILES["/cat.png"])
    config = EditConfig(
        (f"{server}/gone.png",), (str(tmp_path / "cat.png"),), mask="box:1,1,9,9", allow_urls=True
    )
    with pytest.raises(DataError, match=r"gone\.png: the server answers 404"):
        read_inputs(config, fetch_here)
    with pytest.raises(DataError, match=r"127\.0\.0\.1, which is not of the open internet"):
        read_inputs(config)


def test_stdin_is_read_once_for_all_edits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two photos under one mask that came by pipe."""
    for name in ("photo", "cat"):
        (tmp_path / f"{name}.png").write_bytes(FILES[f"/{name}.png"])
    config = EditConfig((str(tmp_path / "photo.png"),), (str(tmp_path / "cat.png"),), mask="-")
    with io.TextIOWrapper(io.BytesIO(FILES["/mask.png"])) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        for _ in range(2):
            inputs = read_inputs(config)
            assert inputs.mask is not None and np.array_equal(inputs.mask > 0.5, MARKED)
            assert inputs.raw == {"-": FILES["/mask.png"]}
    with io.TextIOWrapper(io.BytesIO(b"another")) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        with pytest.raises(DataError, match="mask"):
            read_inputs(config)
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DataError, match="stdin: it is closed"):
        read_inputs(config)


def test_one_edit_has_one_photo_and_one_reference() -> None:
    for sources, refs in ((("a.png", "b.png"), ("c.png",)), (("a.png",), ("c.png", "d.png"))):
        with pytest.raises(ConfigError, match="one photo and one reference"):
            read_inputs(EditConfig(sources, refs, mask="box:1,1,9,9"))


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("https://example.org/a/b%20c.jpg?x=1#y", ["example.org", "a", "b c.jpg"]),
        ("https://example.org/../%2e%2e/x%2fy.jpg", ["example.org", "x_y.jpg"]),
        ("https://example.org", ["example.org"]),
        ("http://[::1", ["photo"]),
    ],
)
def test_an_address_names_a_file_that_leads_nowhere_else(address: str, names: list[str]) -> None:
    assert get_address_names(address) == names


def test_folders_are_made_where_the_name_was_not_the_users(tmp_path: Path) -> None:
    out = str(tmp_path / "new" / "x.png")
    with pytest.raises(DataError, match="no such folder"):
        get_output_paths(EditConfig(("a.png",), ("c.png",), mask="m.png", out=out), "a.png")
    made = EditConfig(
        ("a.png",), ("c.png",), mask="m.png", out=out, make_folders=True, save_region=f"{out}.png"
    )
    assert get_output_paths(made, "a.png") == [out]
    address = "https://example.org/p/a%20b.jpg"
    config = EditConfig((address,), ("c.png",), mask="m.png", allow_urls=True)
    assert get_output_paths(config, address) == ["a b.a2.png"]
