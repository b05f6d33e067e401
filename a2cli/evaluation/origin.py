"""Where results come from: libraries, the commit, and settings that name no place on the machine they were made on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from a2cli.config.load import to_dict

LIBRARIES = (
    *("numpy", "opencv-python-headless", "pillow", "scikit-image", "torch"),
    *("transformers", "diffusers", "safetensors"),
)


def get_commit() -> str:
    """The commit of a2's own source, "+" after it where files of it were changed; "" where a2 is no checkout."""
    source = Path(__file__).parents[1]
    if (
        _ask_git(source, "ls-files", "--error-unmatch", "errors.py") is None
    ):  # a checkout, but of something else
        return ""
    changed = _ask_git(source, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{_ask_git(source, 'rev-parse', 'HEAD') or ''}{'+' if changed else ''}"


def get_settings(config: Any) -> Any:
    """Settings (a dataclass) as plain values; of whole paths the last part stays."""
    return strip_paths(to_dict(config))


def strip_paths(value: Any) -> Any:
    """Plain values in which of whole paths, also as the value of a KEY=VALUE, the last part stays."""
    if isinstance(value, dict):
        return {name: strip_paths(one) for name, one in value.items()}
    if isinstance(value, list):
        return [strip_paths(one) for one in value]
    if not isinstance(value, str):
        return value
    name, equals, text = value.partition("=")  # of a KEY=VALUE
    start, path = (f"{name}=", text.strip("\"'")) if equals else ("", value)
    return start + Path(path).name if os.path.isabs(path) or path.startswith("~") else value


def _ask_git(folder: Path, *words: str) -> str | None:
    """What git says, None where it is not there or refuses."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()
