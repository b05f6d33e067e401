"""Validation: a clean data set has no fault, and each fault planted is found by kind and id, and nothing else."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_pairs import change_shard, draw, load_rows, make_pair, write_clean, write_imagefolder
from PIL import Image

from a2cli.cli import main
from a2cli.curation.duplicates import Fingerprint, find_matches
from a2cli.curation.validate import KINDS, Fault, Validation, check_entry, validate
from a2cli.data.browse import browse
from a2cli.data.provenance import Provenance, Rights
from a2cli.data.shards import build_row, encode_mask, encode_rows, write_parquet
from a2cli.errors import ConfigError, DataError

Found = Counter[tuple[str, str]]


def list_found(validation: Validation) -> Found:
    return Counter((fault.kind, fault.id) for fault in validation.faults)


def encode(rgb: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, form, **options)
    return file.getvalue()


def claim_400_megapixels() -> bytes:
    """A PNG header for 20,000 x 20,000 px and next to no pixel."""
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(9)),
    }
    chunks = ((len(data), name + data) for name, data in parts.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", size) + chunk + struct.pack(">I", zlib.crc32(chunk)) for size, chunk in chunks
    )


def animate() -> bytes:
    frames = [Image.fromarray(draw(number)) for number in (901, 902)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def grade() -> np.ndarray:
    return np.tile(np.linspace(0, 255, 80).astype(np.uint8), (64, 1))


def name_group(name: str, licence: str = "CC0-1.0") -> str:
    return Provenance(Rights("a folder", licence=licence), group=name).to_text()


def test_a_clean_data_set_has_no_fault(tmp_path: Path) -> None:
    folder = write_clean(tmp_path / "pairs")
    assert validate([str(folder)]) == Validation(40, ())


PNG = encode(draw(900))
PLANTED: dict[str, tuple[str, dict[str, Any]]] = {
    # id: kind, changed columns; all in the first shard of train
    "train-000": ("bad picture", {"ref_image": PNG[: len(PNG) // 2]}),
    "train-001": ("bad picture", {"tar_image": b""}),
    "train-002": ("bad picture", {"tar_image": b"these are words"}),
    "train-003": ("bad picture", {"ref_image": claim_400_megapixels()}),
    "train-004": ("bad picture", {"ref_image": animate()}),
    "train-005": ("mask size", {"tar_mask": encode_mask(np.eye(32, dtype=bool))}),
    "train-006": ("empty mask", {"tar_mask": encode_mask(np.zeros((64, 80), bool))}),
    "train-007": ("full mask", {"tar_mask": encode_mask(np.ones((64, 80), bool))}),
    # in the second
    "train-008": ("soft mask", {"tar_mask": encode(grade())}),
    "train-009": ("bad mask", {"tar_mask": encode(draw(950))}),
    "train-010": ("small picture", {"ref_image": encode(draw(951, 15, 80))}),
    "train-011": ("unknown category", {"category": "garmnets"}),
    "train-012": ("bad text", {"prompt": "NaN"}),
    "train-013": ("empty text", {"prompt": "  "}),
    "train-014": ("bad provenance", {"provenance": '{"licence": "CC0-1.0", "scores": {"sharpness": NaN}}'}),
    "train-015": ("no licence", {"provenance": name_group("x", licence="")}),
    # in the third: what a clean data set may hold
    "train-016": ("", {"tar_mask": encode(make_pair(16).tar_mask.astype(np.uint16) * 65535)}),
    "train-017": ("", {"tar_image": encode(draw(952), "JPEG")}),
    "train-018": ("", {"prompt": None, "subcategory": None}),
    "train-021": ("", {"subcategory": " "}),
    "train-019": ("no id", {"id": ""}),
    "train-020": ("wrong split", {"split": "test"}),
}


def test_every_planted_fault_is_found_and_nothing_else(tmp_path: Path) -> None:
    folder = write_clean(tmp_path / "pairs")
    for shard in sorted(folder.glob("train-*.parquet"))[:3]:
        there = {row["id"] for row in load_rows(shard)}
        change_shard(shard, {name: change for name, (_, change) in PLANTED.items() if name in there})
    cmyk = Image.fromarray(draw(953)).convert("CMYK")
    file = io.BytesIO()
    cmyk.save(file, "JPEG")
    change_shard(folder / "train-00003.parquet", {"train-024": {"tar_image": file.getvalue()}})
    expected = Counter((kind, name if kind != "no id" else "") for name, (kind, _) in PLANTED.items() if kind)
    expected["wrong counts", ""] = 1  # the category that is unknown now
    found = validate([str(folder)])
    assert list_found(found) == expected
    assert found.records == 40
    details = {fault.id: fault.detail for fault in found.faults}
    assert details["train-011"] == "'garmnets': did you mean 'garments'?"
    assert "400 megapixels" in details["train-003"] and details["train-001"].startswith("tar_image: ")
    assert details["train-005"] == "tar_mask is 32 x 32, tar_image is 80 x 64"
    assert {fault.kind for fault in found.faults if fault.severity == "warning"} == {
        "empty text",
        "bad provenance",
        "no licence",
    }
    assert {fault.split for fault in found.faults if fault.id} == {"train"}


def test_a_licence_can_be_required(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", [make_pair(0, provenance=""), make_pair(1)])
    for required, severity in ((False, "warning"), (True, "fault")):
        (fault,) = validate([str(folder)], require_licence=required).faults
        assert (fault.kind, fault.id, fault.severity) == ("no licence", "train-000", severity)


def replant(folder: Path, shard: str, **pairs: Any) -> None:
    """Put other pairs in the place of some, by id with _ for -."""
    rows = [
        build_row(pairs[name], row["split"]) if (name := row["id"].replace("-", "_")) in pairs else row
        for row in load_rows(folder / shard)
    ]
    (folder / shard).write_bytes(encode_rows(rows))


def brighten(rgb: np.ndarray) -> np.ndarray:
    """The picture as a brighter JPEG of quality 70 has it, smaller."""
    lit = np.clip(rgb * 1.12 + 6, 0, 255).astype(np.uint8)
    return np.asarray(Image.open(io.BytesIO(encode(lit, "JPEG", quality=70))).resize((70, 56)))


def test_what_two_splits_share_and_what_comes_twice(tmp_path: Path) -> None:
    folder = write_clean(tmp_path / "pairs", 30, 8)
    pair = {number: make_pair(number) for number in range(30)}
    test = {number: make_pair(number, "test") for number in range(8)}
    bright = brighten(test[3].tar_rgb)
    mask = np.zeros(bright.shape[:2], bool)
    mask[10:30, 10:30] = True
    replant(
        folder,
        "train-00000.parquet",
        train_000=replace(pair[0], provenance=name_group("test object 0")),
        train_001=replace(pair[1], tar_rgb=test[1].tar_rgb),
        train_002=replace(pair[2], ref_rgb=test[2].tar_rgb[:, :64], ref_mask=np.eye(64, dtype=bool)),
        train_003=replace(pair[3], tar_rgb=bright, tar_mask=mask),
        train_004=replace(pair[4], tar_rgb=pair[4].ref_rgb, tar_mask=pair[4].ref_mask),
        train_005=replace(pair[5], tar_rgb=brighten_little(pair[5].ref_rgb), tar_mask=pair[5].ref_mask),
    )
    replant(
        folder,
        "train-00001.parquet",
        train_009=replace(pair[9], id="train-008"),
        train_010=replace(
            pair[6], id="train-010", category=pair[10].category, provenance=name_group("other")
        ),
        train_011=replace(
            pair[11],
            ref_rgb=pair[7].tar_rgb,
            ref_mask=pair[7].tar_mask,
            tar_rgb=pair[7].ref_rgb,
            tar_mask=pair[7].ref_mask,
        ),
        train_012=replace(pair[12], ref_rgb=pair[13].ref_rgb),
    )
    found = validate([str(folder)])
    assert list_found(found) == Counter(
        {
            ("leak", "train-000"): 1,
            ("leak", "train-001"): 1,
            ("leak", "train-003"): 1,
            ("pair does not differ", "train-004"): 1,
            ("pair does not differ", "train-005"): 1,
            ("duplicate id", "train-008"): 1,
            ("duplicate", "train-010"): 1,
            ("duplicate", "train-011"): 1,
        }
    )
    details = {fault.id: fault.detail for fault in found.faults}
    assert details["train-000"] == "its group 'test object 0' is that of test-000 of split test"
    assert details["train-001"] == "its target is a picture of test-001 of split test"
    assert details["train-003"] == "its target looks like a picture of test-003 of split test"
    assert details["train-010"] == "both pictures are those of train-006"
    assert list_found(validate([str(folder)], near=None)) == list_found(found) - Counter(
        {("leak", "train-003"): 1}
    )


def brighten_little(rgb: np.ndarray) -> np.ndarray:
    """Coding noise alone."""
    return np.asarray(Image.open(io.BytesIO(encode(rgb, "JPEG", quality=92))))


def test_damaged_and_missing_shards(tmp_path: Path) -> None:
    folder = write_clean(tmp_path / "pairs", 40, 8)
    shards = sorted(folder.glob("train-*.parquet"))
    data = shards[0].read_bytes()
    shards[0].write_bytes(data[: len(data) // 2])
    drop_column(shards[1], "tar_mask")
    counts = json.loads(shards[2].with_suffix(".json").read_text())
    shards[2].with_suffix(".json").write_text(json.dumps({**counts, "pairs": 9}))
    shards[3].with_suffix(".json").unlink()
    shards[4].unlink()
    found = validate([str(folder)])
    assert [(fault.kind, Path(fault.where).name) for fault in found.faults] == [
        ("damaged file", "train-00000.parquet"),
        ("missing column", "train-00001.parquet"),
        ("wrong counts", "train-00002.parquet"),
        ("wrong counts", "train-00003.parquet"),
        ("wrong counts", "train-00004.parquet"),
    ]
    assert found.records == 8 + 8 + 8
    assert found.faults[1].detail.startswith("no column tar_mask (there are: ") is False
    assert "no column tar_mask" in found.faults[1].detail
    assert found.count()["fault"] == {"damaged file": 1, "missing column": 1, "wrong counts": 3}


def drop_column(shard: Path, column: str) -> None:
    from datasets import Dataset

    Dataset.from_parquet(str(shard), keep_in_memory=True).remove_columns(column).to_parquet(shard)


def test_counts_are_compared_in_full(tmp_path: Path) -> None:
    folder = write_clean(tmp_path / "pairs", 8, 8, shard_size=4)
    for number, change in enumerate(
        (
            lambda counts: {**counts, "split": "test"},
            lambda counts: {**counts, "categories": {"animals": 4}},
        )
    ):
        file = folder / f"train-{number:05d}.json"
        file.write_text(json.dumps(change(json.loads(file.read_text()))))
    (folder / "test-00000.json").write_text("{")
    (folder / "test-00001.json").write_text("[1]")
    foreign = folder / "train-00000-of-00009.parquet"
    foreign.write_bytes(encode_rows([build_row(make_pair(77), "train")]))
    details = [fault.detail for fault in validate([str(folder)]).faults]
    assert len(details) == 4
    assert "test-00000.json cannot be read" in details[0] and "test-00001.json cannot be read" in details[1]
    assert details[2] == "its splits are train, train-00000.json says test"
    assert details[3] == "its categories are not those of train-00001.json"


def test_a_split_may_have_its_publishers_name(tmp_path: Path) -> None:
    write_clean(tmp_path / "pairs", 4, 4)
    write_parquet(tmp_path / "pairs", [make_pair(30, "dev")], split="dev")
    assert validate([str(tmp_path / "pairs")]) == Validation(9, ())


def test_a_shard_of_no_known_split_is_opened(tmp_path: Path) -> None:
    write_clean(tmp_path / "pairs", 4, 4)
    write_parquet(tmp_path / "pairs", [make_pair(30, "extra")], split="extra")
    change_shard(tmp_path / "pairs" / "extra-00000.parquet", {"extra-030": {"tar_image": b"x"}})
    found = validate([str(tmp_path / "pairs")])
    assert found.records == 9 and list_found(found) == Counter({("bad picture", "extra-030"): 1})


def test_an_imagefolder_with_hostile_lines(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "in" / "pairs", [make_pair(number) for number in range(8)])
    outside = tmp_path / "in" / "outside.png"
    outside.write_bytes(PNG)
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    lines[1]["tar_image_file_name"] = "../outside.png"
    lines[2]["tar_image_file_name"] = str(outside)
    (folder / "link.png").symlink_to(outside)
    lines[3]["ref_image_file_name"] = "link.png"
    lines[4]["tar_image_file_name"] = "nowhere.png"
    lines[5]["id"] = lines[0]["id"]
    del lines[6]["split"]
    text = "\ufeff" + "".join(json.dumps(line) + "\n" for line in lines) + "{not json\n"
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    found = validate([str(folder)])
    assert list_found(found) == Counter(
        {
            ("unsafe path", "train-001"): 1,
            ("unsafe path", "train-002"): 1,
            ("unsafe path", "train-003"): 1,
            ("bad picture", "train-004"): 1,
            ("duplicate id", "train-000"): 1,
            ("no split", "train-006"): 1,
            ("bad line", ""): 1,
        }
    )
    assert found.records == 9
    assert next(f.detail for f in found.faults if f.kind == "bad line").startswith("line 9: not JSON")


def test_the_result_does_not_depend_on_the_workers(tmp_path: Path) -> None:
    folder = write_clean(tmp_path / "pairs", 12, 4)
    change_shard(
        folder / "train-00000.parquet", {"train-003": {"ref_image": b"x"}, "train-005": {"id": "test-001"}}
    )
    seen: list[tuple[int, int]] = []
    alone = validate([str(folder)], progress=lambda done, total: seen.append((done, total)))
    assert validate([str(folder)], workers=2) == alone
    assert {fault.kind for fault in alone.faults} == {"bad picture", "duplicate id"}
    assert seen == [(done, 16) for done in range(1, 17)]


def test_two_data_sets_are_compared(tmp_path: Path) -> None:
    one = write_imagefolder(tmp_path / "one", [make_pair(0), make_pair(1)], "train")
    two = write_imagefolder(tmp_path / "two", [make_pair(1), replace(make_pair(2), id="new")], "test")
    found = validate([str(one), str(two)])
    assert [(f.kind, f.id, f.split) for f in found.faults] == [
        ("duplicate id", "train-001", "test"),
        ("leak", "train-001", "test"),
        ("leak", "train-001", "test"),
    ]


def test_a_file_that_is_named_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parquet(tmp_path / "pairs", map(make_pair, range(3)), split="train")
    (tmp_path / "link").symlink_to(tmp_path / "pairs")
    monkeypatch.chdir(tmp_path)
    for other in ("pairs", "./pairs/", str(tmp_path / "pairs"), "link", "pairs/*.parquet"):
        assert main(["dataset", "validate", "pairs", other]) == 2
        shown = capsys.readouterr()
        named = f"train-00000.parquet: named twice, by pairs and by {other} (name every data set once)\n"
        assert shown.out == "" and shown.err.endswith(named) and shown.err.count("\n") == 1
    with pytest.raises(ConfigError, match="named twice"):
        validate(["pairs", "pairs"])  # also where nobody watches


def test_one_record_alone(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", [make_pair(0), make_pair(1, category="things")])
    first, second = browse(str(folder))
    assert check_entry(first) == []
    assert check_entry(second) == [
        Fault(
            "unknown category",
            "fault",
            "train-001",
            "train",
            str(folder / "metadata.jsonl"),
            check_entry(second)[0].detail,
        )
    ]
    assert "known: accessories" in check_entry(second)[0].detail


def test_impossible_settings_are_named(tmp_path: Path) -> None:
    folder = str(write_clean(tmp_path / "pairs", 1, 1))
    with pytest.raises(ConfigError, match="near must be 0 to 16"):
        validate([folder], near=17)
    with pytest.raises(ConfigError, match="workers must be 1 or more"):
        validate([folder], workers=0)
    with pytest.raises(DataError, match="no such file"):
        validate([folder, str(tmp_path / "none")])


def find_naively(prints: list[Fingerprint], distance: int) -> list[tuple[str, int, int]]:
    """What `find_matches` finds, by comparing every record with every earlier one."""

    def is_near(one: int | None, other: int | None) -> bool:
        return one is not None and other is not None and (one ^ other).bit_count() <= distance

    def is_like(a: Fingerprint, b: Fingerprint, name: str, other: str) -> bool:
        same = getattr(a, name) == getattr(b, other) != b""
        return same or is_near(getattr(a, f"{name}_hash"), getattr(b, f"{other}_hash"))

    ends = [("ref", "tar", "ref", "tar"), ("ref", "tar", "tar", "ref")]
    found = []
    for j, b in enumerate(prints):
        for kind, test in TESTS:
            for i, a in enumerate(prints[:j]):
                if test(a, b, is_like, ends):
                    found.append((kind, j, i))
                    break
    return found


def is_twin(a: Fingerprint, b: Fingerprint, is_like: Callable[..., bool], ends: Any) -> bool:
    return a.split == b.split and any(is_like(a, b, p, q) and is_like(a, b, r, s) for p, r, q, s in ends)


def shares_group(a: Fingerprint, b: Fingerprint, *_: Any) -> bool:
    return a.split != b.split and a.group == b.group != ""


def shares_picture(a: Fingerprint, b: Fingerprint, is_like: Callable[..., bool], ends: Any) -> bool:
    names = [(p, q) for p in ("ref", "tar") for q in ("ref", "tar")]
    return a.split != b.split and any(is_like(a, b, p, q) for p, q in names)


TESTS = (("duplicate", is_twin), ("leak", shares_group), ("leak", shares_picture))


@pytest.mark.parametrize("seed", range(4))
def test_matches_are_those_of_a_naive_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bases = [int(rng.integers(0, 2**63)) for _ in range(12)]

    def draw_look() -> int:
        flips = rng.choice(64, int(rng.integers(0, 5)), replace=False)
        return bases[int(rng.integers(len(bases)))] ^ sum(1 << int(bit) for bit in flips)

    prints = []
    for number in range(60):
        split, group = (
            ("train", "test", "validation")[number % 3],
            ("", "", "a", "b", "c")[int(rng.integers(5))],
        )
        ref, tar = draw_look(), draw_look()
        digests = (str(ref).encode(), str(tar).encode())
        prints.append(Fingerprint(str(number), split, "x", group, *digests, ref, tar))
    found = [(match.kind, match.later, match.first) for match in find_matches(prints, 3)]
    naive = find_naively(prints, 3)
    assert {(kind, later) for kind, later, _ in found} == {(kind, later) for kind, later, _ in naive}
    assert len(naive) > 20 and len(found) == len(naive)


def test_every_kind_is_described() -> None:
    assert all(KINDS.values()) and len(KINDS) == 30


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = str(write_clean(tmp_path / "clean", 4, 4))
    assert main(["dataset", "validate", clean]) == 0
    assert capsys.readouterr() == ("", "a2: 8 records, no faults\n")
    folder = write_imagefolder(tmp_path / "pairs", [make_pair(i, provenance="") for i in range(14)])
    (folder / "train-003.ref_mask.png").write_bytes(b"\n")
    report = tmp_path / "faults.jsonl"
    assert main(["dataset", "validate", str(folder), "--report", str(report)]) == 3
    shown = capsys.readouterr()
    assert shown.err == "a2: 14 records, 1 fault, 14 warnings\n"
    assert shown.out.splitlines()[:3] == [
        "kind\tseverity\tcount",
        "bad mask\tfault\t1",
        "no licence\twarning\t14",
    ]
    assert "bad mask\ttrain\ttrain-003\tmetadata.jsonl\tref_mask: not a picture a2 reads" in shown.out
    assert "no licence\t\t\t\tand 4 more: --json, --report" in shown.out
    assert main(["dataset", "validate", str(folder), "--json", "--quiet", "--near", "-1"]) == 3
    shown = capsys.readouterr()
    assert shown.out == report.read_text() and shown.err == ""
    first = json.loads(shown.out.splitlines()[0])
    assert list(first) == ["kind", "severity", "id", "split", "where", "detail"]
    assert main(["dataset", "validate", str(tmp_path / "none")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
