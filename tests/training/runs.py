"""Runs of `a2 train` as processes of their own: one, or two that talk over gloo."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from a2cli.config.load import dump_yaml

LAUNCH = Path(__file__).parents[2] / "configs" / "accelerate"


def write_config(folder: Path, mapping: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "train.yaml"
    path.write_text(dump_yaml(mapping))
    return path


def start(arguments: list[str], *, processes: int = 1, launch: str = "ddp.yaml") -> subprocess.Popen[str]:
    """`a2 train ARGUMENTS` in a process group of its own, on the CPU, one thread a process."""
    command = [sys.executable]
    if processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command += ["-m", "accelerate.commands.launch", "--config_file", str(LAUNCH / launch)]
        command += ["--num_processes", str(processes), "--main_process_port", str(port)]
    return subprocess.Popen(
        [*command, "-m", "a2cli", "train", *arguments],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(arguments: list[str], *, processes: int = 1, launch: str = "ddp.yaml") -> str:
    """Run to the end; the last line of stdout."""
    run = start(arguments, processes=processes, launch=launch)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err[-8000:]
    return out.strip().splitlines()[-1]


def kill_at_random(
    run: subprocess.Popen[str],
    folder: Path,
    *,
    after: int,
    seed: int,
    number: signal.Signals = signal.SIGKILL,
) -> int:
    """Send a signal to every process of a run at some moment after row `after` of its log; its exit code."""
    metrics = folder / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while not metrics.is_file() or len(metrics.read_text().splitlines()) < after:
        assert run.poll() is None, run.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(random.Random(seed).uniform(0, 0.2))
    os.killpg(run.pid, number)
    run.communicate()
    return run.returncode


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The log without what a clock decides."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "samples_per_s"} for row in rows]
