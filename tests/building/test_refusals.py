"""A build that cannot come to anything says so at once, with what helps, and leaves no trace."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from raw_folders import draw_picture, save
from test_build import make_config, write_object

from a2cli.building.advice import get_advice
from a2cli.building.config import BuildConfig, GenerateConfig, InputConfig, QualityConfig
from a2cli.building.plan import write_plan
from a2cli.building.readers.about import KEYS, is_near
from a2cli.building.run import run_build
from a2cli.cli import main
from a2cli.errors import DataError

FOREIGN = """id key width height sha256 exif punsafe tags title description label class bbox score fps duration frames
    image image_id path file_name author_id author_name date texts captions categories category_id source_id
    source_url urls course group_id license_url test next ext mask size seed uri origin owner action option camera
    depth poses color keypoints segmentation prompt_id resource created uploader format text_en"""
MISSPELT = """licens liscense License LICENSE licenses categry sub_category subcatgory promt prompts autor authors sorce
    sources permisions grup groups captoin box boxs bboxes"""


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two objects of two views."""
    root = tmp_path_factory.mktemp("raw") / "objects"
    for number in range(2):
        write_object(root / f"cat_{number:02d}", number)
    return root


def build(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """The exit code and what stands on stderr."""
    code = main(["dataset", "build", *map(str, words)])
    return code, capsys.readouterr().err.strip()


def test_a_refused_build_locks_no_folder(
    objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "pairs"
    raw = shutil.copytree(objects, tmp_path / "raw")
    (raw / "shard.tar").touch()
    (tmp_path / "empty").mkdir()
    for source, message in (
        (raw, "holds images and webdataset"),
        (tmp_path / "nowhere", "no such file or folder"),
        (tmp_path / "empty", "holds nothing"),
    ):
        code, said = build(capsys, source, "-o", out)
        assert code == 2 and message in said and "\n" not in said
        assert not out.parent.exists()
    out.mkdir(parents=True)  # the user's own stays
    assert build(capsys, raw, "-o", out)[0] == 2
    assert [file.name for file in out.iterdir()] == [".lock"]
    code, said = build(capsys, raw, "--kind", "views", "-o", out)
    assert (code, said) == (0, "a2: 2 pairs of 2 inputs, 0 failed")


def test_after_a_build_without_pairs_other_settings_may_be_tried(objects: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    strict = replace(make_config(objects), quality=QualityConfig(side=4000))
    with pytest.raises(
        DataError, match=r"too small \(2\).*less asked of them under quality; see .*rejects\.jsonl"
    ):
        run_build(strict, out)
    paid = out / ".work" / "generated"
    paid.mkdir()
    (paid / "0.image").touch()
    assert len((out / "rejects.jsonl").read_text().splitlines()) == 2
    with pytest.raises(DataError, match="no such file"):
        run_build(replace(strict, sources=(InputConfig(str(tmp_path / "none"), kind="images"),)), out)
    assert [file.name for file in (out / ".work").rglob("*")] == ["generated", "0.image"]
    assert run_build(make_config(objects), out).pairs == 2
    assert not (out / "rejects.jsonl").exists() and not (out / ".work").exists()


def test_single_pictures_are_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.png", draw_picture(number))
    out = tmp_path / "pairs"
    code, said = build(capsys, tmp_path / "photos", "-o", out, "--category", "animals")
    assert code == 2 and not out.exists()
    assert "no pair can come of 3 single pictures (--kind views for" in said
    assert "--kind worn" in said and "generate.url" in said
    (tmp_path / "photos" / "3.json").write_text("{")
    save(tmp_path / "photos" / "3.png", draw_picture(3))
    _, said = build(capsys, tmp_path / "photos", "-o", out)
    assert "3 single pictures, and 1 input cannot be read, the first: 3: 3.json: not JSON" in said
    code, said = build(capsys, tmp_path / "photos" / "0.png", "-o", out)
    assert code == 2 and "of 1 single picture (" in said


def test_objects_of_one_view_need_a_generator(tmp_path: Path) -> None:
    save(tmp_path / "objects" / "mug" / "0.png", draw_picture())
    plan = tmp_path / "inputs.jsonl"
    config = BuildConfig((InputConfig(str(tmp_path / "objects"), kind="views"),))
    with pytest.raises(DataError, match=r"two or more pictures of each object, or set generate\.url"):
        write_plan(config, plan)
    assert not plan.exists()
    assert write_plan(replace(config, generate=GenerateConfig("https://images.example/v1")), plan) == 1


def test_a_build_does_not_write_into_its_source(
    objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = shutil.copytree(objects, tmp_path / "raw")
    (tmp_path / "link").symlink_to(raw)
    before = sorted(raw.rglob("*"))
    for out in (raw, raw / "out", tmp_path / "link" / "x" / "y", tmp_path / "cats" / ".." / "raw"):
        code, said = build(capsys, objects, raw, "-o", out)
        assert code == 2 and said.endswith("lies in the source (name another folder)")
    assert sorted(raw.rglob("*")) == before


def test_a_wrong_category_is_told_before_anything_is_read(
    objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, hint in (
        ("dgos", "did you mean 'dog'?"),
        ("vehicels", "did you mean 'vehicles'?"),
        ("xyz", "known: "),
    ):
        code, said = build(capsys, objects, "-o", tmp_path / "out", "--category", name)
        assert code == 2 and f"category '{name}' is none of the eight ({hint}" in said
        assert not (tmp_path / "out").exists()
    file = tmp_path / "build.yaml"
    file.write_text(json.dumps({"sources": [{"path": str(objects), "category": "animls"}]}))
    code, said = build(capsys, "--config", file, "-o", tmp_path / "out")
    assert code == 2 and "did you mean 'animals'?" in said
    assert InputConfig("raw", category="Dogs", subcategory="hovercraft").category == "Dogs"  # spelt later


def test_the_name_of_the_source_says_what_it_shows(
    objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "dogs"
    shutil.copytree(objects / "cat_00", raw / "000")
    code, said = build(capsys, raw, "-o", tmp_path / "out")
    assert (code, said) == (0, "a2: 1 pair of 1 input, 0 failed")
    report = json.loads((tmp_path / "out" / "build.json").read_text())
    assert report["subcategories"] == {"animals/dog": 1}
    assert "1 pair of one subject seen twice, out of 1 input." in (tmp_path / "out" / "README.md").read_text()


def test_advice_goes_by_the_most_frequent_reason() -> None:
    assert "--kind views" in get_advice(Counter({"pair: one view only": 10, "read: bad record": 2}))
    assert "--allow-licence" in get_advice(Counter({"permit: licence X not allowed": 3}))
    assert "--licence" in get_advice(Counter({"permit: no licence stated": 3, "pair: one view only": 2}))
    assert get_advice(Counter({"dedupe: duplicate": 1})) == get_advice(Counter()) == ""


def test_keys_of_other_data_sets_are_not_taken_for_typos() -> None:
    assert [key for key in FOREIGN.split() if is_near(key, KEYS)] == []
    assert [key for key in MISSPELT.split() if not is_near(key, KEYS)] == []
