"""The command line's contract: help, light imports, one-line errors, exit codes, clean stdout."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from a2cli import __version__

HEAVY = ("torch", "diffusers", "transformers", "cv2", "datasets", "PIL", "numpy", "peft", "accelerate")
COMMANDS = ("edit", "augment-mask", "dataset", "train", "eval", "export", "backbones", "doctor")
EDIT_OPTIONS = (
    *("--ref", "--mask", "--ref-mask", "--prompt", "--fit-mask", "--out", "--save-region", "--num-images"),
    *("--json", "--no-metadata", "--seed", "--steps", "--guidance", "--backbone", "--model", "--adapter"),
    *("--device", "--dtype", "--vram", "--offload", "--quantize", "--dry-run", "--quiet", "--manifest"),
    *(
        "--skip-existing",
        "--workers",
        "--engine",
        "--allow-urls",
        "--null",
        "--limit",
        "--preview",
        "--resume",
    ),
    *(
        "--address",
        "--shard",
        "--retries",
        "--timeout",
        "--config",
        "--from",
        "--sign",
        "--pick",
        "--pick-port",
    ),
    *("--localize", "--keyword", "--threshold", "--save-attention"),
)
PLAIN = ("edit", "a.png", "--ref", "c.png", "--mask", "m.png")
VERBS = ("synth", "build", "validate", "stats", "split", "preview", "convert", "taxonomy")


def run_a2(
    *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "a2cli", *arguments],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, cwd=cwd,
        env={**os.environ, "TERM": "dumb", "COLUMNS": "100", **(env or {})},
    )  # fmt: skip


def list_heavy(*arguments: str) -> list[str]:
    """The heavy modules in memory after running `a2 ARGUMENTS` in a fresh interpreter."""
    code = (
        "import sys, json\n"
        "from a2cli.cli import main\n"
        "main(json.loads(sys.argv[1]))\n"
        f"print('\\n' + json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--help",),
        ("--version",),
        ("edit", "--help"),
        ("train", "--help"),
        ("backbones",),
        ("edit",),
        ("edit", "--ref", "cat.png"),
        ("edit", "a.png", "b.png", "--ref", "c.png", "--mask", "m.png", "--shard", "3"),
        ("edit", "a.png", "--ref", "c.png", "--mask", "m.png", "--backbone", "nanno"),
        ("edit", "a.png", "--ref", "c.png", "--mask", "m.png", "--steps", "many"),
        ("train", "--config", "nowhere.yaml"),
        ("eval",),
        ("edti",),
    ],
)
def test_help_and_usage_errors_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert list_heavy(*arguments) == []


def test_help_lists_every_command_and_goes_to_stdout() -> None:
    done = run_a2("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(command in done.stdout for command in COMMANDS)
    assert run_a2("--version").stdout == f"a2 {__version__}\n"


@pytest.mark.parametrize("command", [*((name,) for name in COMMANDS), *(("dataset", verb) for verb in VERBS)])
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    done = run_a2(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"a2 {' '.join(command)}" in done.stdout


def test_edit_help_names_every_option_of_the_contract() -> None:
    text = run_a2("edit", "--help").stdout
    for option in EDIT_OPTIONS:
        assert option in text, option


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("edit",), "no reference (give --ref FILE"),
        (("edit", "--ref"), "requires an argument"),
        (("edit", "--reff", "x"), "No such option: --reff"),
        (("edit", "--ref", "c.png"), "no photo to edit (give a SOURCE file; or pipe"),
        (("edit", "a.png", "--ref", "c.png"), "no mask, and no prompt to find the region from"),
        (("edit", ".", "--ref", "c.png", "--mask", "m.png", "-o", "-"), "-o - writes one PNG"),
        (("edit", "*.nope", "--ref", "c.png", "--mask", "m.png"), "*.nope: "),
        (("edit", "--ref", "c.png", "--manifest", "jobs.jsonl"), "jobs.jsonl: the manifest cannot be read"),
        ((*PLAIN, "--engine", "rya"), "did you mean 'ray'?"),
        ((*PLAIN, "--address", "auto"), "add --engine ray"),
        ((*PLAIN, "--vram", "8"), "--vram '8' is no size"),
        ((*PLAIN, "--offload", "modle"), "did you mean 'model'?"),
        ((*PLAIN, "--quantize", "int8", "--offload", "model"), "stay on the GPU"),
        ((*PLAIN, "--shard", "0/4"), "--shard 0/4: no such part"),
        ((*PLAIN, "--null"), "add --manifest -"),
        ((*PLAIN, "--pick-port", "80"), "add --pick"),
        (("edit", "--from", "no such.png"), "no such.png: no such file"),
        ((*PLAIN, "--config", "no such.yaml"), "no such.yaml: no such file"),
        (("edit", "a.png", "--ref", "c.png", "--mask", "m.png", "--steps", "0"), "--steps"),
        (("edit", "a.png", "--ref", "c.png", "--mask", "m", "--backbone", "nanno"), "did you mean 'nano'?"),
        (("edit", "a.png", "--ref", "http://x/c.png", "--mask", "m"), "addresses are not read"),
        (("train",), "Missing option '--config'"),
        (("train", "--config", "no such file.yaml"), "no such file.yaml: no such file"),
        (("dataset", "build", "-o", "x"), "there is nothing to read"),
        (("dataset", "synht"), "No such command 'synht'"),
        (("eval",), "nothing says what to measure"),
        (("eval", "--pred", "x"), "nothing says which records the edits are of"),
        (("eval", "--methods", "nano"), "methods need a folder"),
        (("eval", "comapre"), "No such command 'comapre'"),
        (("export", "x", "--format", "peft", "-o", "y"), "x: no adapter_model.safetensors there"),
        (("augment-mask", "m.png", "--stage", "rogh"), "--stage"),
        (("augment-mask", "a\nb\x1b[31m.png", "--stage", "box"), r"b\x1b[31m.png: no such file"),
    ],
)
def test_errors_are_one_line_and_exit_2(arguments: tuple[str, ...], message: str) -> None:
    done = run_a2(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("a2: ") and done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr


def test_debug_shows_the_traceback_and_keeps_the_exit_code() -> None:
    done = run_a2("train", "--config", "nowhere.yaml", env={"A2_DEBUG": "1"})
    assert done.returncode == 2
    assert "Traceback" in done.stderr and "ConfigError: nowhere.yaml" in done.stderr


def test_an_override_is_checked_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("steps: 1\n")
    done = run_a2("train", "--config", "run.yaml", "steps", cwd=tmp_path)
    assert done.returncode == 2 and "write key=value" in done.stderr


def test_a_picture_never_goes_to_a_terminal() -> None:
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "a2cli", "edit", "a.png", "--ref", "b.png", "--mask", "m.png", "-o", "-"]
    done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(terminal)
    os.close(main)
    assert done.returncode == 2
    assert "not written to a terminal" in done.stderr


def test_a_closed_pipe_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "a2cli", "backbones", "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_with_their_exit_code(tmp_path: Path, number: int, exit_code: int) -> None:
    started = tmp_path / "started"
    (tmp_path / "slow_plugin.py").write_text(
        f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(60)\n"
    )
    info = tmp_path / "slow_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[a2.backbones]\nslow = slow_plugin:Slow\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "a2cli", "backbones"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, start_new_session=True,
        # A shell's background job hands an ignored SIGINT on to its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == exit_code
    assert stderr == b""


def test_a_second_sigterm_ends_a_command_without_a_traceback() -> None:
    slow = "import sys, time; sys.argv = ['a2', '--version']; from a2cli import cli\n"
    slow += "def wait(*args, **kw):\n try: print('up', flush=True); time.sleep(60)\n"
    slow += " finally: print('down', flush=True); time.sleep(60)\ncli.app = wait\ncli.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        for said in ("up", "down"):
            assert process.stdout.readline() == f"{said}\n"
            process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, stderr) == (143, "")


@pytest.mark.slow
def test_help_takes_a_fraction_of_importing_the_frameworks() -> None:
    def measure(*command: str) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert measure("-m", "a2cli", "--help") <= 0.15 * measure("-c", "import torch, diffusers")
