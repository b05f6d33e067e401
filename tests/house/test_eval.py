"""a2 eval from the command line: exit codes, stdout, thresholds, stops, light help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "data"))

from pair_folders import make_pair, write_imagefolder

from a2cli.cli import main
from a2cli.commands.eval.stopping import saying_when_stopped
from a2cli.evaluation.settings import load_eval_config
from a2cli.evaluation.study.run import load_given
from a2cli.images.write import save_image

COUNT = 4
OPTIONS = (
    *("--config", "--set", "--data", "--benchmark", "--split", "--limit", "--per-category", "--protocol"),
    *(
        "--rough-radius",
        "--pred",
        "--methods",
        "--run",
        "--metrics",
        "--weights",
        "--judge",
        "--out",
        "--report",
    ),
    *("--json", "--fail-under", "--fail-over", "--baseline", "--rtol", "--workers", "--device", "--seed"),
    "--quiet",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = [make_pair(n, "test", 40, 48) for n in range(COUNT)]
    return write_imagefolder(tmp_path_factory.mktemp("data") / "pairs", pairs, "test")


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of three baselines."""
    folder = tmp_path_factory.mktemp("eval") / "out"
    assert main(["eval", *run_words(data, folder, "paste,mean,telea"), "-q"]) == 0
    return folder


def run_words(data: Path, out: Path, methods: str = "paste") -> list[str]:
    words = ["--data", str(data), "--methods", methods, "--run", "-o", str(out), "--metrics", "psnr,l1"]
    return [*words, "--protocol", "fine,box", "--rough-radius", "4", "--set", "gallery=0"]


def write_pred(folder: Path) -> Path:
    folder.mkdir()
    for number in range(COUNT):
        pair = make_pair(number, "test", 40, 48)
        save_image(pair.tar_rgb, folder / f"{pair.id}.png")
    return folder


@pytest.mark.parametrize(
    "words",
    [("--help",), ("compare", "--help"), ("study", "make", "--help"), ("--pred", "x", "--limit", "none")],
)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom a2cli.cli import main\nmain(['eval', *sys.argv[1:]])\n"
        "heavy = {'torch', 'transformers', 'cv2', 'numpy', 'datasets', 'PIL'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_help_names_every_option_and_sub_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(option in text for option in OPTIONS)
    assert all(name in text for name in ("compare", "report", "metrics", "study"))


