"""Division: a category's share, categories held out, and nothing that two splits share."""

from __future__ import annotations

import json
import random
import resource
import signal
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pairs import load_rows, make_pair, write_clean, write_imagefolder

from a2cli.cli import main
from a2cli.curation.divide import REPORT, divide_dataset
from a2cli.curation.duplicates import Fingerprint
from a2cli.curation.split import ASIDE, Candidate, SplitConfig, join_components, plan_split
from a2cli.curation.validate import validate
from a2cli.data.browse import browse
from a2cli.data.provenance import Provenance, Rights
from a2cli.data.rows import PICTURES
from a2cli.data.shards import write_parquet
from a2cli.data.tables import open_table
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import ConfigError, DataError


def make_candidate(
    name: str,
    category: str = "animals",
    group: str = "",
    ref: bytes = b"",
    looks: tuple[int | None, int | None] = (None, None),
    source: str = "",
    names: tuple[str, ...] = ("", ""),
) -> Candidate:
    return Candidate(category, source, names, Fingerprint(name, "", "x", group, ref, b"", *looks))


def make_many(count: int, category: str, per_group: int = 1) -> list[Candidate]:
    return [
        make_candidate(f"{category}-{i:03d}", category, f"{category} {i // per_group}") for i in range(count)
    ]


def test_every_category_gets_its_share_and_the_rest_is_trained_on() -> None:
    records = make_many(60, "animals") + make_many(40, "plants", 3) + make_many(30, "vehicles", 2)
    plan = plan_split(records, SplitConfig(validation=3))
    assert plan.counts["test"] == {"animals": 25, "plants": 25, "vehicles": 25}
    assert plan.counts["validation"] == {"animals": 3, "plants": 3, "vehicles": 3}
    assert plan.counts[ASIDE] == {"vehicles": 2}  # of the groups that gave the last records
    assert plan.counts["train"] == {"animals": 32, "plants": 12}
    assert plan.warnings == ("nothing is left to train on in 1 category: vehicles",)
    assert set(plan.splits) == {record.print.id for record in records}


def test_small_components_go_first() -> None:
    records = make_many(10, "animals") + [make_candidate(f"big-{i}", group="one video") for i in range(30)]
    assert plan_split(records, SplitConfig(test=10)).counts["train"] == {"animals": 30}
    plan = plan_split(records, SplitConfig(test=12))
    assert (plan.counts["test"], plan.counts[ASIDE]) == ({"animals": 12}, {"animals": 28})
    assert plan.warnings[0].startswith("28 of 40 records are put aside")


def test_what_there_is_too_little_of_is_said() -> None:
    plan = plan_split(make_many(20, "animals") + make_many(60, "plants"), SplitConfig())
    assert plan.counts["test"] == {"animals": 20, "plants": 25}
    assert plan.warnings == (
        "fewer than 25 test records in 1 category: animals 20",
        "nothing is left to train on in 1 category: animals",
    )
    plan = plan_split([make_candidate("one", "a\nb")], SplitConfig(test=0, validation=2))
    assert plan.warnings == (
        r"fewer than 2 validation records in 1 category: a\nb 1",
        r"nothing is left to train on in 1 category: a\nb",
    )
    plan = plan_split([make_candidate(f"r{i:02d}", f"kind {i:02d}") for i in range(12)], SplitConfig())
    counted = ", ".join(f"kind {i:02d} 1" for i in range(10))
    assert plan.warnings[0] == f"fewer than 25 test records in 12 categories: {counted}, and 2 more"


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ([], "give a smaller --test: the smallest category has 1 record"),
        (
            ["--test", "3", "--validation", "1"],
            "give a smaller --test or --validation: the smallest category",
        ),
        (["--hold-out", ",".join(CATEGORIES)], "hold out fewer categories"),
        (["--hold-out", "garments", "--validation", "9"], "give a smaller --validation: the smallest"),
    ],
)
def test_a_split_with_nothing_to_train_on_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], remedy: str
) -> None:
    source = write_imagefolder(tmp_path / "in", [make_pair(number) for number in range(12)], None)
    for dry in ([], ["--dry-run"]):
        assert main(["dataset", "split", str(source), "-o", str(tmp_path / "out"), *options, *dry]) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and f"in: nothing is left to train on ({remedy}" in shown.err
        assert shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_held_out_categories_leave_train_and_alone_are_tested() -> None:
    records = make_many(30, "garments") + make_many(20, "accessories") + make_many(50, "animals")
    mixed = [
        make_candidate("m-garment", "garments", "person"),
        make_candidate("m-portrait", "portraits", "person"),
    ]
    plan = plan_split(records + mixed, SplitConfig(hold_out=("garments", "accessories")))
    assert plan.counts["test"] == {"garments": 25, "accessories": 20}
    assert plan.counts["train"] == {"animals": 50, "portraits": 1}
    assert plan.counts[ASIDE] == {"garments": 6}
    assert plan.warnings == ("fewer than 25 test records in 1 category: accessories 20",)
    assert plan.splits["m-portrait"] == "train" and plan.splits["m-garment"] == ASIDE  # singles came first
    plan = plan_split(records + mixed, SplitConfig(hold_out=("garments", "accessories"), validation=5))
    assert plan.counts["validation"] == {"animals": 5, "portraits": 1}
    everything = plan_split(records + mixed, SplitConfig(test=None, hold_out=("garments", "accessories")))
    assert everything.counts["test"] == {"garments": 31, "accessories": 20}
    assert everything.splits["m-portrait"] == ASIDE  # its person is in the test set
    plan = plan_split(records, SplitConfig(hold_out=("vehicles", "plants")))
    assert plan.warnings == ("there are no vehicles and no plants to hold out",) and not plan.counts["test"]


