"""Whole builds: the same bytes however often they are stopped, whoever works, whatever else is broken."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from a2cli.building.config import BuildConfig, DetectConfig, InputConfig, load_build_config
from a2cli.building.run import run_build
from a2cli.cli import main
from a2cli.config.load import dump_yaml, to_dict
from a2cli.data.browse import browse
from a2cli.data.provenance import parse_provenance
from a2cli.errors import BackboneError, ConfigError, DataError
from a2cli.images.write import save_image, save_mask

ANIMALS = ("cat", "dog", "horse", "rabbit", "tiger", "duck")


def write_object(folder: Path, number: int, views: int = 2, licence: str = "CC0-1.0") -> None:
    """One object of two colours seen from nearer and farther, with its masks and what is known of it."""
    rng = np.random.default_rng(number)
    (folder / "masks").mkdir(parents=True)
    colours = rng.integers(20, 236, (2, 3))
    for view in range(views):
        ground = cv2.GaussianBlur(rng.integers(0, 256, (160, 200, 3), np.uint8), (0, 0), 1.2)
        mask = np.zeros((160, 200), np.uint8)
        centre, reach = (90 + 15 * view, 80), 34 + 12 * view
        cv2.ellipse(mask, centre, (reach, reach - 8 * view), 20.0 * view, 0, 360, 1, -1)
        stripes = (np.indices(mask.shape).sum(axis=0) // 7 % 2).astype(bool)
        ground[mask > 0] = np.where(stripes[..., None], colours[0], colours[1])[mask > 0]
        save_image(ground, folder / f"{view}.png")
        save_mask(mask > 0, folder / "masks" / f"{view}.png")
    (folder / "about.json").write_text(json.dumps({"licence": licence, "author": f"author {number}"}))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 objects, one of them with a damaged picture, one with one view alone, one of another licence."""
    root = tmp_path_factory.mktemp("raw") / "objects"
    for number in range(18):
        name = f"{ANIMALS[number % len(ANIMALS)]}_{number:02d}"
        write_object(
            root / name, number, 1 if number == 5 else 2, "CC-BY-NC-4.0" if number == 7 else "CC0-1.0"
        )
    poisoned = root / "cat_12" / "1.png"
    poisoned.write_bytes(poisoned.read_bytes()[:200])
    return root


def make_config(objects: Path) -> BuildConfig:
    source = InputConfig(str(objects), kind="views", source="made here")
    return BuildConfig((source,), allow_licence=("CC0-1.0",), shard_size=4, timeout_s=60)