def test_scores_go_to_a_pipe_one_value_a_line(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", *run_words(data, out, "paste,mean")]) == 0
    shown = capsys.readouterr()
    lines = [line.split("\t") for line in shown.out.splitlines()]
    assert lines[0] == ["protocol", "method", "metric", "mean", "se", "n"] and len(lines) == 1 + 2 * 2 * 6
    found = {tuple(line[:3]): line[3:] for line in lines[1:]}
    results = json.loads((out / "results.json").read_text())
    part = next(p for p in results["parts"] if (p["method"], p["protocol"]) == ("paste", "box"))
    score = part["scores"]["psnr@mask"]
    assert found["box", "paste", "psnr@mask"] == [f"{score['mean']:.8g}", f"{score['se']:.8g}", str(COUNT)]
    assert f"results in {out}" in shown.err


def test_json_is_all_of_stdout(data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", *run_words(data, out, "paste,mean"), "--json", "-q", "--set", "gallery=1"]) == 0
    shown = capsys.readouterr()
    results = json.loads(shown.out)
    assert json.loads((out / "results.json").read_text())["gallery"]  # pictures, which a pipe is spared
    assert results["format"] == "a2-eval" and results["gallery"] == [] and shown.err == ""
    assert "NaN" not in shown.out and results["n"] == COUNT


def test_a_missed_threshold_is_exit_4_and_a_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "eval",
        "--data",
        str(data),
        "--pred",
        str(write_pred(tmp_path / "pred")),
        "--metrics",
        "psnr,l1",
    ]
    assert main([*words, "-q", "--fail-under", "psnr=99", "--fail-over", "pred/fine/l1=0"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*words, "-q", "--fail-under", "psnr=101", "--fail-over", "l1@mask=-1"]) == 4
    assert capsys.readouterr().err.splitlines() == [
        f"a2: missed: pred/fine psnr = 100 (n {COUNT}), wanted at least 101",
        f"a2: missed: pred/fine l1@mask = 0 (n {COUNT}), wanted at most -1",
    ]
    (tmp_path / "pred/test-001.png").write_bytes(b"\x89PNG")
    assert main([*words, "--fail-under", "psnr=99"]) == 3
    shown = capsys.readouterr()
    assert "a2: warning: pred/fine/test-001: " in shown.err and "1 failed" in shown.err
    assert main([*words, "-q", "--fail-under", "psnr=101"]) == 4  # a miss goes before a failure


def test_what_is_missing_is_told_by_its_reason(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "eval",
        "--data",
        str(data),
        "--pred",
        str(write_pred(tmp_path / "pred")),
        "--protocol",
        "dilate:999",
    ]
    assert main([*words, "--metrics", "l1,preservation,seam"]) == 3  # seam was asked for by name
    why = "the mask covers the whole picture"
    assert capsys.readouterr().err.splitlines() == [
        f"a2: warning: outside_pixels, outside_changed, outside_mean and outside_max are missing: {why}",
        f"a2: seam is missing: {why}",
    ]
    assert main([*words, "-q", "--metrics", "seam"]) == 3
    assert capsys.readouterr().err == f"a2: nothing was measured: seam is missing: {why}\n"


def test_a_line_that_cannot_be_read_is_told_with_its_place_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_imagefolder(tmp_path / "d", [make_pair(n, "test", 40, 48) for n in range(COUNT)], "test")
    (lines,) = data.rglob("metadata.jsonl")
    lines.write_text(lines.read_text() + "{\n")
    pred = write_pred(tmp_path / "pred")
    assert main(["eval", "--data", str(data), "--pred", str(pred), "--metrics", "l1"]) == 3
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"a2: warning: {lines}: line {COUNT + 1}: ") and len(told) == 2