def test_what_belongs_together() -> None:
    records = [
        make_candidate("a", group="g"),
        make_candidate("b", ref=b"same"),
        make_candidate("c", group="g", ref=b"same"),
        make_candidate("d", looks=(0b0000, None)),
        make_candidate("e", looks=(None, 0b0011)),
        make_candidate("f", looks=(0b1111, None)),
        make_candidate("g", source="s", names=("x.png", "")),
        make_candidate("h", source="s", names=("", "x.png")),
        make_candidate("i", source="t", names=("x.png", "")),
        make_candidate("j", source="t"),
    ]

    def join(**options: object) -> list[str]:
        found = join_components(records, SplitConfig(**options))  # type: ignore[arg-type]
        return ["".join(records[i].print.id for i in component) for component in found]

    assert join(near=2) == ["abc", "def", "gh", "i", "j"]
    assert join(near=1) == ["abc", "d", "e", "f", "gh", "i", "j"]
    assert join(near=None, keep_together="source") == ["abc", "d", "e", "f", "gh", "ij"]


@st.composite
def draw_records(draw: st.DrawFn) -> list[Candidate]:
    count = draw(st.integers(1, 60))
    word = st.sampled_from(["", *"abcdefghij"])
    return [
        make_candidate(
            f"r{number}",
            draw(st.sampled_from(CATEGORIES[:3])),
            draw(word),
            draw(word).encode(),
            (draw(st.sampled_from([None, 1 << 10, 1 << 20, 3 << 20, 1 << 40])), None),
        )
        for number in range(count)
    ]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(draw_records(), st.integers(0, 5), st.integers(0, 3), st.booleans(), st.integers(0, 9))
def test_splits_never_share_anything(
    records: list[Candidate], test: int, validation: int, held: bool, seed: int
) -> None:
    config = SplitConfig(test, validation, (CATEGORIES[0],) if held else (), seed, near=1)
    plan = plan_split(records, config)
    places: dict[tuple[str, object], set[str]] = defaultdict(set)
    for record in records:
        split = plan.splits[record.print.id]
        if split != ASIDE:
            places["group", record.print.group].add(split)
            places["digest", record.print.ref].add(split)
            look = record.print.ref_hash
            places["look", 1 << 20 if look == 3 << 20 else look].add(split)  # one bit apart
    for (_, value), splits in places.items():
        assert len(splits) == 1 or not value
    for split, needed in (("test", test), ("validation", validation)):
        assert all(count <= needed for count in plan.counts[split].values())
    assert sum(sum(found.values()) for found in plan.counts.values()) == len(records)
    if held:
        assert CATEGORIES[0] not in plan.counts["train"] and set(plan.counts["test"]) <= {CATEGORIES[0]}
    shuffled = random.Random(seed).sample(records, len(records))
    assert plan_split(shuffled, config) == plan


