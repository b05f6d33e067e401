"""Pipelines as a shell runs them: lists from find, pictures through pipes, results for jq, exit codes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from edits import encode_mask, make_reference, read_pixels
from pictures import encode, make_scene

if TYPE_CHECKING:
    from edits import Studio

BOX = "box:20,12,38,26"


@dataclass(frozen=True)
class Shell:
    """bash in a folder of photos; `a2` there is this one, on the tiny model, and $EDIT holds its usual options."""

    folder: Path
    environment: dict[str, str]

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {script}"],
            capture_output=True, text=True, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            timeout=600,
        )  # fmt: skip

    def list_rows(self, name: str) -> list[str]:
        rows = (self.folder / name).read_text().splitlines()
        return sorted(json.loads(row)["id"] for row in rows)


@pytest.fixture
def shell(tmp_path: Path, tiny_model: Path) -> Shell:
    """Four photos, one of them in a folder and one of them broken; masks of the same names; a reference."""
    import numpy as np

    bin_folder, folder = tmp_path / "bin", tmp_path / "shop"
    bin_folder.mkdir()
    (bin_folder / "a2").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m a2cli "$@"\n')
    (bin_folder / "a2").chmod(0o755)
    for part in ("photos/new", "masks/new"):
        (folder / part).mkdir(parents=True)
    marked = np.zeros(make_scene().shape[:2], bool)
    marked[12:26, 20:38] = True
    for i, name in enumerate(("a.png", "b c.png", "new/d\ne.png", "bad.png")):
        data = b"no picture" if name == "bad.png" else encode(make_scene(seed=i), "PNG")
        (folder / "photos" / name).write_bytes(data)
        (folder / "masks" / name).write_bytes(encode_mask(marked))
    (folder / "ref.png").write_bytes(encode(make_reference(), "PNG"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("A2_")}
    environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
    environment |= {"A2_MODEL": str(tiny_model), "A2_ADAPTER": "none", "A2_STEPS": "1", "A2_DEVICE": "cpu"}
    return Shell(folder, environment | {"PYTHONWARNINGS": "ignore"})


def test_a_list_from_find_is_edited_and_what_fails_is_told(shell: Shell) -> None:
    done = shell.run(
        f"find photos -name '*.png' -print0 | a2 edit --manifest - -0 --ref ref.png --mask {BOX} -o out/"
    )
    assert done.returncode == 3, done.stderr
    made = {"out/photos/a.a2.png", "out/photos/b c.a2.png", "out/photos/new/d\ne.a2.png"}
    assert sorted(done.stdout.splitlines()) == sorted("\n".join(made).splitlines())
    assert all((shell.folder / path).is_file() for path in made)
    assert shell.list_rows("out/failures.jsonl") == ["photos/bad.png"]
    failed, told = done.stderr.splitlines()
    assert (
        failed.startswith("a2: photos/bad.png: not a picture")
        and told == "3 done, 1 failed, see out/failures.jsonl"
    )


def test_a_list_from_a_closed_stdin_is_refused_in_one_line(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    done = studio.run("--manifest", "-", "--ref", "cat.png", "--mask", "mask.png")
    assert (done.code, done.stderr.count("\n")) == (2, 1) and "stdin: it is closed" in done.stderr


def test_a_dry_run_names_no_record_that_it_does_not_keep(studio: Studio) -> None:
    done = studio.run("photo.png", "no.png", "--ref", "cat.png", "--mask", "mask.png", "--dry-run")
    assert (done.code, done.lines) == (3, ["photo.a2.png"])
    assert done.stderr.splitlines()[-1] == "1 planned, 1 failed" and not Path("failures.jsonl").exists()


@pytest.mark.slow
def test_a_picture_comes_and_goes_through_pipes(shell: Shell) -> None:
    done = shell.run("cat photos/a.png | a2 edit - --ref ref.png --mask masks/a.png -o - | cat > piped.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    piped, photo = read_pixels(shell.folder / "piped.png"), read_pixels(shell.folder / "photos/a.png")
    assert piped.shape == photo.shape and (piped != photo).any() and (piped[:2] == photo[:2]).all()


@pytest.mark.slow
def test_json_goes_to_jq_and_a_second_run_leaves_what_is_done(shell: Shell) -> None:
    pick = "jq -r .path" if shutil.which("jq") else (
        f"{shlex.quote(sys.executable)} -c 'import json, sys; [print(json.loads(x)[\"path\"]) for x in sys.stdin]'"
    )  # fmt: skip
    command = "a2 edit photos --ref ref.png --mask masks/ -o out/ --json -q"
    first = shell.run(f"{command} 2> errors | {pick}")
    assert first.returncode == 3
    assert first.stdout == "out/a.a2.png\nout/b c.a2.png\nout/new/d\ne.a2.png\n"  # in the order of names
    assert (shell.folder / "errors").read_text().startswith("a2: photos/bad.png: not a picture")
    again = shell.run(f"rm photos/bad.png; {command} --skip-existing")
    records = [json.loads(line) for line in again.stdout.splitlines()]
    assert (again.returncode, again.stderr) == (0, "") and [record["skipped"] for record in records] == [
        True
    ] * 3


@pytest.mark.slow
def test_an_item_of_a_list_equals_the_same_photo_alone(shell: Shell) -> None:
    options = f"--ref ref.png --mask {BOX}"
    listing = "find photos -name 'b c.png' -o -name a.png | sort"
    many = shell.run(f"{listing} | a2 edit --manifest - {options} -o listed/")
    assert many.stdout == "listed/photos/a.a2.png\nlisted/photos/b c.a2.png\n" and many.stderr == ""
    assert shell.run(f"a2 edit photos/a.png {options} -o alone.png").stdout == "alone.png\n"
    listed = shell.folder / "listed/photos/a.a2.png"
    assert listed.read_bytes() == (shell.folder / "alone.png").read_bytes()


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_what_was_told_is_whole(shell: Shell) -> None:
    for i in range(300):
        shutil.copy(shell.folder / "photos/a.png", shell.folder / f"photos/x{i}.png")
    done = shell.run(  # -m: a background job without job control would ignore Ctrl-C
        f"set -m; rm -r photos/new; a2 edit photos --ref ref.png --mask {BOX} -o out/ > results & pid=$!\n"
        "until [ -s results ]; do sleep 0.1; done; kill -INT $pid; wait $pid"
    )
    assert done.returncode == 130 and "the same command with --resume goes on\n" in done.stderr, done.stderr
    paths = (shell.folder / "results").read_text().splitlines()
    assert 0 < len(paths) < 300
    assert all(read_pixels(shell.folder / path).size for path in paths)
    assert not list((shell.folder / "out").rglob("*.tmp*"))