def test_compare_tells_who_is_better(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "compare", str(out), "--method", "mean", "--method", "mean", "--protocol", "fine"]
    assert main([*words, "--protocol", "box", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    psnr = next(record for record in records if record["metric"] == "psnr")
    assert (psnr["a"], psnr["b"], psnr["n"], psnr["verdict"]) == ("mean/fine", "mean/box", COUNT, "worse")
    assert psnr["low"] <= psnr["difference"] <= psnr["high"] < 0
    assert main(["eval", "compare", str(out), str(out / "results.json"), "--method", "paste"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].startswith("a\tb\tmetric") and len(lines) == 1 + 2 * 6 and shown.err == ""
    assert main(["eval", "compare", str(out)]) == 2
    assert "nothing to set against itself" in capsys.readouterr().err


def test_the_page_comes_again_from_results_alone(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("results.json", "samples.jsonl"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    assert main(["eval", "report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").read_bytes() == (out / "report.html").read_bytes()
    assert main(["eval", "report", str(tmp_path / "results.json"), "-o", str(tmp_path / "x.htm")]) == 0
    assert main(["eval", "report", str(tmp_path / "nowhere")]) == 2


def test_metrics_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "metrics"]) == 0
    table = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    rows = {line[0]: dict(zip(table[0], line, strict=True)) for line in table[1:]}
    assert rows["psnr"]["better"] == "higher" and rows["psnr"]["lacks"] == ""
    assert "inception" in rows["fid"]["lacks"] and rows["vlm"]["lacks"] == "a judge"


def test_people_are_asked_and_counted(
    data: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, kept = tmp_path / "study.html", tmp_path / "key.json"
    names = ["--page", str(page), "--key", str(kept)]
    assert main(["eval", "study", "make", str(out), *names]) == 2
    assert "the records were of pairs, which is not here (name them with --data)" in capsys.readouterr().err
    words = ["--data", str(data), "--protocol", "fine", "--pairs", "8", "--repeats", "0.25"]
    assert main(["eval", "study", "make", str(out), "--methods", "paste,mean", *words, *names]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    given = load_given(out, str(data))
    assert (given["protocols"], given["rough_radius"]) == (["fine", "box"], "4")
    key = json.loads(kept.read_text())
    answers = [
        {
            "trial": t["code"],
            "question": "overall",
            "answer": "left" if t["left"] == "paste" else "right",
            "ms": 900,
        }
        for t in key["trials"]
    ]
    said = {"format": "a2-study-answers", "version": 1, "study": key["study"], "rater": "ann"}
    (tmp_path / "ann.json").write_text(json.dumps({**said, "answers": answers}))
    assert main(["eval", "study", "score", str(tmp_path / "ann.json"), "--key", str(kept), "--json"]) == 0
    (duel,) = json.loads(capsys.readouterr().out)["duels"]
    won = duel["wins"] if duel["a"] == "paste" else duel["losses"]
    assert won == COUNT and duel["ties"] == 0
    (tmp_path / "bad.json").write_text("{")
    files = [str(tmp_path / "ann.json"), str(tmp_path / "bad.json")]
    assert main(["eval", "study", "score", *files, "--key", str(kept)]) == 3
    shown = capsys.readouterr()
    assert "bad.json: no JSON" in shown.err and shown.out.startswith("question\ta\tb")
    other = ["--methods", "paste,telea", *words, *names]
    assert main(["eval", "study", "make", str(out), *other]) == 2
    assert "the key of another study" in capsys.readouterr().err


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = 10
    pairs = [make_pair(n, "test", 96, 112) for n in range(count)]
    data = write_imagefolder(tmp_path / "pairs", pairs, "test")
    words = [
        "eval",
        "--data",
        str(data),
        "--methods",
        "mean",
        "--run",
        "--metrics",
        "default",
        "--protocol",
        "box",
    ]
    words += ["--set", "gallery=0", "--set", "batch_size=1", "-q"]
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    kept = stopped / ".work/values.jsonl"
    lines = 0
    for number, code, said in (
        (signal.SIGINT, 130, b"a2: stopped; the same command goes on from here\n"),
        (signal.SIGKILL, -signal.SIGKILL, b""),
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "a2cli", *words, "-o", str(stopped)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            deadline = time.monotonic() + 60
            while count_lines(kept) < lines + 7 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
        assert (process.returncode, stdout, stderr) == (code, b"", said)
        assert not (stopped / "results.json").exists()
        lines = count_lines(kept)
    edits = {path: path.stat().st_mtime_ns for path in stopped.rglob("edits/**/*.png")}
    assert len(edits) == count and 14 <= lines < count * 7
    for folder in (stopped, whole):
        assert main([*words, "-o", str(folder)]) == 0
    assert {path: path.stat().st_mtime_ns for path in edits} == edits
    keys = [json.loads(line)["key"] for line in kept.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == count * 7  # nothing was measured twice
    capsys.readouterr()

    def get_values(folder: Path) -> list[dict[str, float]]:
        return [json.loads(line)["values"] for line in (folder / "samples.jsonl").read_text().splitlines()]

    assert get_values(stopped) == get_values(whole)
    scores = [json.loads((folder / "results.json").read_text())["parts"] for folder in (stopped, whole)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"out": "o"}, "stopped; the same command goes on from here"),
        ({}, "stopped; nothing was kept (-o OUT keeps it)"),
        (
            {"out": "o", "judge.model": "m", "judge.api": "local"},
            "stopped; the same command goes on from here",
        ),
        (
            {"out": "o", "judge.model": "m"},
            "stopping when paid calls under way have ended; the same command goes on from here",
        ),
    ],
)
def test_ctrl_c_says_once_what_becomes_of_the_run(
    options: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_eval_config(None, (), {"pred": "x", "data.path": "d", **options})
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), saying_when_stopped(settings):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr().err == f"a2: {said}\n" and signal.getsignal(signal.SIGINT) == before


def count_lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0
