"""FAULTS 22: what a killed run left is cleared and made anew; what is anybody else's is not touched."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_pairs import make_pair

from a2cli.curation.target import LOCK, UNFINISHED, check_target, fill_target
from a2cli.data.browse import browse
from a2cli.data.shards import write_parquet
from a2cli.errors import ConfigError


def test_a_killed_run_is_cleared_and_a_finished_one_is_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), fill_target(out, "elsewhere"):
        (out / "half").mkdir()
        (out / "half" / "file").write_text("x")
        (out / "link").symlink_to(tmp_path)
        raise KeyboardInterrupt
    check_target(out, "elsewhere")
    with fill_target(out, "elsewhere"):
        assert {file.name for file in out.iterdir()} == {LOCK, UNFINISHED}
        (out / "whole").write_text("y")
    assert {file.name for file in out.iterdir()} == {LOCK, "whole"}
    with pytest.raises(ConfigError, match="is not empty"), fill_target(out, "elsewhere"):
        raise AssertionError("nothing may be written here")
    assert (out / "whole").read_text() == "y"
    with fill_target(out, "elsewhere", may_hold=("whole",)):
        assert not (out / "whole").exists()


def test_a_file_and_a_place_in_the_source_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        check_target(tmp_path / "file", "elsewhere")
    with pytest.raises(ConfigError, match="lies in the source"):
        check_target(tmp_path / "sub" / "out", str(tmp_path))


@pytest.mark.parametrize("verb", [["split", "--test", "1"], ["convert", "--to", "imagefolder"]])
def test_a_command_killed_with_9_finishes_when_it_is_run_again(verb: list[str], tmp_path: Path) -> None:
    write_parquet(tmp_path / "in", map(make_pair, range(60)), split="train", shard_size=20)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "a2cli",
        "dataset",
        verb[0],
        str(tmp_path / "in"),
        "-o",
        str(out),
        *verb[1:],
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (out / UNFINISHED).exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert (out / UNFINISHED).exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (out / UNFINISHED).exists() and not list(out.rglob("*.tmp"))
    assert len(list(browse(str(out)))) == 60
