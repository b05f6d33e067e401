"""Bad records are left out and named, the rest goes on; what is written is whole (numbers as in the list of faults)."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from published import encode, get_pair_files, make_mask, make_rgb, put, write_magic_brush_shards, write_shard

from a2cli.curation import convert as module
from a2cli.curation.convert import ConvertConfig, convert
from a2cli.curation.layouts.records import Failure, Listed, Written
from a2cli.data.browse import browse
from a2cli.data.rows import PICTURES
from a2cli.data.shards import write_rows
from a2cli.errors import ConfigError, DataError
from a2cli.files import lock_folder

TEXTS = {"split": "train", "category": "animals", "prompt": "a cat", "subcategory": "cat", "provenance": "{}"}


def make_row(seed: int, id: str, **pictures: bytes) -> dict[str, Any]:
    files = {**get_pair_files(seed), **pictures}
    return {"id": id, **TEXTS, **{name: {"bytes": data, "path": None} for name, data in files.items()}}


def run(source: Path | str, out: Path, **settings: Any) -> dict[str, str]:
    """Convert; what failed, by id, as `failures.jsonl` says it."""
    outcomes = list(convert(ConvertConfig(str(source), out, **settings)))
    told = {outcome.id: outcome.detail for outcome in outcomes if isinstance(outcome, Failure)}
    file = out / "failures.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    assert {row["id"]: row["detail"] for row in rows} == told
    assert all(set(row) == {"id", "stage", "reason", "detail"} and "\n" not in row["detail"] for row in rows)
    return told


def list_ids(folder: Path) -> list[str]:
    pairs = [entry.read() for entry in browse(str(folder))]  # every record of it can be read
    return [pair.id for pair in pairs]


def write_tar(file: Path, members: list[tuple[tarfile.TarInfo | str, bytes]]) -> Path:
    with tarfile.open(file, "w") as tar:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def make_members(key: str, seed: int, **texts: Any) -> list[tuple[tarfile.TarInfo | str, bytes]]:
    said = json.dumps({"id": key, **TEXTS, **texts}).encode()
    return [(f"{key}.json", said), *((f"{key}.{n}.png", data) for n, data in get_pair_files(seed).items())]


def test_pictures_that_cannot_be_used(tmp_path: Path) -> None:
    """Faults 1, 2, 3, 8, 9, 10, and an id that stands twice."""
    good = get_pair_files(1)
    header = b"IHDR" + (20000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + zlib.crc32(header).to_bytes(4, "big")
    huge += b"\0\1\0\0IDAT" + bytes(64)
    film = io.BytesIO()
    frames = [Image.fromarray(make_rgb(seed)) for seed in (1, 2)]
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:])
    bad = {
        "empty": ({"ref_image": b""}, "ref_image: picture: the file is empty"),
        "text": ({"tar_image": b"GIF87"}, "tar_image: picture: "),
        "cut": ({"tar_image": good["tar_image"][:-60]}, "tar_image: picture: cannot be decoded"),
        "huge": ({"ref_image": huge}, "ref_image: picture: its header claims 20000 x 20000 = 400 megapixels"),
        "film": ({"ref_image": film.getvalue()}, "ref_image: picture: holds several frames"),
        "size": (
            {"tar_mask": encode(make_mask(1, (40, 30)))},
            "tar_mask: mask: the mask is 40 x 30, the source is 48 x 36",
        ),
        "nothing": ({"ref_mask": encode(np.zeros((36, 48), bool))}, "ref_mask: it marks nothing"),
        "colours": ({"ref_mask": encode(make_rgb(9))}, "ref_mask: mask: a coloured picture is no mask"),
        "none": ({"tar_mask": b""}, "tar_mask: mask: the file is empty"),
    }
    rows = [make_row(n, id, **pictures) for n, (id, (pictures, _)) in enumerate(bad.items())]
    rows[3:3] = [make_row(20, "one")]
    write_rows(tmp_path / "in" / "a", [*rows, make_row(21, "two")], split="train", shard_size=4)
    write_rows(tmp_path / "in" / "b", [make_row(22, "one"), make_row(23, "three")], split="train")
    told = run(tmp_path / "in", tmp_path / "out")
    assert set(list_ids(tmp_path / "out")) == {"one", "two", "three"}
    assert set(told) == {*bad, "one"} and "its id stands twice" in told["one"]
    for id, (_, message) in bad.items():
        assert f"record {id}: {message}" in told[id] and "mend or remove the record" in told[id], told[id]


def test_paths_that_lead_out_and_lines_that_are_none(tmp_path: Path) -> None:
    """Faults 15 and 16, in an imagefolder."""
    root = tmp_path / "in"
    for name, data in get_pair_files(1).items():
        put(root / f"{name}.png", data)
        put(tmp_path / "secret" / f"{name}.png", data)
    (root / "link.png").symlink_to(tmp_path / "secret" / "ref_image.png")
    os.mkfifo(root / "pipe.png")
    lines = ["{", "[]"]
    for id, name in (
        ("good", "ref_image.png"),
        ("up", "../secret/ref_image.png"),
        ("absolute", str(tmp_path / "secret" / "ref_image.png")),
        ("link", "link.png"),
        ("pipe", "pipe.png"),
        ("gone", "gone.png"),
        ("null", "a\0b.png"),
    ):
        files = {f"{column}_file_name": f"{column}.png" for column in PICTURES}
        lines.append(json.dumps({"id": id, **TEXTS, **files, "ref_image_file_name": name}))
    put(root / "metadata.jsonl", "\ufeff" + "\r\n".join([*lines, lines[2]]))
    outcomes = [o for o in convert(ConvertConfig(str(root), tmp_path / "out")) if isinstance(o, Failure)]
    assert list_ids(tmp_path / "out") == ["good"]
    said = {outcome.id: outcome.detail for outcome in outcomes if outcome.id}
    assert {id: "lies outside" in text for id, text in said.items()} == {
        "up": True, "absolute": True, "link": True, "pipe": False, "gone": False, "null": False,
    }  # fmt: skip
    assert "not a regular file" in said["pipe"] and "No such file" in said["gone"]
    lined = [outcome.detail for outcome in outcomes if not outcome.id]
    assert len(lined) == 3 and "line 1: not JSON" in lined[0] and "line 2: not a JSON object" in lined[1]
    assert "the id good stands twice" in lined[2]


def test_tars_with_foreign_members(tmp_path: Path) -> None:
    """Fault 15 in tars: names that lead out, links, devices; and records that are not whole."""
    link = tarfile.TarInfo("link.ref_image.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device = tarfile.TarInfo("dev.ref_image.png")
    device.type = tarfile.CHRTYPE
    twice = make_members("twice", 6)
    members = [
        ("README", b"hello"),
        *make_members("good", 1),
        *make_members("../up", 2),
        *make_members("/abs", 3),
        make_members("link", 4)[0], (link, b""),
        make_members("dev", 5)[0], (device, b""),
        *twice[:2], ("twice.ref_image.jpg", twice[1][1]), *twice[2:],
        *make_members("part", 7)[:4],
        *make_members("odd", 8, split="../x"),
        *make_members("half", 9, prompt="\ud800"),
        ("list.json", b"[1]"), ("bad.json", b"{"),
        *make_members("folder/last", 10),
    ]  # fmt: skip
    (tmp_path / "in").mkdir()
    write_tar(tmp_path / "in" / "train-00000.tar", members)
    told = run(tmp_path / "in", tmp_path / "out")
    assert list_ids(tmp_path / "out") == ["good", "folder/last"]
    for id, message in (
        ("README", "no README.json with its texts"),
        ("../up", "../up.json leads out of the tar"),
        ("/abs", "leads out of the tar"),
        ("link", "link.ref_image.png is not a regular file"),
        ("dev", "dev.ref_image.png is not a regular file"),
        ("twice", "ref_image: there are several"),
        ("part", "tar_mask: no picture"),
        ("odd", "cannot name a split"),
        ("half", "its texts are no text"),
        ("list", "its json is not an object"),
        ("bad", "its json is not JSON"),
    ):
        assert message in told.pop(id)
    assert not told


def test_a_tar_that_ends_too_soon(tmp_path: Path) -> None:
    """Fault 2 for shards: records before the damage are kept, the tar is named; the next one is read."""
    whole = write_tar(tmp_path / "whole.tar", [*make_members("a", 1), *make_members("b", 2)]).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        border = tar.getmember("b.json").offset
        inside = tar.getmember("b.tar_image.png").offset_data + 100
    for number, (cut, ids) in enumerate(
        [(border, ["a", "z"]), (inside, ["a", "z"]), (border + 100, ["a", "z"]), (0, ["z"])]
    ):
        folder = tmp_path / f"in{number}"
        put(folder / "train-00000.tar", whole[:cut])
        write_tar(folder / "train-00001.tar", make_members("z", 3))
        told = run(folder, tmp_path / f"out{number}")
        assert list_ids(tmp_path / f"out{number}") == ids, cut
        assert set(told) == {"train-00000.tar"} and "the tar cannot be read on" in told["train-00000.tar"]


def test_a_shard_that_ends_too_soon(tmp_path: Path) -> None:
    write_rows(tmp_path / "in", [make_row(n, str(n)) for n in range(4)], split="train", shard_size=2)
    first = tmp_path / "in" / "train-00000.parquet"
    first.write_bytes(first.read_bytes()[:-1000])
    [detail] = run(tmp_path / "in", tmp_path / "out", write="webdataset").values()
    assert "train-00000.parquet: cannot be read" in detail
    run(tmp_path / "out", tmp_path / "back")
    assert list_ids(tmp_path / "back") == ["2", "3"]


def test_published_shards_that_are_damaged_or_lack_a_column(tmp_path: Path) -> None:
    folder = write_magic_brush_shards(tmp_path / "in") / "data"
    put(folder / "dev-00001.parquet", (folder / "train-00000-of-00001.parquet").read_bytes()[:-500])
    write_shard(folder / "dev-00002.parquet", [{"img_id": "1", "source_img": encode(make_rgb(1))}])
    told = run(tmp_path / "in", tmp_path / "out")
    assert sorted(list_ids(tmp_path / "out")) == ["139306-1", "139306-2", "242679-1"]
    assert set(told) == {"dev-00001.parquet", "dev-00002.parquet"}
    assert "dev-00001.parquet: cannot be read" in told["dev-00001.parquet"]
    assert "no column turn_index, mask_img, instruction, target_img" in told["dev-00002.parquet"]


def test_nothing_usable_is_an_error_that_names_the_list(tmp_path: Path) -> None:
    write_rows(tmp_path / "in", [make_row(1, "a", ref_image=b"x")], split="train")
    for _ in range(2):  # the folder of a run that wrote no record may be used again
        with pytest.raises(DataError, match=r"none of its records can be used \(see .*out/failures.jsonl\)"):
            run(tmp_path / "in", tmp_path / "out")
    write_rows(tmp_path / "good", [make_row(1, "a")], split="train")
    assert not run(tmp_path / "good", tmp_path / "out") and list_ids(tmp_path / "out") == ["a"]
    with pytest.raises(DataError, match=r"no record of category 'animal' \(did you mean 'animals'\?\)"):
        run(tmp_path / "in", tmp_path / "none", category="animal")


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    """Faults 23 and 25: a file in the way, a folder that another process holds."""
    write_rows(tmp_path / "in", [make_row(1, "a")], split="train")
    put(tmp_path / "file", b"")
    with pytest.raises(ConfigError, match="file: is a file"):
        run(tmp_path / "in", tmp_path / "file")
    (tmp_path / "held").mkdir()
    held = "from a2cli.files import lock_folder; from pathlib import Path; import sys, time\n"
    held += "with lock_folder(Path(sys.argv[1])): print(1, flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", held, str(tmp_path / "held")], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline() == b"1\n"
        with pytest.raises(ConfigError, match="held: another process is writing there"):
            run(tmp_path / "in", tmp_path / "held")
    finally:
        child.kill()
        child.wait()
    with lock_folder(tmp_path / "held"):
        pass
    run(tmp_path / "in", tmp_path / "held")
    assert list_ids(tmp_path / "held") == ["a"]


def test_an_interrupt_tells_what_failed_until_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 29: finished shards stay whole and readable, failures are listed."""
    rows = [make_row(n, str(n)) for n in range(5)]
    rows[1]["ref_image"]["bytes"] = b"x"
    write_rows(tmp_path / "in", rows, split="train")
    found = module._open_source

    def break_off(config: ConvertConfig) -> Iterator[Listed]:
        for number, item in enumerate(found(config)):
            if number == 4:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(module, "_open_source", break_off)
    outcomes = []
    with pytest.raises(KeyboardInterrupt):
        for outcome in convert(ConvertConfig(str(tmp_path / "in"), tmp_path / "out", shard_size=2)):
            outcomes.append(outcome)
    assert [outcome.records for outcome in outcomes if isinstance(outcome, Written)] == [2]
    assert list_ids(tmp_path / "out") == ["0", "2"]
    assert json.loads((tmp_path / "out" / "failures.jsonl").read_text())["id"] == "1"


