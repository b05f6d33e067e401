"""From a folder of films to pairs, with the embedded stages alone: subjects found, blur left out, counts whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rendered import Truth, render_video

from a2cli.cli import main
from a2cli.data.browse import browse
from a2cli.data.provenance import parse_provenance
from a2cli.masks.morph import get_iou

BLURRED = (0.9, 1.5)
KINDS = ("dogs", "cars")


def build(root: Path, seeds: range, *, workers: int) -> tuple[dict[str, Truth], Path]:
    """Films named after what they are taken for, a damaged one, one that is none, one without a licence."""
    truths = {}
    for seed in seeds:
        name = f"{KINDS[seed % 2]}/{seed:02d}"
        file = root / "raw" / f"{name}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        truths[name] = render_video(file, seed, blurred=(BLURRED,), seconds=2.6)
        file.with_suffix(".json").write_text(json.dumps({"licence": "CC-BY-4.0", "author": "the tests"}))
    first = root / "raw" / KINDS[0]
    (first / "cut.mp4").write_bytes((root / "raw" / KINDS[1] / f"{seeds[1]:02d}.mp4").read_bytes()[:3000])
    (first / "text.mp4").write_text("no film")
    (first / "unlicensed.mp4").write_bytes((root / "raw" / f"{KINDS[0]}/{seeds[0]:02d}.mp4").read_bytes())
    out = root / "pairs"
    words = ["--allow-licence", "CC-BY-4.0", "--workers", str(workers)]
    assert main(["dataset", "build", str(root / "raw"), "-o", str(out), *words]) == 3
    return truths, out


def get_overlaps(truths: dict[str, Truth], out: Path) -> list[float]:
    """IoU of every mask of the data set with the truth at its frame's time; frames in focus only."""
    overlaps = []
    for entry in browse(str(out)):
        pair = entry.read()
        provenance = parse_provenance(pair.provenance)
        times = []
        for name, mask in ((provenance.ref, pair.ref_mask), (provenance.tar, pair.tar_mask)):
            time = float(name.rsplit("@", 1)[1])
            assert not BLURRED[0] <= time <= BLURRED[1], f"{name} is blurred"
            times.append(time)
            overlaps.append(get_iou(mask, truths[pair.id].get_mask(time)))
        assert times[0] != times[1]
        assert not np.array_equal(pair.ref_rgb, pair.tar_rgb)
    return overlaps


def check_counts(out: Path, inputs: int) -> dict[str, int]:
    """Counts add up, and whatever was left out has a reason; returns the reasons."""
    report = json.loads((out / "build.json").read_text())
    assert report["inputs"] == inputs == report["pairs"] + sum(report["rejects"].values())
    rows = [
        json.loads(line)
        for name in ("rejects.jsonl", "failures.jsonl")
        if (out / name).exists()
        for line in (out / name).read_text().splitlines()
    ]
    assert len(rows) == inputs - report["pairs"] and all(row["reason"] for row in rows)
    assert report["dropped"]["blurred"] > 0
    reasons: dict[str, int] = report["rejects"]
    return reasons


def test_films_become_pairs(tmp_path: Path) -> None:
    truths, out = build(tmp_path, range(4), workers=2)
    overlaps = get_overlaps(truths, out)
    assert len(overlaps) == 8 and np.median(overlaps) >= 0.8
    reasons = check_counts(out, 7)
    assert reasons["permit: no licence stated"] == 1
    assert sum(count for name, count in reasons.items() if name.startswith("read:")) == 2


@pytest.mark.slow
def test_masks_of_many_films_are_right(tmp_path: Path) -> None:
    truths, out = build(tmp_path, range(30), workers=2)
    overlaps = get_overlaps(truths, out)
    print(
        f"{len(overlaps)} masks: median IoU {np.median(overlaps):.3f}, 10 % below {np.quantile(overlaps, 0.1):.3f}"
    )
    assert len(overlaps) >= 2 * 24
    assert np.median(overlaps) >= 0.8 and np.quantile(overlaps, 0.1) >= 0.6
    check_counts(out, 33)
