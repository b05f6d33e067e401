"""Files and folders appear whole or not at all (FAULTS 22, 23)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from a2cli.errors import CheckpointError, DataError
from a2cli.files import make_folder, replace_folder, show_name, write_bytes


def test_a_name_is_shown_on_one_line() -> None:
    assert show_name("a\nb\x1b[0m ü.png") == "a\\nb\\x1b[0m ü.png"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="below: cannot be made: Not a directory"):
        make_folder(tmp_path / "file" / "below", error=CheckpointError)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "o.png"
    write_bytes(b"old", path)
    path.chmod(0o640)
    write_bytes(b"new", path)
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o640
    (tmp_path / "folder").mkdir()
    for bad in (
        tmp_path / "missing" / "o.png",
        tmp_path / "folder",
        tmp_path / ("n" * 300),
        path / "below.png",
    ):
        with pytest.raises(DataError, match="cannot be written"):
            write_bytes(b"x", bad)
        with pytest.raises(CheckpointError, match="cannot be written"):
            write_bytes(b"x", bad, error=CheckpointError)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "o.png"]
    assert path.read_bytes() == b"new"


def test_a_link_is_written_through_and_a_pipe_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "there" / "o.png")
    write_bytes(b"new", tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink() and (tmp_path / "there" / "o.png").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        write_bytes(b"x", tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_full_disk_and_kill_leave_the_old_file(tmp_path: Path) -> None:
    """A real limit on the file size stands in for the full disk; a real SIGKILL for the kill."""
    path = tmp_path / "o.bin"
    write_bytes(b"old", path)
    full = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "from a2cli.files import write_bytes; from a2cli.errors import DataError\n"
        f"try:\n    write_bytes(bytes(100000), {str(path)!r})\nexcept DataError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", full], capture_output=True, text=True, check=True)
    assert "cannot be written" in result.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["o.bin"] and path.read_bytes() == b"old"

    killed = (
        "import os, signal; from a2cli.files import write_bytes\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"  # all is written, nothing renamed
        f"write_bytes(bytes(1000), {str(path)!r})\n"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    assert path.read_bytes() == b"old"


def test_read_only_place_is_named() -> None:
    with pytest.raises(DataError, match=r"/proc/o\.png: cannot be written"):
        write_bytes(b"x", "/proc/o.png")  # not even root may


def test_an_error_while_filling_keeps_the_old_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    with pytest.raises(KeyboardInterrupt), replace_folder(tmp_path / "model") as beside:
        (beside / "new").write_text("new")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.rglob("*")] == ["model", "old"]
    with replace_folder(tmp_path / "model") as beside:
        (beside / "new").write_text("new")
    assert [p.name for p in tmp_path.rglob("*")] == ["model", "new"]


def test_a_refused_exchange_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No disk fails between two renamings on demand: the second one is made to."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    rename, calls = os.replace, []

    def refuse_second(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse_second)
    with pytest.raises(CheckpointError, match="Input/output"), replace_folder(tmp_path / "model") as beside:
        (beside / "new").write_text("new")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["model", "old"]
