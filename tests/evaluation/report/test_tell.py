"""The gallery out of finished edits."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

from scored import make_results
from small_cases import PROTOCOLS, make_case, make_entry, write_edits

from a2cli.evaluation.config import EvalConfig, MethodConfig
from a2cli.evaluation.records.candidates import EditFile
from a2cli.evaluation.report.tell import add_gallery
from a2cli.evaluation.results import Row
from a2cli.images.read import open_photo
from a2cli.images.thumbnail import encode_thumbnail
from a2cli.metrics.shots import GREY


def test_a_turn_is_shown_as_the_method_saw_it_that_it_is_ranked_by(tmp_path: Path) -> None:
    first = make_entry(2)  # whose mask is larger
    entries, under = [first, replace(make_entry(0), turn=2, before=first)], PROTOCOLS[:1]
    edits = write_edits(tmp_path, 3, under, "paste") | write_edits(tmp_path, 3, under, "mine")
    rows = [
        Row(entry.id, "", "", "", method, "fine", {"l1": 0.5})
        for entry in entries
        for method in ("paste", "mine")
    ]
    config = EvalConfig(methods=(MethodConfig("mine"),), out=str(tmp_path), gallery=2)
    shown = add_gallery(config, make_results(rows), rows, entries, under, edits).gallery
    (turn,) = [exhibit for exhibit in shown if exhibit.id == "case 0"]
    before = edits["mine", "fine", "case 2"]
    assert isinstance(before, EditFile)
    given = open_photo(before.path).rgb.copy()
    given[make_case(0).mask] = GREY
    wanted, size = encode_thumbnail(given, 256)
    assert (base64.b64decode(turn.pictures["source"].data), turn.pictures["source"].size) == (wanted, size)
