"""Localisation over records whose things are known: the table, what fails, what is refused, the page in use."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import needs_chromium, visit
from needs import needs_font
from pair_folders import write_imagefolder
from region_edits import make_edit, make_edit_pair

from a2cli.cli import main
from a2cli.data.records import Pair
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.config import DataConfig
from a2cli.evaluation.localization.config import LocalizeConfig
from a2cli.evaluation.localization.gallery import build_shown, choose_shown
from a2cli.evaluation.localization.page import LEAD, build_localize_page
from a2cli.evaluation.localization.results import HEAD, Localized, build_lines, list_cells, list_unread
from a2cli.evaluation.localization.run import run_localize
from a2cli.evaluation.localization.settings import load_localize_config
from a2cli.evaluation.localization.ways import Sight, see_all, see_salient
from a2cli.evaluation.results import Row

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;"


def make_rows() -> list[Row]:
    """Of "sharp" every second region is the thing itself; "blind" never finds any; two tasks of three records."""
    rows = []
    for number in range(6):
        task = ("remove", "replace")[number % 2]
        for way, iou in (("blind", 0.0), ("sharp", 1.0 if number % 3 else 0.25)):
            values = {
                "iou": iou,
                "found": float(iou >= 0.5),
                "pointing": iou,
                "auc": 0.5 + iou / 2,
                "size": 1.0,
            }
            values["diffuse"] = float(way == "blind")
            rows.append(Row(f"r{number}", "animals", "", f"g{number}", way, task, values, seconds=0.5))
    return rows


def test_the_table_holds_medians_means_and_shares() -> None:
    lines = {(line.task, line.way): line for line in build_lines(make_rows(), resamples=200, seed=0)}
    assert list(lines) == [(task, way) for task in ("all", "remove", "replace") for way in ("blind", "sharp")]
    sharp = lines["all", "sharp"]
    assert (sharp.n, sharp.median_iou, sharp.diffuse, sharp.seconds) == (6, 1.0, 0.0, 0.5)
    assert sharp.scores["iou"].mean == pytest.approx(0.75)
    assert sharp.scores["found"].mean == pytest.approx(2 / 3)
    assert sharp.scores["found"].se == pytest.approx(np.sqrt(2 / 9 / 5), rel=0.15)
    blind = lines["remove", "blind"]
    assert (blind.n, blind.median_iou, blind.diffuse) == (3, 0.0, 1.0) and blind.scores["auc"].mean == 0.5
    cells = list_cells(lines.values())
    assert cells[0] == HEAD and {len(line) for line in cells} == {len(HEAD)} and len(cells) == 7


def test_one_task_needs_no_table_of_its_own() -> None:
    rows = [replace(row, protocol="remove") for row in make_rows()]
    assert {line.task for line in build_lines(rows, resamples=0, seed=0)} == {"all"}


def test_a_record_that_failed_counts_for_nothing() -> None:
    rows = [replace(row, error="no", values={}) if row.id == "r1" else row for row in make_rows()]
    assert {line.n for line in build_lines(rows, resamples=0, seed=0) if line.task == "all"} == {5}


def test_the_whole_picture_hits_by_chance() -> None:
    case = make_edit()
    sight = see_all(case)
    assert sight.region.all() and not sight.diffuse and np.ptp(sight.soft) == 0
    plain = replace(case, source=np.full_like(case.source, 90))
    assert see_salient(plain).diffuse and not see_salient(plain).region.any()
    assert not see_salient(case).diffuse


def make_pairs() -> list[Pair]:
    return [make_edit_pair(number, ("replace", "remove")[number % 2]) for number in range(6)]


def write(folder: Path, pairs: list[Pair]) -> DataConfig:
    return DataConfig(path=str(write_imagefolder(folder, pairs, "test")))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """Six records in a folder."""
    return write(tmp_path_factory.mktemp("data") / "edits", make_pairs())


def test_a_run_scores_every_way_on_every_record(data: DataConfig, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = run_localize(LocalizeConfig(data, ways=("box", "saliency"), report=str(page), gallery=4))
    assert len(found.rows) == 12 and found.failures == () and len(found.shown) == 4
    assert {(row.method, row.protocol) for row in found.rows} == {
        (way, task) for way in ("box", "saliency") for task in ("replace", "remove")
    }
    share = {pair.id: pair.src_mask.mean() for pair in make_pairs() if pair.src_mask is not None}
    assert all(row.values["iou"] == share[row.id] for row in found.rows if row.method == "box")
    salient = next(line for line in found.lines if (line.way, line.task) == ("saliency", "all"))
    assert salient.scores["auc"].mean is not None and salient.scores["auc"].mean > 0.8  # a red disc on grey
    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    assert record["format"] == "a2-localize" and len(record["rows"]) == 12 and "shown" not in record
    assert record["rows"][0].keys() >= {"id", "way", "task", "values"}
    assert record["data"]["tasks"] == {"remove": 3, "replace": 3}
    assert page.read_text().startswith("<!doctype html>")


def test_records_of_one_task_are_looked_at(data: DataConfig) -> None:
    found = run_localize(LocalizeConfig(replace(data, tasks=("remove",), limit=2), ways=("box",)))
    assert [row.id for row in found.rows] == ["edit-1", "edit-3"]
    with pytest.raises(ConfigError, match="no record of task recolour"):
        run_localize(LocalizeConfig(replace(data, tasks=("recolour",)), ways=("box",)))


def test_a_record_whose_thing_is_not_known_fails_alone(tmp_path: Path) -> None:
    pairs = make_pairs()
    pairs[1] = replace(pairs[1], src_mask=None)
    pairs[2] = replace(pairs[2], src_rgb=None, src_mask=None, task="", keyword="")
    found = run_localize(LocalizeConfig(write(tmp_path / "some", pairs), ways=("box",)))
    assert [failure.id for failure in found.failures] == ["edit-1", "edit-2"]
    assert [row.id for row in found.rows] == ["edit-0", "edit-3", "edit-4", "edit-5"]
    assert "edit-1: nothing says where the thing is that its sentence names" in found.failures[0].detail
    with pytest.raises(
        DataError, match="no record could be looked at, the first: edit-1: nothing says where"
    ):
        run_localize(LocalizeConfig(write(tmp_path / "none", pairs[1:3]), ways=("box",)))


@pytest.fixture
def model(tiny_nano: Path, tiny_region: Path) -> tuple[str, str]:
    """A tiny nano and a region adapter for it."""
    return str(tiny_nano), str(tiny_region)


def test_a_model_looks_in_its_ways(data: DataConfig, model: tuple[str, str]) -> None:
    config = LocalizeConfig(data, model=model[0], adapter=(model[1],), device="cpu")
    found = run_localize(config)
    assert list(found.ways) == ["box", "saliency", "attention", "predictor"] and found.missing == {}
    assert found.ways["predictor"]["region_hash"] and found.ways["attention"]["model"] == "tiny nano"
    assert all(0 <= row.values["auc"] <= 1 for row in found.rows) and len(found.rows) == 24
    without = run_localize(replace(config, adapter=("none",)))
    assert list(without.missing) == ["predictor"] and "predictor" not in without.ways
    rows = {(row.id, row.method): row.values for row in found.rows}
    assert all(rows[row.id, row.method] == row.values for row in without.rows)  # attention knows no adapter
    with pytest.raises(ConfigError, match="--ways predictor: "):
        run_localize(replace(config, adapter=("none",), ways=("predictor",)))


def test_a_way_that_fails_on_a_record_has_no_row_of_it(model: tuple[str, str], tmp_path: Path) -> None:
    """Told words that are not in the sentence it fails; finding words of its own it does not."""
    pairs = make_pairs()[:2]
    pairs[0] = replace(pairs[0], keyword="blue cup")
    config = LocalizeConfig(write(tmp_path / "wrong", pairs), model=model[0], adapter=("none",), device="cpu")
    config = replace(config, ways=("box", "attention"))
    assert run_localize(config).failures == ()
    found = run_localize(replace(config, keyword="known"))
    (failure,) = found.failures
    assert (failure.id, failure.method) == ("edit-0", "attention") and "blue cup" in failure.detail
    assert failure.reason == "cannot be looked at"
    assert {(line.way, line.n) for line in found.lines if line.task == "all"} == {
        ("box", 2),
        ("attention", 1),
    }
    assert "attention failed on 1 of 2 records, which its means leave out" in build_localize_page("x", found)


def test_words_behind_what_the_model_reads_count_as_a_miss(
    data: DataConfig, model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else attention alone would be scored without its hardest records. A predictor reads what there is."""
    pairs = make_pairs()[:3]
    pairs[1] = replace(pairs[1], prompt="please, " * 200 + pairs[1].prompt)
    late = write(tmp_path / "late", pairs)
    config = LocalizeConfig(
        late, ("attention", "predictor"), model=model[0], adapter=(model[1],), device="cpu"
    )
    found = run_localize(replace(config, keyword="known"))
    lines = {line.way: line for line in found.lines if line.task == "all"}
    assert found.failures == () and lines["attention"].n == lines["predictor"].n == 3
    rows = {(row.method, row.id): row.values for row in found.rows}
    missed = rows["attention", "edit-1"]
    assert missed["iou"] == missed["found"] == missed["size"] == 0
    assert missed["unread"] == missed["diffuse"] == 1 and missed["auc"] == 0.5
    assert rows["attention", "edit-0"]["unread"] == rows["predictor", "edit-1"]["unread"] == 0
    (told,) = list_unread(found.rows)
    assert told.startswith("attention: of 1 sentences") and told in build_localize_page("x", found)
    words = ["eval", "localize", "--data", late.path, "--ways", "attention", "--keyword", "known"]
    assert main([*words, "--model", model[0], "--adapter", "none", "--device", "cpu"]) == 0
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("size", [(7, 7), (1, 4096), (130, 9)])
def test_photos_of_any_shape_are_looked_at(
    size: tuple[int, int], model: tuple[str, str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    pair, mask = make_edit_pair(), np.zeros(size, bool)
    mask[: -(-size[0] // 2), : -(-size[1] // 2)] = True
    photo = rng.integers(0, 256, (*size, 3), np.uint8)
    pair = replace(pair, src_rgb=photo, src_mask=mask, tar_rgb=255 - photo, tar_mask=mask)
    page = tmp_path / "page.html"
    config = LocalizeConfig(
        write(tmp_path / "odd", [pair]), model=model[0], adapter=(model[1],), device="cpu"
    )
    found = run_localize(replace(config, report=str(page)))
    assert found.failures == () and len(found.rows) == 4 and page.is_file()
    assert all(0 <= row.values["iou"] <= 1 for row in found.rows)


def make_found(prompt: str = "replace the red disc") -> Localized:
    shown = []
    rows = []
    for number in range(3):
        case = replace(make_edit(number, ("remove", "replace")[number % 2]), prompt=prompt)
        assert case.named is not None
        sights = {"box": see_all(case), "attention": Sight(case.named.astype(np.float32), case.named)}
        mine = [
            replace(row, id=case.id, method=way, protocol=case.task)
            for row, way in zip(make_rows(), sights, strict=False)
        ]
        rows += mine
        shown.append(build_shown(case, sights, mine))
    return Localized(
        created="2026-01-01T00:00:00+00:00",
        a2="0",
        git="",
        versions={},
        config={},
        data={"name": "made"},
        ways={"box": {"what": "all of it"}, "attention": {"blocks": 3}},
        lines=build_lines(rows, resamples=10, seed=0),
        rows=tuple(rows),
        missing={"predictor": "there is none"},
        shown=choose_shown(shown, ["box", "attention"], 9),
    )


def test_shown_are_even_steps_from_worst_to_best() -> None:
    base = make_found().shown[0]
    shown = [
        replace(base, id=f"s{n}", values={"box": {"iou": 1 - n / 9}, "attention": {"iou": n / 9}})
        for n in range(10)
    ]
    assert [one.id for one in choose_shown(shown[::-1], ["box", "attention"], 4)] == ["s0", "s3", "s6", "s9"]
    assert [one.id for one in choose_shown(shown, ["box"], 2)] == ["s9", "s0"]
    assert len(choose_shown(shown, ["box"], 99)) == 10 and choose_shown(shown, [], 4) == ()


@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_works_from_a_file(chromium: Any, tmp_path: Path, width: int, dark: bool) -> None:
    page = tmp_path / "page.html"
    page.write_text(build_localize_page("Where?", make_found(f"replace the red disc {EVIL}")))
    with visit(chromium, page, width=width, dark=dark) as seen:
        assert not seen.has_overflow()
        text = seen.page.inner_text("body")
        assert "predictor is missing: there is none" in text and LEAD[:40] in text and EVIL in text
        assert seen.page.locator("mark").first.inner_text() == "red disc"
        assert seen.page.locator(".card:visible").count() == 3
        seen.page.select_option("#task", label="remove (2)")
        assert seen.page.locator(".card:visible").count() == 2
        assert seen.page.locator(".card image").first.evaluate("node => node.getBBox().width") > 50


def test_settings_are_a_file_changes_and_options(tmp_path: Path) -> None:
    file = tmp_path / "l.yaml"
    file.write_text("data: {path: synth, synth: {size: 96}}\nways: [box]\nbootstrap: 7\n")
    options: dict[str, Any] = {"data.limit": 5, "ways": ["box,saliency"], "adapter": [], "seed": None}
    config = load_localize_config(str(file), ["localize.filter=gaussian"], options)
    assert (config.ways, config.bootstrap, config.data.limit) == (("box", "saliency"), 7, 5)
    assert (config.data.synth.size, config.data.synth.instructions) == (96, 1.0)  # what is not said stays
    assert config.localize.filter == "gaussian" and load_localize_config(None).data.limit == 200
    changed = load_localize_config(None, ["ways=box,saliency", "data.tasks=remove", "adapter=some/folder"])
    assert (changed.ways, changed.data.tasks) == (("box", "saliency"), ("remove",))
    assert changed.adapter == ("some/folder",)
    for change, message in (
        ("ways=5", "ways: "),
        ("ways=[box, 5]", "ways: there is no '5'"),
        ("localize.refine=false", "localize.refine changes nothing here"),
        ("localize.way=mask", "threshold, filter, strength"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_localize_config(None, [change])
        assert message in str(caught.value)
    for options, message in (
        ({"ways": ["boxx"]}, "did you mean 'box'"),
        ({"ways": ["box,box"]}, "each once"),
        ({"keyword": "guessed"}, "'guessed' is not a choice"),
        ({"device": "gpu"}, "device: there is no 'gpu'"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_localize_config(None, (), options)
        assert message in str(caught.value)


@needs_font
def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    words = ["eval", "localize", "--data", "synth", "-n", "3", "--ways", "box,saliency", "--tasks", "replace"]
    photos = Path(__file__).parents[3] / "examples" / "photos"
    words += ["--set", "data.synth.size=64", "--set", f"data.synth.photos={photos}"]
    assert main([*words, "--report", str(page)]) == 0
    shown = capsys.readouterr()
    lines = [line.split("\t") for line in shown.out.splitlines()]
    assert lines[0] == list(HEAD) and [line[:3] for line in lines[1:]] == [
        ["box", "all", "3"],
        ["saliency", "all", "3"],
    ]
    assert f"page in {page}" in shown.err and page.is_file()
    again = tmp_path / "again.html"
    assert main([*words, "--set", f"report={again}"]) == 0
    assert f"page in {again}" in capsys.readouterr().err and again.is_file()
    assert main([*words, "--json", "-q"]) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert shown.err == "" and {row["task"] for row in record["rows"]} == {"replace"}
    assert str(photos.parent) not in json.dumps(record)
    assert main([*words, "--ways", "attentoin"]) == 2
    assert "did you mean 'attention'" in capsys.readouterr().err
