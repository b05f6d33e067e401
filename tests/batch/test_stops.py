"""Batches that are stopped, killed and doubled: a rerun finishes them with the bytes of one that was left in peace."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import BOX, Catalogue

from a2cli.backbones.flux import NanoBackbone
from a2cli.batch.locks import FOLDER
from a2cli.files import STALE_S, remove_stale, write_bytes

SCRIPT = Path(__file__).with_name("batch_process.py")


def start(catalogue: Catalogue, **changes: Any) -> subprocess.Popen[str]:
    """The batch of `Catalogue.build` in a process of its own, computing with as many threads as this one."""
    fields: dict[str, Any] = {
        "sources": ["photos"],
        "refs": ["cat.png"],
        "mask": BOX,
        "out": "out/",
        "device": "cpu",
    }
    fields |= {"model": str(catalogue.model), "adapter": ["none"], "steps": 1, "batch": {}}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), json.dumps(fields | changes)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=catalogue.folder,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def check_finished(catalogue: Catalogue, calm: str, count: int, bad: int) -> None:
    """Every item is done or listed once, with the bytes of the undisturbed batch, and nothing lies about."""
    assert catalogue.read_outputs() == catalogue.read_outputs(calm)
    rows, failures = catalogue.read("results.jsonl"), catalogue.read("failures.jsonl")
    assert len({row["id"] for row in rows}) == len(rows) == count - bad
    assert len({row["id"] for row in failures}) == len(failures) == bad
    assert all(row["reason"] for row in failures)
    assert not (catalogue.out / FOLDER).exists()


def tear(catalogue: Catalogue) -> int:
    """Leave half a row, half a picture and a claim, as a process that is killed may; the number of whole rows."""
    rows = len(catalogue.read("results.jsonl"))
    with open(catalogue.out / "results.jsonl", "ab") as file:
        file.write(b'{"id": "photos/0006.png", "ou')
    stale = catalogue.out / ".a2-0123456789abcdef.tmp"
    stale.write_bytes(b"half a picture")
    os.utime(stale, (time.time() - 60, time.time() - 60))
    (catalogue.out / FOLDER).mkdir(exist_ok=True)
    (catalogue.out / FOLDER / "0123.claim").touch()
    return rows


def test_what_a_killed_process_leaves_is_mended(catalogue: Catalogue) -> None:
    """FAULTS 22, for a batch: a torn row, a torn temporary, a claim."""
    catalogue.add(8, bad=3)
    catalogue.run(out="calm/")
    outcomes = catalogue.start()
    assert [next(outcomes).kind for _ in range(4)] == ["", "data", "", "data"]
    del outcomes  # closes it
    assert tear(catalogue) == 2
    resumed = catalogue.run(resume=True)
    assert [o.skipped for o in resumed] == [True, False, True, *[False] * 5]
    check_finished(catalogue, "calm", 8, 3)


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed(catalogue: Catalogue) -> None:
    """FAULTS 22, for a batch: kill -9."""
    catalogue.add(12, bad=3)
    catalogue.run(out="calm/")
    process = start(catalogue)
    assert [read_line(process).split()[0] for _ in range(4)] == ["made", "failed", "made", "failed"]
    process.kill()
    process.wait(60)
    done = tear(catalogue)
    resumed = catalogue.run(resume=True)
    assert sum(o.skipped for o in resumed) == done >= 2
    assert sum(o.error is not None for o in resumed) == 3
    check_finished(catalogue, "calm", 12, 3)


@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers of this process, as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_rolls_the_item_back(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, handlers: None, number: signal.Signals
) -> None:
    """FAULTS 29."""
    catalogue.add(5, bad=1)
    catalogue.run(out="calm/")
    build, calls = NanoBackbone.build_condition, 0

    def build_at_a_signal(self: NanoBackbone, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(os.getpid(), number)
            time.sleep(10)  # the signal comes here
        return build(self, *arguments)

    monkeypatch.setattr(NanoBackbone, "build_condition", build_at_a_signal)
    with pytest.raises((KeyboardInterrupt, SystemExit)) as caught:
        catalogue.run()
    assert getattr(caught.value, "code", 130) == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert sorted(catalogue.read_outputs()) == ["0000.a2.png", "0002.a2.png"]
    assert len(catalogue.read("results.jsonl")) == 2 and not (catalogue.out / FOLDER).exists()
    assert [o.skipped for o in catalogue.run(resume=True)] == [True, False, True, False, False]
    check_finished(catalogue, "calm", 5, 1)


def test_temporaries_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead, young, other = (tmp_path / name for name in (".a2-aa.tmp", ".a2-bb.tmp", "a2-cc.tmp"))
    for path in (dead, young, other):
        path.write_bytes(b"part")
    old = time.time() - STALE_S - 60
    for path in (dead, other):
        os.utime(path, (old, old))

    def write_slowly() -> Iterator[bytes]:
        yield b"one "
        (beside,) = set(tmp_path.glob(".a2-*.tmp")) - {dead, young}
        os.utime(beside, (old, old))
        remove_stale(tmp_path)
        yield b"two"

    write_bytes(write_slowly(), tmp_path / "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a2-bb.tmp", "a2-cc.tmp", "whole"]
    assert (tmp_path / "whole").read_bytes() == b"one two"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(catalogue: Catalogue, number: signal.Signals) -> None:
    catalogue.add(4)
    process = start(catalogue, steps=10_000_000)
    deadline = time.monotonic() + 300
    while not list((catalogue.out / FOLDER).glob("*.claim")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(3)
    process.send_signal(number)
    process.send_signal(number)
    assert process.wait(30) == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert catalogue.read_outputs() == {} or set(catalogue.read_outputs()) <= {f"{FOLDER}/records.lock"}


@pytest.mark.slow
def test_two_processes_on_one_folder_lose_nothing(catalogue: Catalogue) -> None:
    """FAULTS 25; one of the two is killed on the way."""
    catalogue.add(80, bad=4)
    catalogue.run(out="calm/")
    ours, theirs = start(catalogue), start(catalogue)
    for _ in range(20):
        read_line(ours)
    ours.kill()
    ours.wait(60)
    rest = theirs.communicate(timeout=600)[0].split("\n")
    assert theirs.returncode == 3 and sum(line.startswith("failed") for line in rest) == 4
    assert sum(line.startswith("made") for line in rest) < 76  # some were made by the one that was killed
    check_finished(catalogue, "calm", 80, 4)


@pytest.mark.slow
def test_a_thousand_items_killed_three_times(catalogue: Catalogue) -> None:
    """20 of 1,000 cannot be read; stopped thrice at random, the batch ends as one that was not, in flat memory."""
    catalogue.add(1000, bad=20)
    calm = start(catalogue, out="calm/")
    sizes = []
    for line in calm.stdout or ():
        assert line.split()[0] in ("made", "failed")
        sizes.append(get_resident(calm.pid))
    assert calm.wait(60) == 3 and len(sizes) == 1000
    first, last = sizes[100:333], [size for size in sizes[667:] if size]
    assert max(last) <= 1.05 * max(first), (max(first), max(last))
    chance = random.Random(7)
    for _ in range(3):
        process = start(catalogue, batch={"resume": True})
        made = 0
        stop_at = chance.randrange(100, 250)
        while made < stop_at:
            made += read_line(process).startswith("made")
        time.sleep(chance.random() / 50)
        process.kill()
        process.wait(60)
    last_run = start(catalogue, batch={"resume": True})
    words = [line.split()[0] for line in last_run.communicate(timeout=3600)[0].splitlines()]
    assert last_run.returncode == 3
    assert len(words) == 1000 and words.count("failed") == 20 and words.count("skipped") >= 300
    check_finished(catalogue, "calm", 1000, 20)


def get_resident(pid: int) -> int:
    """Resident memory in bytes; 0 where the process is at its end."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, IndexError, ProcessLookupError):
        return 0
