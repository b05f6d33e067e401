"""What a run says of itself while it goes on: metrics.jsonl always, trackers on top."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from a2cli.errors import ConfigError
from a2cli.files import write_bytes

METRICS = "metrics.jsonl"


class MetricsLog:
    """Rows of `metrics.jsonl` in a run folder; rows of steps after `step` are dropped: they are made again."""

    def __init__(self, run: Path, step: int) -> None:
        self.path = run / METRICS
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.is_file() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        if kept != lines:
            write_bytes("".join(kept).encode(), self.path, error=ConfigError)
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def write(self, row: dict[str, Any]) -> None:
        """Append one row; it is in the file when this returns."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def choose_trackers(wanted: Literal["auto"] | tuple[str, ...]) -> tuple[str, ...]:
    """Which of accelerate's trackers to use; "auto" is TensorBoard where it is installed.

    Raises ConfigError for one that was asked for and is not installed.
    """
    if wanted == "auto":
        return ("tensorboard",) if find_spec("tensorboard") else ()
    for name in wanted:
        if not find_spec(name):
            wanted_package = "'a2cli[tensorboard]'" if name == "tensorboard" else name
            raise ConfigError(f"trackers: {name} is not installed", hint=f"pip install {wanted_package}")
    return tuple(wanted)
