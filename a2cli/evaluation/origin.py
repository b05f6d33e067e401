"""Where results come from: versions, the commit, and settings that name no place on the machine they were made on."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from a2cli import __version__
from a2cli.config.load import to_dict
from a2cli.evaluation.config import EvalConfig

LIBRARIES = (
    *("numpy", "opencv-python-headless", "pillow", "scikit-image", "torch"),
    *("transformers", "diffusers", "safetensors"),
)


def get_versions() -> dict[str, str]:
    """Versions of what an evaluation may have used; what is not installed is left out."""
    found = {"a2": __version__, "python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def get_commit() -> str:
    """The commit of a2's own source, "+" after it where files of it were changed; "" where a2 is no checkout."""
    source = Path(__file__).parents[1]
    if (
        _ask_git(source, "ls-files", "--error-unmatch", "errors.py") is None
    ):  # a checkout, but of something else
        return ""
    changed = _ask_git(source, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{_ask_git(source, 'rev-parse', 'HEAD') or ''}{'+' if changed else ''}"


def get_settings(config: EvalConfig) -> Any:
    """The settings as plain values; of whole paths the last part stays."""
    return _strip(to_dict(config))


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strip(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_strip(one) for one in value]
    if isinstance(value, str) and (os.path.isabs(value) or value.startswith("~")):
        return Path(value).name
    return value


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
