"""`a2 dataset synth` as a user runs it: shards, resumption, processes, and every way a folder can refuse."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from needs import needs_font

from a2cli.cli import main
from a2cli.data.provenance import parse_provenance
from a2cli.data.shards import write_parquet
from a2cli.data.synth import SynthConfig, synthesise
from a2cli.data.synth_run import OPTIONS, write_synthesised
from a2cli.data.tables import open_table
from a2cli.errors import ConfigError, DataError
from a2cli.images.read import open_photo

VARIED = SynthConfig(size=32, occlusion=0.5, shadow=0.5, distractors=0.5, captions=True)


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(folder: Path, count: int = 40, workers: int = 1, **changes: object) -> Path:
    options = {"seed": 3, "config": VARIED, "shard_size": 12, **changes}
    return write_synthesised(folder, count, workers=workers, **options)  # type: ignore[arg-type]


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Let the system refuse to write files larger than `size`, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@needs_font
def test_shards_hold_the_pairs(tmp_path: Path, arrow_cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = write(tmp_path / "pairs", progress=lambda done, total: seen.append((done, total)))
    shards = sorted(path.name for path in folder.glob("*.parquet"))
    assert shards == [f"train-{number:05d}.parquet" for number in range(4)]
    assert [json.loads(p.read_bytes())["pairs"] for p in sorted(folder.glob("train-*.json"))] == [
        12,
        12,
        12,
        4,
    ]
    assert seen == [(done, 40) for done in range(1, 41)]
    table = open_table(str(folder), "train")
    assert len(table.rows) == 40
    for index in range(40):
        found, pair = table.reader.read(table.rows[index]), synthesise(index, seed=3, config=VARIED)
        for part in ("id", "category", "subcategory", "prompt", "provenance"):
            assert getattr(found, part) == getattr(pair, part)
        for part in ("ref_rgb", "ref_mask", "tar_rgb", "tar_mask"):
            assert np.array_equal(getattr(found, part), getattr(pair, part))


@needs_font
def test_bytes_do_not_depend_on_workers(tmp_path: Path) -> None:
    one, two, three = (read_all(write(tmp_path / str(n), 28, workers=n)) for n in (1, 2, 3))
    assert one == two == three and len(one) == 8  # three shards with their counts, the settings, the lock
    images = [read_all(write(tmp_path / f"i{n}", 9, workers=n, format="imagefolder")) for n in (1, 2)]
    assert images[0] == images[1] and len(images[0]) == 9 * 4 + 3


@needs_font
def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole = read_all(write(tmp_path / "whole", 60, workers=2))
    code = (
        "import os; from pathlib import Path; from a2cli.data.synth import SynthConfig\n"
        "from a2cli.data.synth_run import write_synthesised\n"
        f"write_synthesised(Path({str(tmp_path / 'killed')!r}), 60, seed=3, shard_size=12, workers=2,"
        f" config={VARIED!r}, progress=lambda done, total: done < 31 or os.kill(os.getpid(), 9))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    left = read_all(tmp_path / "killed")
    assert "train-00001.json" in left and "train-00002.json" not in left
    (tmp_path / "killed" / ".a2-0123.tmp").write_bytes(b"half")
    (tmp_path / "killed" / "train-00002.parquet").write_bytes(b"half")  # not finished: it has no counts
    seen: list[int] = []
    write(tmp_path / "killed", 60, progress=lambda done, total: seen.append(done))
    assert read_all(tmp_path / "killed") == whole
    assert seen == list(range(25, 61))  # two shards were there
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("train-*")}
    write(tmp_path / "killed", 60)  # complete: nothing to do
    assert {path: path.stat().st_mtime_ns for path in before} == before


@needs_font
def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs", 4)
    before = read_all(folder)
    for changes, message in (
        ({"seed": 4}, "begun with seed 3, not 4"),
        ({"split": "test"}, "begun with split train, not test"),
        ({"format": "imagefolder"}, "begun with format parquet, not imagefolder"),
        ({"count": 5}, "begun with number 4, not 5"),
        ({"config": SynthConfig(size=48)}, "begun with size 32, not 48"),
    ):
        with pytest.raises(ConfigError, match=f"pairs: was {message} "):
            write(folder, **{"count": 4, **changes})  # type: ignore[arg-type]
    assert read_all(folder) == before
    options = json.loads((folder / OPTIONS).read_text())
    (folder / OPTIONS).write_text(json.dumps({**options, "a2": "0.0.1"}))
    with pytest.raises(ConfigError, match=r"begun with a2 0\.0\.1, not"):
        write(folder, 4)
    (folder / OPTIONS).write_text("{")
    with pytest.raises(DataError, match=r"synth\.json cannot be read"):
        write(folder, 4)


@needs_font
def test_settings_under_which_nothing_was_finished_hold_nobody(tmp_path: Path) -> None:
    whole = read_all(write(tmp_path / "whole", 4, format="imagefolder"))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "pairs"
    with pytest.raises(KeyboardInterrupt):
        write(folder, 20, config=SynthConfig(size=48), split="test", progress=stop)
    assert json.loads((folder / OPTIONS).read_text())["size"] == 48
    (folder / "test-00000.parquet").write_bytes(b"half")  # killed before its counts
    write(folder, 4, format="imagefolder")
    assert read_all(folder) == whole
    (folder / "metadata.jsonl").unlink()
    with pytest.raises(ConfigError, match="begun with seed 3, not 4"):  # its pictures are work that was done
        write(folder, 4, format="imagefolder", seed=4)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / OPTIONS).write_text("{")
    (tmp_path / "else" / "another.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="else: already holds a data set"):
        write(tmp_path / "else", 4)
    assert (tmp_path / "else" / "another.parquet").exists()


@needs_font
def test_other_photographs_are_other_settings(tmp_path: Path) -> None:
    from a2cli.images.write import save_image

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_image(np.full((40, 60, 3), 90, np.uint8), tmp_path / name / "china.png")
    save_image(np.full((40, 60, 3), 90, np.uint8), tmp_path / "two" / "harbour.png")

    def config(name: str | None) -> SynthConfig:
        return SynthConfig(size=32, photos=name and str(tmp_path / name))

    folder = write(tmp_path / "pairs", 3, config=config("one"))
    (tmp_path / "one").rename(tmp_path / "moved")
    write(folder, 3, config=config("moved"))  # where they lie does not matter
    for other, shown in (("two", "[12] files"), (None, "none")):
        with pytest.raises(ConfigError, match=rf"begun with photos 1 files \w+, not {shown}"):
            write(folder, 3, config=config(other))


@needs_font
def test_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="number must be 1 or more, not 0"):
        write(tmp_path / "a", 0)
    with pytest.raises(ConfigError, match="workers must be 1 or more, not 0"):
        write(tmp_path / "a", 1, workers=0)
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(DataError, match=f"{bad.name}: cannot be made"):
            write(bad, 1)
    write_parquet(tmp_path / "other", [synthesise(0, seed=0, config=VARIED)], split="train")
    with pytest.raises(ConfigError, match="other: already holds a data set"):
        write(tmp_path / "other", 1)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "metadata.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match="images: already holds a data set"):
        write(tmp_path / "images", 1)
    folder = tmp_path / "held"
    folder.mkdir()
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="held: another process is writing there"):
            write(folder, 1)
    (tmp_path / "locked" / ".lock").mkdir(
        parents=True
    )  # the folder refuses the lock, as a read-only one does
    with pytest.raises(DataError, match="locked: cannot be written"):
        write(tmp_path / "locked", 1)


@needs_font
def test_a_full_disk_leaves_whole_shards(tmp_path: Path) -> None:
    whole = read_all(write(tmp_path / "whole", 20))
    size = max(len(whole[f"train-0000{n}.parquet"]) for n in range(2)) - 1
    with limit_file_size(size), pytest.raises(DataError, match=r"train-0000\d\.parquet: cannot be written"):
        write(tmp_path / "pairs", 20)
    assert not list((tmp_path / "pairs").glob(".a2-*"))
    write(tmp_path / "pairs", 20)
    assert read_all(tmp_path / "pairs") == whole


def test_a_missing_font_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from a2cli.data import glyphs

    monkeypatch.setattr(glyphs, "_FONT_FOLDERS", (str(tmp_path),))
    glyphs.find_emoji_font.cache_clear()
    try:
        assert main(["dataset", "synth", "-o", str(tmp_path / "pairs"), "-n", "4", "--workers", "2"]) == 2
    finally:
        glyphs.find_emoji_font.cache_clear()
    assert capsys.readouterr().err == (
        "a2: no colour-emoji font is installed (on Debian: fonts-noto-color-emoji)\n"
    )
    assert not (tmp_path / "pairs").exists()


@needs_font
def test_the_command_varies_pairs_and_writes_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from datasets import load_dataset

    out = tmp_path / "pairs"
    arguments = [
        "dataset",
        "synth",
        "-n",
        "24",
        "--seed",
        "5",
        "--size",
        "64",
        "-o",
        str(out),
        "--workers",
        "2",
    ]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n" and captured.err == ""
    rows = load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))  # as anyone would open it
    assert len(rows) == 24 and len(set(rows["category"])) == 8 and rows[0]["tar_image"].size == (64, 64)
    found = [parse_provenance(text) for text in rows["provenance"]]
    for name, least in (("hidden", 2), ("shadow", 8), ("distractors", 4)):
        assert least <= sum(name in one.scores for one in found) < 24, name
    assert any(", on the " in prompt for prompt in rows["prompt"])
    assert main([*arguments, "--shadow", "0.1"]) == 2
    assert "was begun with shadow 0.6, not 0.1" in capsys.readouterr().err
    plain = [
        "--occlusion",
        "0",
        "--shadow",
        "0",
        "--distractors",
        "0",
        "--no-captions",
        "--format",
        "imagefolder",
    ]
    assert main([*arguments[:-4], "-o", str(tmp_path / "plain"), *plain]) == 0
    capsys.readouterr()
    for name, value, said in (
        ("--occlusion", "2", "occlusion must lie in [0, 1]"),
        ("--shadow", "nan", "shadow must lie in [0, 1]"),
        ("--size", "8", "size must be 32 to 2048 px, not 8"),
        ("--size", "100000", "size must be 32 to 2048 px, not 100000"),
        ("--split", "val", "'--split'"),
    ):
        assert main([*arguments[:-4], "-o", str(tmp_path / "bad"), name, value]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()


@needs_font
def test_an_imagefolder_is_read_by_datasets(tmp_path: Path) -> None:
    from datasets import load_dataset

    plain = SynthConfig(size=64)
    out = write(tmp_path / "pairs", 9, config=plain, format="imagefolder")
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"train-3-{i:07d}" for i in range(9)]
    for index, row in enumerate(rows):
        pair = synthesise(index, seed=3, config=plain)
        assert row["provenance"] == pair.provenance and row["prompt"] == f"a photo of {pair.subcategory}"
        assert np.array_equal(open_photo(out / row["tar_image_file_name"]).rgb, pair.tar_rgb)
        assert np.array_equal(open_photo(out / row["ref_image_file_name"]).rgb, pair.ref_rgb)
        mask = open_photo(out / row["tar_mask_file_name"]).rgb[..., 0]
        assert np.array_equal(mask, pair.tar_mask * np.uint8(255))
    read = load_dataset("imagefolder", data_dir=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(read) == 9 and len(set(read["category"])) == 8
    assert read[0]["tar_image"].size == (64, 64) and read[0]["ref_mask"].size == (64, 64)
    table = open_table(str(out), "train")
    assert table.reader.read(table.rows[0]).provenance == rows[0]["provenance"]
    before = read_all(out)
    (out / "metadata.jsonl").unlink()  # as a killed run leaves it
    write(out, 9, config=plain, format="imagefolder")
    assert read_all(out) == before


@needs_font
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_ends_quietly(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """As from a terminal: the signal goes to the workers too."""
    options = ["-n", "100000", "--size", "32", "--workers", "2", "--format", "imagefolder"]
    process = subprocess.Popen(
        [sys.executable, "-m", "a2cli", "dataset", "synth", "-o", str(tmp_path / "pairs"), *options],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((tmp_path / "pairs").glob("*.png")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, number)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (code, "")
    assert not (tmp_path / "pairs" / "metadata.jsonl").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody is left