def test_the_seed_decides_alone() -> None:
    records = make_many(60, "animals")
    one, same, other = (plan_split(records, SplitConfig(seed=seed)).splits for seed in (1, 1, 2))
    assert one == same != other
    more = plan_split([*records, *make_many(1, "plants")], SplitConfig(seed=1)).splits
    assert {name: more[name] for name in one} == one  # records of other categories change nothing


def test_a_data_set_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    pairs = [make_pair(number, prompt="" if number == 1 else "a prompt") for number in range(48)]
    pairs[9] = replace(pairs[9], provenance=pairs[1].provenance)
    pairs[17] = replace(pairs[17], tar_rgb=pairs[25].tar_rgb)
    source = write_imagefolder(tmp_path / "in", pairs, None)
    out = tmp_path / "new" / "out"
    config = SplitConfig(test=2, validation=1, seed=3)
    steps: list[tuple[str, int, int]] = []
    division = divide_dataset(
        str(source), out, config, shard_size=10, progress=lambda *step: steps.append(step)
    )
    assert division.bad == () and division.plan.warnings == ()
    assert division.plan.counts["test"] == dict.fromkeys(CATEGORIES, 2)
    assert [path.name for path in division.shards] == [
        "test-00000.parquet",
        "test-00001.parquet",
        *(f"train-{number:05d}.parquet" for number in range(3)),
        "validation-00000.parquet",
    ]
    assert steps[-1] == ("writing", 48, 48) and ("reading", 48, 48) in steps
    assert not validate([str(out)]).count()["fault"]
    before = {entry.get_text("id"): entry for entry in browse(str(source))}
    seen: Counter[str] = Counter()
    for entry in browse(str(out)):
        name = entry.get_text("id")
        assert entry.split == division.plan.splits[name] == entry.row["split"]
        for column in PICTURES:
            old = before[name]
            assert entry.reader.load_bytes(entry.row, column) == old.reader.load_bytes(old.row, column)
        for column in ("category", "subcategory", "prompt", "provenance"):
            assert entry.row[column] == before[name].row[column]
        seen[entry.split] += 1
    assert seen == {
        "train": 48 - 16 - 8 - len([n for n in division.plan.splits.values() if not n]),
        "test": 16,
        "validation": 8,
    }
    assert len(open_table(str(out), "validation").rows) == 8
    report = json.loads((out / REPORT).read_text())
    assert report["options"]["seed"] == 3 and report["counts"]["test"] == dict.fromkeys(CATEGORIES, 2)
    assert report["path"] == str(source) and report["components"] == 46


