"""The records of a batch: nothing lost, nothing torn, an item's last word, several processes at once."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from a2cli.batch.locks import FOLDER, Locks
from a2cli.batch.store import FAILURES, RESULTS, Row, Store
from a2cli.errors import DataError


def build_rows(id: str, count: int = 1, finished: float = 1.0) -> list[Row]:
    return [{"id": id, "image": i, "out": f"{id}-{i}.png", "finished": finished} for i in range(count)]


def build_failure(id: str, finished: float = 1.0, **more: object) -> Row:
    return {"id": id, "kind": "data", "reason": "broken", "finished": finished, **more}


def read_ids(folder: Path, name: str) -> list[str]:
    path = folder / name
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


def test_rows_are_found_by_item_the_latest_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find_results("a") == []
    store.add_results(build_rows("a", 2))
    store.add_results(build_rows("b"))
    assert store.find_results("a") == build_rows("a", 2)
    again = build_rows("a", finished=2.0)
    store.add_results(again)
    assert store.find_results("a") == again and store.find_results("b") == build_rows("b")
    assert Store(tmp_path).find_results("a") == again
    assert not (tmp_path / FOLDER / "records.lock").exists()


def test_names_of_every_kind_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = ["a b.png", "-dash", "new\nline", "caf\u00e9", "\udcff not utf-8", "n" * 255]
    for name in names:
        store.add_results(build_rows(name))
    assert len((tmp_path / RESULTS).read_bytes().splitlines()) == len(names)
    for name in names:
        assert [row["id"] for row in store.find_results(name)] == [name]


def test_what_another_process_adds_or_rewrites_is_seen(tmp_path: Path) -> None:
    ours, theirs = Store(tmp_path), Store(tmp_path)
    ours.add_results(build_rows("a"))
    assert theirs.find_results("a")
    theirs.add_results(build_rows("a", finished=2.0))
    theirs.add_results(build_rows("b"))
    theirs.settle()
    assert len((tmp_path / RESULTS).read_text().splitlines()) == 2
    assert ours.find_results("a")[0]["finished"] == 2.0 and ours.find_results("b")
    (tmp_path / RESULTS).unlink()
    assert ours.find_results("a") == []


@pytest.mark.parametrize("cut", [2, 10, 43])
def test_a_torn_last_line_costs_that_line_alone(tmp_path: Path, cut: int) -> None:
    store = Store(tmp_path)
    store.add_results(build_rows("a"))
    store.add_results(build_rows("b"))
    path = tmp_path / RESULTS
    path.write_bytes(path.read_bytes()[:-cut])
    assert store.find_results("a") and not Store(tmp_path).find_results("b")
    store.add_results(build_rows("c"))
    assert Store(tmp_path).find_results("c") and not Store(tmp_path).find_results("b")
    store.settle()
    assert read_ids(tmp_path, RESULTS) == ["a", "c"]


def test_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_bytes(b'\xff\x00\n[1]\n{"id": 3}\n{"path": "x"}\n' + b"[" * 100_000 + b"\n\n")
    store = Store(tmp_path)
    store.add_results(build_rows("a"))
    assert store.find_results("a") == build_rows("a")
    store.settle()
    assert read_ids(tmp_path, RESULTS) == ["a"]


def test_an_items_last_word_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_failure(build_failure("mended", 1))
    store.add_results(build_rows("mended", 2, finished=2))
    store.add_results(build_rows("spoilt", finished=1))
    store.add_failure(build_failure("spoilt", 2))
    for time in (1, 2):
        store.add_failure(build_failure("broken", time))
        store.add_results(build_rows("fine", finished=time))
    store.settle()
    assert read_ids(tmp_path, RESULTS) == ["mended", "mended", "fine"]
    assert read_ids(tmp_path, FAILURES) == ["spoilt", "broken"]
    before = [(tmp_path / name).stat().st_ino for name in (RESULTS, FAILURES)]
    store.settle()  # nothing to do: nothing is rewritten
    assert [(tmp_path / name).stat().st_ino for name in (RESULTS, FAILURES)] == before
    for id in ("spoilt", "broken"):
        store.add_results(build_rows(id, finished=3))
    store.settle()
    assert not (tmp_path / FAILURES).exists()


def test_mended_lines_of_a_manifest_are_no_failures_any_more(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_results(build_rows("twice"))
    for id, line, manifest in (("3", 3, "a.jsonl"), ("twice", 4, "a.jsonl"), ("9", 9, "b.jsonl")):
        store.add_failure(build_failure(id, 2.0, kind="refused", line=line, manifest=manifest))
    store.add_failure(build_failure("photo"))
    store.settle()
    assert read_ids(tmp_path, RESULTS) == ["twice"]  # a line of that id was refused, not the item
    store.settle(manifest="a.jsonl", refused={4})
    assert read_ids(tmp_path, FAILURES) == ["twice", "9", "photo"]


def test_a_full_disk_is_said_and_leaves_no_part_of_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.add_results(build_rows("a"))
    before = (tmp_path / RESULTS).read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
    with pytest.raises(DataError, match=r"results\.jsonl: cannot be written: no space left .*--resume"):
        store.add_results(build_rows("b"))
    monkeypatch.undo()
    assert (tmp_path / RESULTS).read_bytes() == before


def add_many(folder: Path, name: str, count: int) -> None:
    store = Store(folder)
    for i in range(count):
        store.add_results(build_rows(f"{name}{i}", 2))
        store.add_failure(build_failure(f"{name}{i} not"))
        if i % 20 == 7:
            store.settle()


def test_processes_that_write_and_settle_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=add_many, args=(tmp_path, name, 60)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    wanted = {f"{name}{i}" for name in "abc" for i in range(60)}
    assert sorted(read_ids(tmp_path, RESULTS)) == sorted([*wanted, *wanted])
    assert sorted(read_ids(tmp_path, FAILURES)) == sorted(f"{id} not" for id in wanted)
    for id in wanted:
        assert Store(tmp_path).find_results(id) == build_rows(id, 2)
        break
    Locks(tmp_path).clear()
    assert not (tmp_path / FOLDER).exists()


def test_a_claim_is_held_once_and_by_the_living(tmp_path: Path) -> None:
    ours, theirs = Locks(tmp_path), Locks(tmp_path)
    with ours.claim("a") as held:
        with theirs.claim("a") as second, theirs.claim("b") as other:
            assert (held, second, other) == (True, False, True)
        theirs.clear()
        with theirs.claim("a") as second:
            assert not second  # clearing leaves alone what is held
    with theirs.claim("a") as held:
        assert held
    theirs.clear()
    assert not (tmp_path / FOLDER).exists()
    context = multiprocessing.get_context("fork")
    dead = context.Process(target=_claim_and_die, args=(tmp_path,))
    dead.start()
    dead.join(60)
    assert dead.exitcode == 9 and len(list((tmp_path / FOLDER).iterdir())) == 1
    with ours.claim("a") as held:
        assert held
    ours.clear()
    assert not (tmp_path / FOLDER).exists()


def test_clearing_leaves_alone_what_is_not_a_lock(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    with locks.claim("a"):
        (tmp_path / FOLDER / "photo.png").write_bytes(b"theirs")
    locks.clear()
    assert (tmp_path / FOLDER / "photo.png").read_bytes() == b"theirs"


def _claim_and_die(folder: Path) -> None:
    with Locks(folder).claim("a") as held:
        os._exit(9 if held else 1)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(DataError, match=r"file/\.a2-claims: cannot be made"),
        Locks(tmp_path / "file").claim("a"),
    ):
        pass
