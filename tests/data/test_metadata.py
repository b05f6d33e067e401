"""Lines of `metadata.jsonl` as people leave them: each fault stays with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pair_folders import make_pairs, write_imagefolder

from a2cli.data.metadata import read_metadata
from a2cli.data.records import BadRecord
from a2cli.data.source import SourceConfig, open_source
from a2cli.errors import DataError


def change_line(folder: Path, number: int, line: str | dict[str, object]) -> None:
    """Replace a line (from 1), or change keys of its row."""
    file = folder / "metadata.jsonl"
    lines = file.read_text().splitlines()
    if isinstance(line, dict):
        line = json.dumps({**json.loads(lines[number - 1]), **line})
    lines[number - 1] = line
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ({"id": "train-000"}, "line 2: the id train-000 stands twice"),
        ({"tar_image_file_name": 3}, "line 2: tar_image_file_name is not a file name"),
        ({"tar_image_file_name": None}, "record train-001: tar_image: no picture"),
        ({"tar_image_file_name": "gone.png"}, r"record train-001: tar_image: .*gone\.png: no such file"),
        ({"ref_mask_file_name": "../x.png"}, r"record train-001: ref_mask: \.\./x\.png lies outside"),
        ({"ref_mask_file_name": "/etc/passwd"}, "record train-001: ref_mask: /etc/passwd lies outside"),
        ({"tar_mask_file_name": "link.png"}, r"tar_mask: link\.png lies outside"),
        ({"tar_mask_file_name": "loop.png"}, r"tar_mask: loop\.png: no file can have this path|no such file"),
        ({"tar_mask_file_name": "a\0b"}, "tar_mask: .*: no file can have this path"),
        ({"tar_mask_file_name": "x" * 5000}, "tar_mask: .*(no file can have this path|cannot be opened)"),
        ({"prompt": "\ud800"}, "line 2: .*surrogates not allowed"),
    ],
)
def test_a_bad_line_is_that_record_alone(
    tmp_path: Path, line: str | dict[str, object], message: str, arrow_cache: Path
) -> None:
    folder = write_imagefolder(tmp_path / "pairs", make_pairs(3))
    (tmp_path / "x.png").write_bytes((folder / "000.tar_mask.png").read_bytes())
    (folder / "link.png").symlink_to(tmp_path / "x.png")
    (folder / "loop.png").symlink_to("loop.png")
    change_line(folder, 2, line)
    source = open_source(SourceConfig(path=str(folder)), seed=0)
    assert source.count == 3
    good, bad = set(), []
    for index in range(3):
        try:
            good.add(source.read(index).id)
        except BadRecord as error:
            bad.append(error)
    assert good == {"train-000", "train-002"} and len(bad) == 1
    with pytest.raises(BadRecord, match=message):
        raise bad[0]
    assert "\n" not in str(bad[0])


def test_a_byte_order_mark_empty_lines_and_line_separators_are_fine(tmp_path: Path) -> None:
    file = write_imagefolder(tmp_path / "pairs", make_pairs(2)) / "metadata.jsonl"
    first, second = file.read_text().splitlines()
    first = json.dumps({**json.loads(first), "prompt": "one\u2028two"}, ensure_ascii=False)
    file.write_text(f"\ufeff{first}\r\n\r\n{second}")
    columns = read_metadata(file)
    assert columns["id"] == ["train-000", "train-001"] and columns["prompt"][0] == "one\u2028two"
    assert columns["problem"] == [None, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no lines"),
        ("not JSON\n", "line 1: not JSON"),
        ('{"id": "a"}\n', "no column category, ref_image_file_name, .*there are: id"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_without_pairs_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    file = tmp_path / "metadata.jsonl"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=message):
        read_metadata(file)


def test_numbers_and_objects_become_text(tmp_path: Path, arrow_cache: Path) -> None:
    folder = write_imagefolder(tmp_path / "pairs", make_pairs(1))
    change_line(folder, 1, {"id": 17, "provenance": {"licence": "CC0"}, "prompt": None, "subcategory": None})
    pair = open_source(SourceConfig(path=str(folder)), seed=0).get_pair(0)
    assert pair.id == "17" and json.loads(pair.provenance) == {"licence": "CC0"}
    assert pair.subcategory == "" and pair.prompt == "a photo of animals"