@pytest.mark.parametrize(
    "layout",
    [
        "parquet",
        pytest.param("webdataset", marks=pytest.mark.slow),
        pytest.param("imagefolder", marks=pytest.mark.slow),
    ],
)
def test_kill_at_any_moment_leaves_whole_files(tmp_path: Path, layout: str) -> None:
    """Fault 22: after kill -9 every shard that has its name can be read to its end."""
    write_rows(tmp_path / "in", [make_row(n, str(n)) for n in range(60)], split="train")
    code = "import sys; from a2cli.cli import main; main(sys.argv[1:])"
    command = ["dataset", "convert", "in", "-o", "out", "--to", layout, "--shard-size", "1"]
    child = subprocess.Popen([sys.executable, "-c", code, *command], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        start = time.monotonic()
        while time.monotonic() - start < 60 and child.poll() is None:
            if len(list((tmp_path / "out").rglob("*0002*"))) >= 1:
                break
            time.sleep(0.002)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    made = [
        file for file in (tmp_path / "out").rglob("*") if file.is_file() and not file.name.startswith(".")
    ]
    assert made
    if layout == "imagefolder":
        assert not list((tmp_path / "out").rglob("metadata.jsonl"))  # no data set yet, and each picture whole
        assert all(file.read_bytes().endswith(b"IEND\xaeB`\x82") for file in made)
    else:
        assert not run(tmp_path / "out", tmp_path / "rest")
        assert 1 <= len(list_ids(tmp_path / "rest")) < 60
