"""A whole evaluation over a small data set on disk: what it writes, what it refuses, what it goes on from."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from api_server import serve_api
from judge_server import MARKS, say
from pair_folders import make_pair, write_imagefolder
from published import write_magic_brush

from a2cli.errors import A2Error, BackboneError, ConfigError, DataError
from a2cli.evaluation.config import EvalConfig
from a2cli.evaluation.run import Outcome, run_eval
from a2cli.evaluation.settings import load_eval_config
from a2cli.evaluation.store import load_results, load_rows
from a2cli.files import lock_folder
from a2cli.images.write import save_image

COUNT = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_imagefolder(
        tmp_path_factory.mktemp("data") / "pairs",
        [make_pair(n, "test", 40, 48) for n in range(COUNT)],
        "test",
    )


def build(data: Path, out: Path | None, **options: Any) -> EvalConfig:
    given = {"data.path": str(data), "methods": ["paste", "mean"], "run": True, "out": out and str(out)}
    given |= {
        "metrics": ["psnr", "l1", "preservation"],
        "protocols": ["fine", "box"],
        "gallery": 1,
        **options,
    }
    return load_eval_config(None, (), {name.replace("__", "."): value for name, value in given.items()})


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("eval") / "out"
    return out, run_eval(build(data, out))


def write_pred(folder: Path, *, noise: bool = False, protocol: str = "") -> Path:
    """The true pictures as edits, or noise in their place."""
    rng = np.random.default_rng(0)
    (folder / protocol).mkdir(parents=True)
    for number in range(COUNT):
        pair = make_pair(number, "test", 40, 48)
        picture = rng.integers(0, 256, pair.tar_rgb.shape, np.uint8) if noise else pair.tar_rgb
        save_image(picture, folder / protocol / f"{pair.id}.png")
    return folder


def test_everything_is_written_and_read_back(done: tuple[Path, Outcome]) -> None:
    out, outcome = done
    assert outcome.exit_code == 0 and outcome.failures == [] and outcome.missed == []
    names = sorted(path.name for path in out.iterdir())
    assert names == [".work", "edits", "report.html", "results.json", "results.md", "samples.jsonl"]
    results = outcome.results
    assert load_results(out) == results and load_rows(out) == outcome.rows
    assert (results.n, len(outcome.rows), len(results.parts)) == (COUNT, COUNT * 4, 4)
    assert {part.method: part.n for part in results.parts} == {"paste": COUNT, "mean": COUNT}
    assert results.methods["paste"]["baseline"] is True and results.protocols["fine"]["kind"] == "fine"
    assert "NaN" not in (out / "results.json").read_text() and results.data["split"] == "test"
    for row in outcome.rows:
        assert (out / row.edited).is_file() and row.values["outside_pixels"] == 0 and row.seconds is not None
    psnr = results.parts[0].scores["psnr"]
    own = [r.values["psnr"] for r in outcome.rows if (r.method, r.protocol) == ("paste", "fine")]
    assert psnr.mean == pytest.approx(np.mean(own)) and psnr.se is not None and psnr.n == COUNT
    assert results.metrics["l1"]["implementation"].startswith("a2 ") and results.missing == {}
    assert str(out.parent) not in (out / "results.json").read_text() + (out / "report.html").read_text()
    assert {shown.protocol for shown in results.gallery} == {"fine", "box"}
    assert set(results.gallery[0].pictures) == {"source", "reference", "target", "edit: paste", "edit: mean"}


def test_a_rerun_makes_and_measures_nothing(done: tuple[Path, Outcome], data: Path) -> None:
    out, outcome = done
    edits = {path: path.stat().st_mtime_ns for path in out.rglob("edits/**/*.png")}
    kept = (out / ".work/values.jsonl").read_bytes()
    assert len(edits) == COUNT * 4 and kept.count(b"\n") == COUNT * 4 * 2  # pixel, preservation
    again = run_eval(build(data, out, workers=2))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("edits/**/*.png")} == edits
    assert (out / ".work/values.jsonl").read_bytes() == kept
    assert again.rows == outcome.rows
    changing: dict[str, Any] = {"created": "", "git": "", "config": {}}
    assert replace(again.results, **changing) == replace(outcome.results, **changing)
    found = run_eval(build(data, out, run=None))
    assert found.rows == outcome.rows
    assert found.results.methods["paste"] == outcome.results.methods["paste"] | {"found": True}


def test_edits_under_other_masks_do_not_count(done: tuple[Path, Outcome], data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    fewer = run_eval(build(data, out, run=None, rough_radius="3"))
    assert {f.reason for f in fewer.failures} == {"made otherwise"}
    assert {part.protocol: part.n for part in fewer.results.parts} == {"fine": COUNT, "box": 0}
    with pytest.raises(DataError, match="made of another photo, mask, prompt or seed"):
        run_eval(build(data, out, run=None, seed=3))
    assert run_eval(build(data, out, rough_radius="3")).exit_code == 0


def test_finished_edits_score_as_the_method_that_made_them(
    done: tuple[Path, Outcome], data: Path, tmp_path: Path
) -> None:
    out, outcome = done
    shutil.copytree(out / "edits/paste", tmp_path / "pred")
    found = run_eval(build(data, None, methods=None, run=None, pred=str(tmp_path / "pred")))
    own = [row for row in outcome.rows if row.method == "paste"]
    assert [row.values for row in found.rows] == [row.values for row in own]
    assert {row.method for row in found.rows} == {"pred"} and found.results.methods["pred"][
        "baseline"
    ] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pred"
    ]  # no folder was named, nothing is written


@pytest.mark.parametrize(
    ("noise", "l1", "psnr"),
    [(False, 0.0, 100.0), (True, pytest.approx(1 / 3, abs=0.01), pytest.approx(7.78, abs=0.2))],
)
def test_known_truths(data: Path, tmp_path: Path, noise: bool, l1: float, psnr: float) -> None:
    pred = write_pred(tmp_path / "pred", noise=noise)
    options: dict[str, Any] = {"protocols": ["fine"], "gate.fail_under": ["psnr=99.9"]}
    outcome = run_eval(build(data, None, methods=None, run=None, pred=str(pred), **options))
    scores = outcome.results.parts[0].scores
    assert scores["l1"].mean == l1 and scores["psnr"].mean == psnr
    assert outcome.exit_code == (4 if noise else 0) and len(outcome.missed) == noise


def test_what_fails_is_told_and_the_rest_goes_on(data: Path, tmp_path: Path) -> None:
    pred = write_pred(tmp_path / "pred", protocol="fine")
    (pred / "fine/test-001.png").write_bytes(b"")
    (pred / "fine/test-002.png").unlink()
    save_image(np.zeros((5, 5, 3), np.uint8), pred / "fine/test-003.png")
    out = tmp_path / "out"
    config = build(data, out, methods=None, run=None, pred=str(pred))
    outcome = run_eval(config)
    assert outcome.exit_code == 3
    lines = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert {(line["id"], line["protocol"]) for line in lines} == {
        ("test-001", "fine"),
        ("test-002", "fine"),
        ("test-003", "fine"),
        *((f"test-{n:03d}", "box") for n in range(COUNT)),
    }
    fine, box = outcome.results.parts
    assert (fine.n, fine.expected, box.n, box.expected) == (3, COUNT, 0, COUNT)
    assert sum(outcome.results.failures.values()) == len(lines)
    gated = run_eval(
        build(data, out, methods=None, run=None, pred=str(pred), **{"gate.fail_over": ["l1=0.5"]})
    )
    assert gated.exit_code == 4
    assert gated.missed == ["pred/box l1 is missing: no edit was measured, wanted at most 0.5"]


def test_missing_weights_are_missing_and_fail_the_gate(data: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    options: dict[str, Any] = {
        "metrics": ["psnr", "lpips_alex", "vlm"],
        "weights.folder": str(tmp_path / "weights"),
        "gate.fail_over": ["paste/lpips_alex=1"],
    }
    outcome = run_eval(build(data, tmp_path / "out", protocols=["fine"], **options))
    assert sorted(outcome.results.missing) == ["lpips_alex", "vlm"] and outcome.failures == []
    assert "no judge is named" in outcome.results.missing["vlm"]
    assert "lpips_alex" not in outcome.results.parts[0].scores and outcome.exit_code == 4
    assert len(outcome.missed) == 1 and outcome.missed[0].startswith("paste/fine lpips_alex is missing: ")


def test_a_flat_folder_is_of_one_protocol(data: Path, tmp_path: Path) -> None:
    pred = write_pred(tmp_path / "pred")
    config = build(data, None, methods=None, run=None, pred=str(pred), protocols=["fine", "rough"])
    with pytest.raises(ConfigError) as caught:
        run_eval(config)
    assert str(caught.value) == (
        "pred has no folder rough (name one kind of mask, --protocol fine, or give DIR/fine and DIR/rough)"
    )
    assert run_eval(replace(config, protocols=("dilate-3pct",))).exit_code == 0


def test_records_without_a_reference_are_refused_at_once(tmp_path: Path) -> None:
    data, out = write_magic_brush(tmp_path / "mb"), tmp_path / "out"
    config = build(data, out, methods=["paste", "telea", "target"], metrics=["l1"], protocols=["fine"])
    with pytest.raises(ConfigError) as caught:
        run_eval(config)
    assert str(caught.value).endswith(
        "mb: its records have no reference, which paste needs (fill and telea do without)"
    )
    assert not (out / "edits").exists()
    assert run_eval(replace(config, methods=config.methods[1:])).exit_code == 0
    for mask in data.rglob("*-mask*.png"):  # records that cannot be opened say nothing
        mask.write_bytes(b"")
    assert run_eval(config).exit_code == 3


def test_of_a_session_the_turn_that_failed_is_told(tmp_path: Path) -> None:
    data, out = write_magic_brush(tmp_path / "mb"), tmp_path / "out"
    (damaged,) = data.rglob("139306-mask1.png")
    damaged.write_bytes(b"")
    rest: dict[str, Any] = {"data.turns": "final", "data.session": True, "protocols": ["fine"]}
    outcome = run_eval(build(data, out, methods=["telea"], metrics=["l1"], **rest))
    assert outcome.exit_code == 3 and [row.error == "" for row in outcome.rows] == [False, True]
    assert [failure.id for failure in outcome.failures] == ["139306-1", "139306-2"]
    assert "record 139306-1: mask: the file is empty" in outcome.failures[0].detail
    assert "the turn before, 139306-1, has no edit" in outcome.failures[1].detail


def test_nothing_measured_is_no_success(data: Path, tmp_path: Path) -> None:
    pred = write_pred(tmp_path / "pred")
    options: dict[str, Any] = {"methods": None, "run": None, "pred": str(pred)}
    covered = run_eval(build(data, None, protocols=["dilate:3000"], metrics=["preservation"], **options))
    assert covered.exit_code == 3 and covered.list_lacks() == [
        "nothing was measured: outside_pixels, outside_changed, outside_mean and outside_max are missing: "
        "the mask covers the whole picture"
    ]
    config = build(data, None, protocols=["fine"], metrics=["psnr@mask", "vlm"], **options)
    named = run_eval(config)
    told = ["vlm is missing: no judge is named (--judge API:MODEL)"]
    assert (named.exit_code, named.list_lacks()) == (3, told)
    assert set(named.results.parts[0].scores) == {"psnr", "psnr@crop", "psnr@mask"}
    (tmp_path / "weights").mkdir()
    weights = replace(config.weights, folder=str(tmp_path / "weights"))
    in_group = run_eval(replace(config, metrics=("psnr", "lpips"), weights=weights))
    assert (in_group.exit_code, in_group.list_lacks()) == (0, [])
    assert list(in_group.results.missing) == ["lpips_alex"]
    for file in pred.iterdir():
        file.write_bytes(b"")
    broken = run_eval(replace(config, metrics=("psnr",)))
    assert broken.exit_code == 3 and broken.results.missing == {"psnr": "no edit was measured"}
    assert broken.list_lacks()[0].startswith("nothing was measured, the first failed: test-000.png: ")


def test_an_older_run_is_held_against_the_new_one(data: Path, tmp_path: Path) -> None:
    perfect, noise = write_pred(tmp_path / "perfect"), write_pred(tmp_path / "noise", noise=True)
    options: dict[str, Any] = {"methods": None, "run": None, "protocols": ["fine"]}
    old = tmp_path / "old"
    assert run_eval(build(data, old, pred=str(perfect), **options)).exit_code == 0
    same = run_eval(build(data, None, pred=str(perfect), gate__baseline=str(old), **options))
    assert (same.exit_code, same.warned) == (0, [])
    worse = run_eval(build(data, None, pred=str(noise), gate__baseline=str(old / "results.json"), **options))
    assert worse.exit_code == 4 and any("pred/fine psnr = " in line for line in worse.missed)
    fewer = run_eval(build(data, None, pred=str(perfect), gate__baseline=str(old), data__limit=3, **options))
    assert fewer.exit_code == 4 and fewer.missed == [
        "the records are others than in the baseline: 3 of pairs test, not 6 of pairs test"
    ]
    (perfect / "test-001.png").unlink()
    gone = run_eval(build(data, None, pred=str(perfect), gate__baseline=str(old), **options))
    assert gone.exit_code == 4 and gone.missed == ["pred/fine: 5 edits measured, 6 in the baseline"]
    config = build(data, None, pred=str(perfect), gate__baseline=str(old), **options)
    with pytest.raises(ConfigError, match=r"psnr, outside_pixels, .* are not measured .add --metrics psnr,"):
        run_eval(replace(config, metrics=("l1",)))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"metrics": ["pnsr"]}, ConfigError, "did you mean 'psnr'?"),
        ({"protocols": ["ruogh"]}, ConfigError, "did you mean 'rough'?"),
        ({"gate.fail_under": ["paste/psnrr=1"]}, ConfigError, "did you mean 'psnr'?"),
        ({"gate.fail_under": ["psnr=1"]}, ConfigError, "every method is a baseline"),
        ({"gate.baseline": "nowhere"}, DataError, "nowhere: no such file"),
        ({"report": "page.txt"}, ConfigError, "not the name of a page"),
        ({"report": "nowhere/page.html"}, DataError, "its folder is not there"),
        ({"weights.folder": "nowhere"}, ConfigError, "no such folder of weights"),
        ({"data.path": "nowhere"}, DataError, "nowhere"),
        ({"data.categories": ["anmials"]}, ConfigError, "did you mean 'animals'?"),
        ({"judge.model": "m", "judge.compare": "nano"}, ConfigError, "there is no method 'nano'"),
        ({"judge.model": "m", "judge.url": "ftp://x"}, ConfigError, "judge.url is no address"),
        ({"methods": ["paste", "nanno"]}, BackboneError, "did you mean 'nano'?"),
        ({"methods": ["paste", "mine=nowhere"]}, ConfigError, "methods.mine: nowhere: no such folder"),
        ({"methods": None, "run": None, "pred": "nowhere"}, DataError, "nowhere: no such folder"),
        ({"run": None}, DataError, "add --run"),
        ({"rough_radius": "x", "protocols": ["fine"]}, ConfigError, "'x' is not understood (use 32 or 8%)"),
        ({"protocols": ["dilate:x"]}, ConfigError, "--protocol 'dilate:x' is not understood"),
        ({"metrics": ["psnr@msk"]}, ConfigError, "did you mean 'psnr@mask'?"),
        ({"device": "cuda:99"}, BackboneError, "device cuda:99: "),
    ],
)
def test_what_cannot_be_honoured_is_said_before_any_edit(
    data: Path, tmp_path: Path, options: dict[str, Any], kind: type[A2Error], message: str
) -> None:
    with pytest.raises(kind) as caught:
        run_eval(build(data, tmp_path / "out", **options))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out/edits").exists() and not (tmp_path / "out/results.json").exists()


def test_a_place_that_cannot_be_written_is_said(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be made"):
        run_eval(build(data, tmp_path / "file"))
    out = tmp_path / "out"
    (out / ".work").mkdir(parents=True)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with lock_folder(out / ".work"):
            held.set()
            free.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        with pytest.raises(ConfigError, match="another process is writing there"):
            run_eval(build(data, out))
    finally:
        free.set()
        thread.join()
    assert run_eval(build(data, out, protocols=["fine"])).exit_code == 0


def test_a_judge_gives_marks_and_an_account(data: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "metrics": ["psnr"],
        "protocols": ["fine"],
        "gate.fail_under": ["paste/vlm=69"],
    }
    with serve_api(say(MARKS)) as server:
        options |= {
            "judge.model": "m",
            "judge.url": server.url,
            "judge.swap": 0.0,
            "judge.key_variable": "A2_NO_KEY",
        }
        first = run_eval(build(data, tmp_path / "out", **options))
        again = run_eval(build(data, tmp_path / "out", **options))
        assert len(server.requests) == COUNT * 2  # nothing is paid twice
    assert first.exit_code == again.exit_code == 0
    for part in first.results.parts:
        assert part.scores["vlm"].mean == 70 and part.scores["vlm_realism"].n == COUNT
    assert first.results.metrics["vlm"]["implementation"].startswith("openai: m")
    assert first.results.judge["answered"] == again.results.judge["from_cache"] == COUNT * 2
    assert load_results(tmp_path / "out") == again.results


def test_a_silent_judge_is_missing_and_fails_the_gate(data: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"metrics": ["psnr"], "protocols": ["fine"], "gate.fail_under": ["paste/vlm=0"]}
    with serve_api(say("I would rather not.")) as server:
        options |= {
            "judge.model": "m",
            "judge.url": server.url,
            "judge.retries": 0,
            "judge.key_variable": "A2_NO_KEY",
        }
        outcome = run_eval(build(data, tmp_path / "out", methods=["paste"], **options))
    assert outcome.exit_code == 4 and "the judge gave no mark" in outcome.missed[0]
    assert "vlm" in outcome.results.missing and outcome.results.parts[0].scores["vlm"].mean is None


def test_answers_that_cannot_be_kept_end_the_run_with_their_cause(data: Path, tmp_path: Path) -> None:
    (tmp_path / "out/.work/judge/.budget.lock").mkdir(parents=True)
    with serve_api(say(MARKS)) as server:
        options = {
            "judge.model": "m",
            "judge.url": server.url,
            "judge.key_variable": "A2_NO_KEY",
        }
        with pytest.raises(DataError, match=r"judge: answers cannot be kept there: .*choose another folder"):
            run_eval(build(data, tmp_path / "out", **options))
        assert server.requests == []


def test_methods_are_judged_side_by_side(data: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "metrics": ["psnr"],
        "judge.model": "m",
        "judge.compare": "mean",
        "judge.swap": 0.0,
    }
    with serve_api(say(MARKS | {"better": "first"})) as server:
        options |= {"judge.url": server.url, "judge.key_variable": "A2_NO_KEY"}
        outcome = run_eval(build(data, tmp_path / "out", **options))
    compared = outcome.results.judge["compared"]
    assert list(compared) == ["paste against mean"] and list(compared["paste against mean"]) == [
        "fine",
        "box",
    ]
    for found in compared["paste against mean"].values():  # who always takes the first prefers nobody
        assert (found["judged"], found["ties"], found["wins"]) == (COUNT, COUNT, 0)
