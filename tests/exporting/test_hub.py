"""Sending to a hub that is busy, refuses, or is not there; the server is a real one on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from a2cli.errors import A2Error
from a2cli.exporting.hub import push_folder


class Hub:
    """What a hub's server holds: `failures` are the statuses it answers with before it makes the repository."""

    def __init__(self) -> None:
        self.failures: list[int] = []
        self.made: list[dict[str, Any]] = []
        self.committed: set[str] = set()

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if path.endswith("/api/repos/create"):
            self.made.append(json.loads(body))
            return (self.failures.pop(0), {}) if self.failures else (200, {"url": f"{self.url}/me/tiny"})
        if path.endswith("/api/validate-yaml"):
            return 200, {"errors": [], "warnings": []}
        if "/preupload/" in path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return 200, {"files": files}
        if "/commit/" in path:
            lines = [json.loads(line) for line in body.splitlines()]
            self.committed |= {line["value"]["path"] for line in lines if line["key"] == "file"}
            return 200, {
                "commitUrl": f"{self.url}/me/tiny/commit/1",
                "commitOid": "1",
                "pullRequestUrl": None,
            }
        return 404, {}

    url = ""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub under HF_ENDPOINT, for whoever has a token."""
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = state.answer(self.path.split("?")[0], body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", state.url)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between tries."""
    monkeypatch.setattr("a2cli.exporting.hub.PAUSE", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "export"
    (made / "merge").mkdir(parents=True)
    (made / "README.md").write_text("# card\n")
    (made / "merge" / "adapter_config.json").write_text("{}\n")
    return made


def test_a_busy_hub_is_asked_again(hub: Hub, folder: Path) -> None:
    hub.failures = [503, 429]
    notes: list[str] = []
    where = push_folder(folder, "me/tiny", private=True, note=notes.append)
    assert where == f"{hub.url}/me/tiny" and len(hub.made) == 3
    assert hub.committed == {"README.md", "merge/adapter_config.json"}
    assert all(m["name"] == "tiny" and "private" in (m.get("visibility"), *m) for m in hub.made)
    assert [note.split(": ")[1] for note in notes] == [
        "the server says 503; trying again",
        "the server says 429; trying again",
    ]


def test_it_is_not_asked_for_ever(hub: Hub, folder: Path) -> None:
    hub.failures = [503] * 9
    with pytest.raises(
        A2Error, match="export is written, but not sent to me/tiny: the server says 503"
    ) as caught:
        push_folder(folder, "me/tiny")
    assert len(hub.made) == 3 and "same command" in caught.value.hint and caught.value.exit_code == 1


def test_a_refusal_is_final(hub: Hub, folder: Path) -> None:
    hub.failures = [401]
    with pytest.raises(A2Error, match="the server says 401") as caught:
        push_folder(folder, "me/tiny")
    assert len(hub.made) == 1 and "hf auth login" in caught.value.hint


def test_no_hub_at_all_is_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    with pytest.raises(A2Error, match="is written, but not sent to me/tiny: ") as caught:
        push_folder(folder, "me/tiny")
    assert "\n" not in str(caught.value) and (folder / "README.md").is_file()