def test_the_order_of_the_shards_decides_nothing(tmp_path: Path) -> None:
    pairs = [make_pair(number) for number in range(24)]
    plans = []
    for name, order in (("one", pairs), ("two", pairs[::-1])):
        write_parquet(tmp_path / name, order, split="train", shard_size=7)
        out, config = tmp_path / f"{name}-out", SplitConfig(test=1)
        plans.append(divide_dataset(str(tmp_path / name), out, config).plan)
    assert plans[0] == plans[1]
    rows = [
        {row["id"]: row for row in load_rows(tmp_path / f"{name}-out" / "test-00000.parquet")}
        for name in ("one", "two")
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 8


def test_bad_records_are_left_out_and_named(tmp_path: Path) -> None:
    source = write_imagefolder(tmp_path / "in", [make_pair(number) for number in range(10)], None)
    (source / "train-002.tar_mask.png").write_bytes(b"")
    with (source / "metadata.jsonl").open("a") as file:
        file.write((source / "metadata.jsonl").read_text().splitlines()[0] + "\n{\n")
    division = divide_dataset(str(source), tmp_path / "out", SplitConfig(test=1, validation=0))
    assert len(division.bad) == 3 and len(division.plan.splits) == 9
    assert "record train-002: tar_mask" in division.bad[0] and "stands twice" in division.bad[1]
    assert json.loads((tmp_path / "out" / REPORT).read_text())["bad"] == list(division.bad)
    assert sum(1 for _ in browse(str(tmp_path / "out"))) == 9


def test_a_file_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    source = write_clean(tmp_path / "in", 16, 8)
    (source / "text.parquet").write_text("words")
    (bad,) = divide_dataset(str(source), tmp_path / "out", SplitConfig(test=1), dry_run=True).bad
    assert bad.startswith(f"{source}/text.parquet: cannot be read: ") and bad.count("text.parquet") == 1
    assert bad.endswith(" (mend or remove the file)")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    source = str(write_clean(tmp_path / "in", 8, 8))
    divide_dataset(source, tmp_path / "dry", SplitConfig(test=1), dry_run=True)
    assert not (tmp_path / "dry").exists()
    divide_dataset(source, tmp_path / "out", SplitConfig(test=1))
    before = sorted((file.name, file.read_bytes()) for file in (tmp_path / "out").iterdir())
    for out, message in (("out", "out: is not empty"), ("in/new", "lies in the source")):
        with pytest.raises(ConfigError, match=message):
            divide_dataset(source, tmp_path / out, SplitConfig(test=1))
    assert sorted((file.name, file.read_bytes()) for file in (tmp_path / "out").iterdir()) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: is a file"):
        divide_dataset(source, tmp_path / "file", SplitConfig(test=1))
    with pytest.raises(DataError, match="file/out: cannot be made"):
        divide_dataset(source, tmp_path / "file" / "out", SplitConfig(test=1))


def test_a_disk_that_refuses_is_one_line(tmp_path: Path) -> None:
    source, out = str(write_clean(tmp_path / "in", 8, 8)), tmp_path / "out"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(DataError, match=r"out/test-00000\.parquet: cannot be written"):
            divide_dataset(source, out, SplitConfig(test=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert {file.name for file in out.iterdir()} == {".lock", ".unfinished"}  # and a rerun starts anew
    assert divide_dataset(source, out, SplitConfig(test=1)).shards  # nothing stands in the way of another try


def test_impossible_settings_are_named(tmp_path: Path) -> None:
    for options, message in (
        ({"test": -1}, "must not be negative"),
        ({"test": None}, "leave none to train on"),
        ({"near": 20}, "near must be 0 to 16"),
        ({"hold_out": ("garmets",)}, "did you mean 'garments'"),
        ({"hold_out": ("dogs",)}, "there is no category 'dogs' .did you mean 'animals'"),
        ({"keep_together": "video"}, "group or source"),
    ):
        with pytest.raises(ConfigError, match=message):
            SplitConfig(**options)
    source = write_imagefolder(
        tmp_path / "in", [make_pair(0, provenance=Provenance(Rights("s")).to_text())], None
    )
    (source / "train-000.tar_mask.png").write_bytes(b"")
    with pytest.raises(DataError, match="no record can be used"):
        divide_dataset(str(source), tmp_path / "out", SplitConfig(test=1))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_imagefolder(tmp_path / "in", [make_pair(number) for number in range(17)], None)
    out = tmp_path / "out"
    options = ["--test", "1", "--hold-out", "garments, accessories", "--near", "-1"]
    assert main(["dataset", "split", str(source), "-o", str(out), *options]) == 0
    shown = capsys.readouterr()
    lines = [line.split("\t") for line in shown.out.splitlines()]
    assert lines[0] == ["category", "train", "test", "put aside"]
    assert lines[1] == ["garments", "0", "1", "2"] and lines[-1] == ["all", "12", "2", "3"]
    assert shown.err == ""
    (source / "train-003.ref_image.png").write_bytes(b"")
    assert (
        main(["dataset", "split", str(source), "-o", str(tmp_path / "no"), "--dry-run", "--json", *options])
        == 3
    )
    shown = capsys.readouterr()
    assert json.loads(shown.out)["counts"]["test"] == {"accessories": 1, "garments": 1}
    assert "ref_image.png: the file is empty (mend or remove the record)\n" in shown.err
    assert not (tmp_path / "no").exists()
    for wrong, message in (
        (["--test", "many"], "--test 'many': neither a number from 0 nor all"),
        (["--test", "-3"], "--test '-3': neither a number from 0 nor all"),
        (["--test", "all"], "name --hold-out categories"),
        (["--near", "17"], "'--near'"),
    ):
        assert main(["dataset", "split", str(source), "-o", str(tmp_path / "no"), *wrong]) == 2
        assert message in capsys.readouterr().err