@pytest.fixture(scope="module")
def straight(objects: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build that nothing disturbed."""
    out = tmp_path_factory.mktemp("straight") / "pairs"
    run_build(make_config(objects), out)
    return out


def get_pairs(out: Path) -> dict[str, bytes]:
    """All that a build writes, but the durations."""
    found = {file.name: file.read_bytes() for file in out.glob("*.parquet")}
    for name in ("rejects.jsonl", "failures.jsonl", "README.md"):
        if (out / name).exists():
            found[name] = (out / name).read_bytes()
    for file in out.glob("train-*.json"):
        counts = json.loads(file.read_text())
        counts.pop("seconds")
        found[file.name] = json.dumps(counts).encode()
    return found


def start(config: BuildConfig, out: Path, *more: str) -> subprocess.Popen[bytes]:
    file = out.with_suffix(".yaml")
    file.write_text(dump_yaml(config))
    command = [
        sys.executable,
        "-m",
        "a2cli",
        "dataset",
        "build",
        "--config",
        str(file),
        "-o",
        str(out),
        *more,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def list_children(parent: int) -> list[int]:
    """The worker processes of a build."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"PPid:\t{parent}\n" in status and b"spawn_main" in command:
                found.append(int(entry.name))
    return found


def test_counts_add_up_and_everything_left_out_has_a_reason(objects: Path, straight: Path) -> None:
    report = json.loads((straight / "build.json").read_text())
    rejects = [json.loads(line) for line in (straight / "rejects.jsonl").read_text().splitlines()]
    failures = [json.loads(line) for line in (straight / "failures.jsonl").read_text().splitlines()]
    entries = list(browse(str(straight)))
    assert report["inputs"] == 18 == report["pairs"] + sum(report["rejects"].values())
    assert report["pairs"] == len(entries) == 15 and report["failed"] == len(failures) == 1
    assert Counter(f"{r['stage']}: {r['reason']}" for r in rejects + failures) == Counter(report["rejects"])
    assert {r["id"]: (r["stage"], r["reason"]) for r in rejects} == {
        "rabbit_07" if "rabbit_07" in str(rejects) else "dog_07": (
            "permit",
            "licence CC-BY-NC-4.0 not allowed",
        ),
        "duck_05": ("pair", "one view only"),
    }
    assert failures[0]["id"] == "cat_12" and "1.png" in failures[0]["detail"]
    shards = [json.loads(file.read_text()) for file in sorted(straight.glob("train-*.json"))]
    assert sum(shard["inputs"] for shard in shards) == 18
    assert sum(shard["pairs"] for shard in shards) == 15
    assert sum(sum(shard["rejects"].values()) for shard in shards) == 3
    assert all(shard["seconds"]["pair"] > 0 for shard in shards)
    assert not (straight / ".work").exists()


def test_records_say_what_they_show_and_where_they_come_from(straight: Path) -> None:
    for entry in browse(str(straight)):
        pair = entry.read()
        provenance = parse_provenance(pair.provenance)
        name, number = pair.id.split("_")
        assert (pair.category, pair.subcategory, pair.prompt) == ("animals", name, f"a photo of a {name}")
        assert provenance.rights.licence == "CC0-1.0" and provenance.rights.source == "made here"
        assert provenance.rights.author == f"author {int(number)}" and provenance.group
        assert {provenance.ref, provenance.tar} == {f"{pair.id}/0.png", f"{pair.id}/1.png"}
        assert {"label", "quality", "pair", "build"} == set(provenance.tools)  # the masks were given
        assert pair.ref_mask.any() and pair.tar_mask.any() and entry.split == "train"


def test_a_finished_build_is_left_alone_and_another_is_refused(objects: Path, straight: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in straight.iterdir()}
    again = run_build(replace(make_config(objects), workers=2), straight)
    assert again.pairs == 15
    assert {file.name: file.stat().st_mtime_ns for file in straight.iterdir() if file.name != ".lock"} == {
        name: time for name, time in before.items() if name != ".lock"
    }
    with pytest.raises(ConfigError, match="other settings was begun there \\(shard_size differ"):
        run_build(replace(make_config(objects), shard_size=5), straight)


def test_workers_change_no_byte(objects: Path, straight: Path, tmp_path: Path) -> None:
    run_build(replace(make_config(objects), workers=2), tmp_path / "pairs")
    assert get_pairs(tmp_path / "pairs") == get_pairs(straight)


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    objects: Path, straight: Path, tmp_path: Path
) -> None:
    """FAULTS 22."""
    out = tmp_path / "pairs"
    chance = random.Random(4)
    parts: set[int] = set()
    for wanted in (0, 1, 3):
        process = start(make_config(objects), out)
        deadline = time.monotonic() + 60
        while len(list(out.glob(".work/part-*.json"))) < wanted and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3) if wanted else 1.0)
        children = list_children(process.pid)
        process.kill()
        process.communicate()
        parts.add(len(list(out.glob(".work/part-*.json"))))
        assert not list(out.glob("train-*.parquet")) or (out / ".work").exists()
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline, "a worker outlives its killed parent"
            time.sleep(0.05)
    assert len(parts) > 1
    process = start(make_config(objects), out)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 3, stderr.decode()
    assert stdout.decode().splitlines() == [str(out)]
    assert get_pairs(out) == get_pairs(straight)
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(signal.SIGKILL, id="crashing"),
        pytest.param(signal.SIGSTOP, id="hanging", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_crashes_or_hangs_is_replaced(
    objects: Path, straight: Path, tmp_path: Path, fault: signal.Signals
) -> None:
    out = tmp_path / "pairs"
    config = replace(make_config(objects), workers=2, retries=1, timeout_s=4.0)
    process = start(config, out)
    deadline = time.monotonic() + 60
    while not list(out.glob(".work/part-*.json")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    os.kill(list_children(process.pid)[0], fault)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 3, stderr.decode()
    assert get_pairs(out) == get_pairs(straight)


def test_what_takes_too_long_again_and_again_is_put_aside(objects: Path, tmp_path: Path) -> None:
    """No input can be done in a hundredth of a second: each is tried twice, listed, and the build goes on."""
    config = replace(make_config(objects), retries=1, timeout_s=0.01, limit=2)
    with pytest.raises(DataError, match="no pair came of 2 inputs: worker: took too long"):
        run_build(config, tmp_path / "pairs")
    lines = [json.loads(line) for line in (tmp_path / "pairs" / "failures.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["took too long"] * 2
    assert all("2 tries" in line["detail"] and line["failed"] for line in lines)


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_records(objects: Path, straight: Path, tmp_path: Path) -> None:
    process = start(replace(make_config(objects), engine="ray", workers=2), tmp_path / "pairs")
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 3, stderr.decode()
    assert stdout.decode().splitlines() == [str(tmp_path / "pairs")]
    assert get_pairs(tmp_path / "pairs") == get_pairs(straight)


def test_two_builds_in_one_folder(objects: Path, tmp_path: Path) -> None:
    """FAULTS 25: the second is refused, the first unharmed."""
    out = tmp_path / "pairs"
    process = start(make_config(objects), out)
    deadline = time.monotonic() + 60
    while not (out / ".work" / "inputs.jsonl").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    with pytest.raises(ConfigError, match="another process is writing there"):
        run_build(make_config(objects), out)
    process.communicate(timeout=120)
    assert process.returncode == 3 and len(list(browse(str(out)))) == 15


def test_an_unwritable_folder_and_a_foreign_one_are_refused(
    objects: Path, straight: Path, tmp_path: Path
) -> None:
    """FAULTS 23."""
    (tmp_path / "file").write_text("here first")
    with pytest.raises(DataError, match="file/x: cannot be made"):
        run_build(make_config(objects), tmp_path / "file" / "x")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(straight / "train-00000.parquet", other)
    with pytest.raises(ConfigError, match="already holds a data set"):
        run_build(make_config(objects), other)
    assert [file.name for file in other.iterdir() if file.name != ".lock"] == ["train-00000.parquet"]


def test_quotas_and_duplicates_are_counted(objects: Path, tmp_path: Path) -> None:
    twice = tmp_path / "raw"
    shutil.copytree(objects / "cat_00", twice / "cat_00")
    shutil.copytree(objects / "cat_00", twice / "cat_copy")
    shutil.copytree(objects / "dog_01", twice / "dog_01")
    mapping = to_dict(make_config(twice)) | {"balance": {"per_category": 1}}
    (tmp_path / "build.yaml").write_text(dump_yaml(mapping))
    report = run_build(load_build_config(str(tmp_path / "build.yaml"), (), (), {}), tmp_path / "pairs")
    assert report.rejects == {"dedupe: duplicate": 1, "balance: over the quota of a category": 1}
    assert report.pairs == 1 and report.inputs == 3


def test_the_command_line(objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pairs"
    words = ["dataset", "build", str(objects), "-o", str(out), "--kind", "views", "--limit", "3", "--json"]
    assert main([*words, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out) == {"inputs": {"views": 3}, "rejects": {}}
    assert not out.exists()
    assert main([*words, "--set", "shard_size=2", "--set", "pictures=png"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["pairs"] == 2 and "2 pairs of 3 inputs, 1 failed" in captured.err
    assert "1 x read: unreadable picture" in captured.err and "Creating" not in captured.err
    row = next(iter(browse(str(out)))).row
    assert row["ref_image"]["bytes"].startswith(b"\x89PNG")
    for wrong, message in (
        (["--kind", "view"], "kind"),
        (["--set", "shard_size=0"], "shard_size must be 1 or more"),
        (["--set", "detect.methd=motion"], "did you mean 'method'"),
        (["--engine", "slurm"], "engine"),
        (["--set", "dedupe.distance=40"], "distance must lie in [0, 31]"),
        (["--set", "balance.per_category=0"], "per_category must be 1 or more"),
        (["--set", "generate={url: https://a.example/v1, key_variable: sk-1}"], "no name of a variable"),
        (["--config", str(tmp_path / "none.yaml")], "no such file"),
    ):
        assert main([*words[:7], *wrong]) == 2
        assert message in capsys.readouterr().err
    for sources in ("5", "[raw]"):
        assert main(["dataset", "build", "-o", str(tmp_path / "x"), "--set", f"sources={sources}"]) == 2
        assert "sources: expected a list of keys and values" in capsys.readouterr().err
    assert main(["dataset", "build", "-o", str(tmp_path / "x")]) == 2
    assert "there is nothing to read" in capsys.readouterr().err
    assert main(["dataset", "build", str(tmp_path / "nowhere"), "-o", str(tmp_path / "x")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_missing_model_ends_the_build_at_once(objects: Path, tmp_path: Path) -> None:
    """Settings that no input can survive are one line, not as many rows as there are inputs."""
    raw = tmp_path / "raw"
    shutil.copytree(objects / "cat_00", raw / "cat_00", ignore=shutil.ignore_patterns("masks"))
    config = replace(
        make_config(raw), detect=DetectConfig("grounding-dino", model=str(tmp_path / "no_model"))
    )
    with pytest.raises(BackboneError, match="no_model"):
        run_build(config, tmp_path / "pairs")
    assert not (tmp_path / "pairs" / "failures.jsonl").exists()
