"""Edits measured: in processes and batches alike, once, and each by itself where one fails."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_cases import PROTOCOLS, Counting, make_case, make_entry, refuse, write_edits

from a2cli.errors import DataError
from a2cli.evaluation.records.candidates import EditFile, list_candidates
from a2cli.evaluation.records.cases import CaseFailure
from a2cli.evaluation.records.protocols import parse_protocols
from a2cli.evaluation.records.tasks import build_shot
from a2cli.evaluation.results import Row
from a2cli.evaluation.scoring.kept import KeptFeatures, KeptValues, digest_shot
from a2cli.evaluation.scoring.score import Instruments, Scored, compare_sets, score_edits
from a2cli.images.read import open_photo
from a2cli.metrics.measure import Values, Weights
from a2cli.metrics.opening import open_measures
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import METRICS, choose_metrics

ENTRIES = [make_entry(number) for number in range(5)]
WORST = math.inf


def score(work: Path, edits: Any, instruments: Instruments, **rest: Any) -> Scored:
    entries, protocols = rest.pop("entries", ENTRIES), rest.pop("protocols", PROTOCOLS)
    methods = list(dict.fromkeys(place[0] for place in edits)) or ["mine"]
    candidates = list_candidates(entries, methods, protocols, edits)
    with KeptValues(work) as values:
        return score_edits(candidates, instruments, values, KeptFeatures(work), **rest)


def test_values_are_those_of_the_measures_whatever_processes_and_batches(tmp_path: Path) -> None:
    edits = write_edits(tmp_path, 5) | write_edits(tmp_path, 5, method="other")
    opened = open_measures(choose_metrics(["l1", "ssim", "preservation"]), Weights(), "cpu")
    instruments = Instruments(opened.measures)
    rows = score(tmp_path / "a", edits, instruments).rows
    assert [(row.id, row.protocol, row.method) for row in rows[:5]] == [
        ("case 0", "fine", "mine"),
        ("case 0", "fine", "other"),
        ("case 0", "box", "mine"),
        ("case 0", "box", "other"),
        ("case 1", "fine", "mine"),
    ]
    for row in rows:
        case = make_case(int(row.id.split()[1]))
        protocol = next(one for one in PROTOCOLS if one.name == row.protocol)
        mask = protocol.apply(case.mask, case.id)
        file = edits[row.method, row.protocol, row.id]
        assert isinstance(file, EditFile)
        shot = build_shot(case, mask, open_photo(file.path).rgb)
        direct: Values = {}
        for measure in opened.measures:
            direct |= measure.measure([shot])[0]
        assert row.values == direct and len(direct) == 10
        assert (row.mask_share, row.seconds, row.edited) == (mask.mean(), 0.5, file.shown)
    assert score(tmp_path / "b", edits, instruments, workers=2, batch_size=3).rows == rows


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    edits = write_edits(tmp_path, 5)
    first = [Counting(), Counting(needs_network=True)]
    rows = score(tmp_path, edits, Instruments(first), batch_size=4).rows
    assert [measure.seen for measure in first] == [10, 10]
    assert max(map(len, first[1].calls)) == 4 and max(map(len, first[0].calls)) == 1
    again = [Counting(), Counting(needs_network=True)]
    assert score(tmp_path, edits, Instruments(again)).rows == rows
    assert [measure.seen for measure in again] == [0, 0]
    other = Counting(implementation="counting 2")
    score(tmp_path, edits, Instruments([other]))
    assert other.seen == 10


def test_a_damaged_line_costs_one_value(tmp_path: Path) -> None:
    edits = write_edits(tmp_path, 5)
    rows = score(tmp_path, edits, Instruments([Counting()])).rows
    file = tmp_path / "values.jsonl"
    text = file.read_bytes()
    file.write_bytes(text[:-7])  # as a killed process leaves it
    again = Counting()
    assert score(tmp_path, edits, Instruments([again])).rows == rows and again.seen == 1
    lines = file.read_bytes().split(b"\n")
    assert len(lines) == 12 and json.loads(lines[-2]) == json.loads(text.split(b"\n")[9])
    file.write_bytes(b'\xff\n[]\n{"key": "x", "values": {"l1": NaN}}\n' + text)
    third = Counting()
    assert score(tmp_path, edits, Instruments([third])).rows == rows and third.seen == 0


def test_all_that_a_value_may_depend_on_is_in_its_key() -> None:
    case = make_case(0)
    shot = build_shot(case, case.mask, case.source)
    assert digest_shot(replace(shot, id="other")) == digest_shot(shot)
    other = case.source ^ 1
    changes: dict[str, Any] = {
        **dict.fromkeys(("edited", "source", "target"), other),
        **{"mask": ~case.mask, "ref_rgb": np.zeros((20, 20, 3), np.uint8), "ref_mask": None, "hole": False},
        **{"prompt": "b", "source_prompt": "b", "instruction": "b"},
        **{"exact": ~case.mask, "region": case.mask},
    }
    assert changes.keys() | {"id"} == {field.name for field in fields(Shot)}
    keys = {name: digest_shot(replace(shot, **{name: value})) for name, value in changes.items()}
    assert len({digest_shot(shot), *keys.values()}) == len(changes) + 1


def test_only_what_changed_is_measured_anew(tmp_path: Path) -> None:
    edits = write_edits(tmp_path, 5)
    score(tmp_path, edits, Instruments([Counting()]))
    changed = edits["mine", "fine", "case 2"]
    assert isinstance(changed, EditFile)
    from a2cli.images.write import save_image

    picture = open_photo(changed.path).rgb.copy()
    picture[0, 0] ^= 1
    save_image(picture, changed.path)
    measure = Counting()
    score(tmp_path, edits, Instruments([measure]))
    assert measure.calls == [["case 2"]]


@pytest.mark.parametrize("needs_network", [False, True])
def test_a_measure_that_fails_on_one_edit_leaves_the_others(tmp_path: Path, needs_network: bool) -> None:
    def spoil(shot: Shot) -> Values:
        if shot.id == "case 3" and not shot.mask[0].any():
            raise RuntimeError("one\nbad picture")
        return {"extra": math.nan} if shot.id == "case 1" else {}

    edits = write_edits(tmp_path, 5)
    measure = Counting(needs_network=needs_network, spoil=spoil)
    name = measure.infos[0].name
    scored = score(tmp_path, edits, Instruments([measure]), batch_size=10)
    assert len(scored.rows) == 10 and not any(row.error for row in scored.rows)
    without = {row.id for row in scored.rows if name not in row.values}
    assert without == {"case 3"}
    assert {(f.id, f.stage, f.reason, f.detail) for f in scored.failures} == {
        ("case 3", "measure", name, "RuntimeError: one bad picture"),
        ("case 1", "measure", "extra", "not a finite number"),
    }
    assert all(math.isfinite(value) for row in scored.rows for value in row.values.values())
    again = Counting(needs_network=needs_network)
    score(tmp_path, edits, Instruments([again]))
    assert again.seen == 4  # what failed is tried again: two of case 3, two of case 1


@pytest.mark.parametrize("known", [False, True])
def test_a_judge_that_ends_says_why(tmp_path: Path, known: bool) -> None:
    def refuse_all(shot: Shot) -> Values:
        raise DataError("cache: cannot be written") if known else ValueError("a bug")

    edits, judge = write_edits(tmp_path, 3), Counting(spoil=refuse_all)
    instruments = Instruments([], judge=judge)
    if known:
        with pytest.raises(DataError, match="cache: cannot be written"):
            score(tmp_path, edits, instruments, entries=ENTRIES[:3])
        assert len(judge.calls) == 1
    else:
        scored = score(tmp_path, edits, instruments, entries=ENTRIES[:3])
        assert [failure.detail for failure in scored.failures] == ["ValueError: a bug"] * 6


def test_edits_that_cannot_be_measured_are_rows_with_an_error(tmp_path: Path) -> None:
    from a2cli.images.write import save_image

    edits = write_edits(tmp_path, 5)
    (tmp_path / "mine/fine/case-0.png").write_bytes(b"no picture")
    (tmp_path / "mine/fine/case-2.png").unlink()
    save_image(np.zeros((8, 8, 3), np.uint8), tmp_path / "mine/fine/case-3.png")
    truncated = tmp_path / "mine/box/case-4.png"
    truncated.write_bytes(truncated.read_bytes()[:200])
    del edits["mine", "box", "case 0"]
    entries = [ENTRIES[0], replace(ENTRIES[1], load=refuse), *ENTRIES[2:]]
    scored = score(tmp_path, edits, Instruments([Counting()]), entries=entries)
    errors = {(row.id, row.protocol): row.error for row in scored.rows if row.error}
    for place, words in {
        ("case 0", "fine"): "not a picture",
        ("case 0", "box"): "there is none",
        ("case 1", "fine"): "its photo is gone",
        ("case 1", "box"): "its photo is gone",
        ("case 2", "fine"): "no such file",
        ("case 3", "fine"): "the edit is 8 x 8",
        ("case 4", "box"): "truncated",
    }.items():
        assert words in errors.pop(place)
    assert not errors and len(scored.rows) == 10
    assert all(bool(row.values) != bool(row.error) for row in scored.rows)
    assert sorted({failure.stage for failure in scored.failures}) == ["edit", "read"]
    assert len(scored.failures) == 7 and all(f.method == "mine" for f in scored.failures)


def test_a_mask_of_which_nothing_is_left_fails_under_its_protocol_alone(tmp_path: Path) -> None:
    protocols = parse_protocols(["fine", "erode:6"], "2")  # the discs have radii of 5 to 7
    edits = write_edits(tmp_path, 3, protocols[:1])
    for number in range(3):
        edits["mine", "erode-6", f"case {number}"] = edits["mine", "fine", f"case {number}"]
    scored = score(tmp_path, edits, Instruments([Counting()]), entries=ENTRIES[:3], protocols=protocols)
    failed = {(f.id, f.protocol, f.stage) for f in scored.failures}
    assert ("case 0", "erode-6", "mask") in failed and {p for _, p, _ in failed} == {"erode-6"}
    assert sum(not row.error for row in scored.rows) == 6 - len(failed)


def test_a_turn_starts_from_the_edit_before_it(tmp_path: Path) -> None:
    seen: list[np.ndarray | None] = []

    def look(shot: Shot) -> Values:
        seen.append(shot.source)
        return {}

    entries = [replace(make_entry(n), group="s", turn=n + 1) for n in range(2)]
    edits = write_edits(tmp_path, 2, PROTOCOLS[:1])
    first = edits["mine", "fine", "case 0"]
    assert isinstance(first, EditFile)
    for before, source in ((None, make_case(1).source), (entries[0], open_photo(first.path).rgb)):
        seen.clear()
        measure = Counting(spoil=look, implementation=f"{before}")
        turns = [entries[0], replace(entries[1], before=before)]
        score(tmp_path, edits, Instruments([measure]), entries=turns, protocols=PROTOCOLS[:1])
        assert len(seen) == 2
        assert all(
            s is not None and (s == w).all() for s, w in zip(seen, (make_case(0).source, source), strict=True)
        )
    # One of another size is brought to the photo's where the data set's own script does so.
    Image.fromarray(np.full((6, 8, 3), 90, np.uint8)).save(first.path)
    sizing = replace(turns[1], load=lambda: replace(make_case(1), resize_edits=True))
    seen.clear()
    small = Instruments([Counting(spoil=look, implementation="small")])
    assert not score(tmp_path, edits, small, entries=[sizing], protocols=PROTOCOLS[:1]).failures
    assert seen[0] is not None and seen[0].shape == make_case(1).source.shape and (seen[0] == 90).all()
    # Without the edit that it starts from, nothing is said of what was changed.
    edits["mine", "fine", "case 0"] = CaseFailure("case 0", "find", "no edit", "")
    seen.clear()
    score(
        tmp_path,
        edits,
        Instruments([Counting(spoil=look, implementation="alone")]),
        entries=turns[1:],
        protocols=PROTOCOLS[:1],
    )
    assert seen == [None]


class Spread:
    """A measure of a set: the distance of the mean edit from the mean target."""

    infos = (METRICS["fid"],)
    implementation = "spread"

    def __init__(self) -> None:
        self.seen = 0

    def embed(self, shots: Sequence[Shot]) -> list[Mapping[str, np.ndarray]]:
        self.seen += len(shots)
        if any(shot.id == "case 4" for shot in shots):
            raise DataError("case 4: chokes")
        pictures = ((shot.edited, shot.target) for shot in shots if shot.target is not None)
        return [{"fid": np.array([[p.mean()] for p in pair], np.float32)} for pair in pictures]

    def compare(self, features: Mapping[str, np.ndarray]) -> Values:
        means = features["fid"].mean(axis=0)
        return {"fid": float(np.abs(means[0] - means[1]).sum())}


def test_values_of_a_set_come_of_all_its_edits(tmp_path: Path) -> None:
    edits = write_edits(tmp_path, 5)
    spread = Spread()
    scored = score(tmp_path, edits, Instruments([], [spread]))
    assert {(f.id, f.reason, f.detail) for f in scored.failures} == {("case 4", "fid", "case 4: chokes")}
    features = KeptFeatures(tmp_path)
    found = compare_sets(scored, [spread], features)
    for protocol in ("fine", "box"):
        gaps = []
        for number in range(4):
            file = edits["mine", protocol, f"case {number}"]
            assert isinstance(file, EditFile)
            gaps.append(open_photo(file.path).rgb.mean() - make_case(number).source.mean())
        one = found["mine", protocol]["fid"]
        assert one.mean == pytest.approx(abs(np.mean(gaps)), rel=1e-4) and (one.n, one.se) == (4, None)
        assert found["mine", protocol]["fid@mask"].mean is None
    again = Spread()
    assert compare_sets(score(tmp_path, edits, Instruments([], [again])), [again], features) == found
    assert again.seen <= 4  # case 4 alone, in a batch and by itself
    single = score(tmp_path, edits, Instruments([], [again]), entries=ENTRIES[:1])
    assert compare_sets(single, [again], features)["mine", "fine"]["fid"].mean is None
    features.clear()
    assert not (tmp_path / "features").exists()


def test_kept_features_share_arrays_and_survive_damage(tmp_path: Path) -> None:
    features, array = KeptFeatures(tmp_path), np.arange(6, dtype=np.float32).reshape(2, 3)
    features.put("ab", {"fid": array, "kid": array, "fid@crop": array + 1})
    found = features.get("ab")
    assert found is not None and sorted(found) == ["fid", "fid@crop", "kid"]
    assert (found["kid"] == array).all() and (found["fid@crop"] == array + 1).all()
    (file,) = tmp_path.rglob("*.npz")
    for damaged in (file.read_bytes()[:50], b""):
        file.write_bytes(damaged)
        assert features.get("ab") is None
    assert features.get("cd") is None


def test_rows_are_plain_values(tmp_path: Path) -> None:
    edits = write_edits(tmp_path, 2)
    (row, *_) = score(tmp_path, edits, Instruments([Counting()]), entries=ENTRIES[:2]).rows
    assert isinstance(row, Row) and type(row.mask_share) is float and type(row.values["seam"]) is float


def test_a_full_disk_is_said_and_what_was_kept_stays(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from a2cli.errors import DataError\nfrom a2cli.evaluation.scoring.kept import KeptValues\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    with KeptValues(Path(sys.argv[1])) as values:\n"
        "        for number in range(100):\n            values.put(f'key {number}', {'l1': 0.5})\n"
        "except DataError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert "values.jsonl: cannot be written: File too large" in done.stdout and done.stderr == ""
    with KeptValues(tmp_path) as values:
        kept = [number for number in range(100) if values.get(f"key {number}") == {"l1": 0.5}]
    assert kept == list(range(len(kept))) and len(kept) == 1000 // len(
        '{"key": "key 10", "values": {"l1": 0.5}}\n'
    )
