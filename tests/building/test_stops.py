"""What a build finds broken or is stopped by: dead workers, Ctrl-C, a damaged state, folders with other things."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_build import list_children, make_config, start, write_object

from a2cli.building.chain import Progress
from a2cli.building.config import BuildConfig, InputConfig
from a2cli.building.parts import PartStore
from a2cli.building.plan import read_plan, write_plan
from a2cli.building.pool import AHEAD, Pool
from a2cli.building.records import Reject
from a2cli.building.run import run_build
from a2cli.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six objects of two views, the last of one alone."""
    root = tmp_path_factory.mktemp("raw") / "objects"
    for number in range(6):
        write_object(root / f"cat_{number:02d}", number, 1 if number == 5 else 2)
    return root


def test_workers_that_end_while_nothing_runs_are_replaced(objects: Path, tmp_path: Path) -> None:
    config = replace(make_config(objects), timeout_s=60)
    total = write_plan(config, tmp_path / "inputs.jsonl")

    def read_and_kill() -> Iterator[Progress]:
        for number, progress in enumerate(read_plan(config, tmp_path / "inputs.jsonl")):
            if number == AHEAD:  # after the first result
                deadline = time.monotonic() + 60
                (worker,) = list_children(os.getpid())
                before = -1.0
                while (spent := get_cpu(worker)) != before:  # until it waits for more
                    assert time.monotonic() < deadline
                    before = spent
                    time.sleep(0.7)
                os.kill(worker, signal.SIGKILL)
                time.sleep(0.5)
            yield progress

    with Pool(config, tmp_path / "cache") as pool:
        ends = list(pool.map(read_and_kill()))
    assert [end.task.input.id for end in ends] == [
        p.task.input.id for p in read_plan(config, tmp_path / "inputs.jsonl")
    ]
    assert len(ends) == total
    assert not [e for e in ends if isinstance(e.state, Reject) and e.state.stage == "worker"]


def get_cpu(process: int) -> float:
    """Seconds that a process has worked."""
    words = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return float(words[11]) + float(words[12])


@pytest.mark.parametrize("wait_s", [0.0, 0.3, 0.8])
def test_ctrl_c_is_quiet_and_leaves_no_worker(objects: Path, tmp_path: Path, wait_s: float) -> None:
    """FAULTS 29: at the terminal the whole group gets the signal, workers that are just starting too."""
    out = tmp_path / "pairs"
    process = start(make_config(objects), out, "--workers", "2")
    deadline = time.monotonic() + 60
    while not (children := list_children(process.pid)):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    time.sleep(wait_s)
    children = list_children(process.pid)
    for one in (*children, process.pid):
        os.kill(one, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, b"", b"")
    assert not any(Path(f"/proc/{child}/exe").exists() for child in children)


def test_a_damaged_state_is_one_line(objects: Path, tmp_path: Path) -> None:
    """What lies in .work is trusted as far as it can be read; no pair gets lost in silence."""
    out, config = tmp_path / "pairs", replace(make_config(objects), limit=4)
    run_build(config, tmp_path / "straight")
    work = out / ".work"
    work.mkdir(parents=True)
    (work / "settings.json").write_text('{"spl')
    with pytest.raises(DataError, match=r"settings\.json: cannot be read"):
        run_build(config, out)
    shutil.rmtree(out)
    interrupt(config, out)
    shutil.copy(tmp_path / "straight" / "train-00000.json", work / "inputs.jsonl")
    with pytest.raises(DataError, match=r"inputs\.jsonl, line 1: cannot be read"):
        run_build(config, out)
    shutil.rmtree(out)
    out.mkdir()
    (out / "build.json").write_text('{"targets": []}')
    with pytest.raises(ConfigError, match=r"build\.json: not what a build writes"):
        run_build(config, out)


def test_a_part_that_lost_a_pair_is_told(objects: Path, tmp_path: Path) -> None:
    config = replace(make_config(objects), limit=2)
    write_plan(config, tmp_path / "inputs.jsonl")
    store = PartStore(tmp_path)
    with Pool(config, tmp_path / "cache") as pool:
        part = store.write(0, pool.map(read_plan(config, tmp_path / "inputs.jsonl")))
    ids = {pair.id for pair in part.pairs}
    assert [row["id"] for row in store.read_rows(0, ids)] == [pair.id for pair in part.pairs] and ids
    file = tmp_path / "part-00000.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"part-00000\.parquet: 2 of its pairs cannot be read"):
        list(store.read_rows(0, ids))
    file.unlink()
    with pytest.raises(DataError, match=r"remove it and part-00000\.json"):
        list(store.read_rows(0, ids))


def test_nothing_of_the_users_is_replaced(objects: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"README\.md would be replaced"):
        run_build(make_config(objects), tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_build_is_not_gone_on_with_from_another_place(
    objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`raw` is another folder from elsewhere: its files would all be missing."""
    for name in ("one", "other"):
        shutil.copytree(objects / "cat_04", tmp_path / name / "raw" / "cat")
    config = make_config(Path("raw"))
    monkeypatch.chdir(tmp_path / "one")
    interrupt(config, tmp_path / "pairs")
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"places of sources differ.*delete .*pairs/\.work to begin anew"):
        run_build(config, tmp_path / "pairs")


def test_it_does_not_matter_how_a_place_is_spelt(
    objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(objects / "cat_04", tmp_path / "real" / "raw" / "cat")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "real")
    out = tmp_path / "pairs"
    spellings = ["raw/", "./raw", str(tmp_path / "real" / "raw"), "../link/raw/."]
    configs = [replace(make_config(objects), sources=(InputConfig(path),)) for path in spellings]
    interrupt(configs[0], out)
    ends = [run_build(config, out) for config in configs[1:]]
    assert ends[0] == ends[1] == ends[2] and ends[0].pairs == 1
    with pytest.raises(ConfigError, match=r"\(sources differ\) \(name another folder\)"):
        run_build(replace(configs[0], sources=(InputConfig("raw", frames=3),)), out)


def interrupt(config: BuildConfig, out: Path) -> None:
    """Press Ctrl-C when the first input is ready."""

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_build(config, out, press)
    assert (out / ".work" / "settings.json").exists() and (out / ".work" / "inputs.jsonl").exists()
