"""What `a2 doctor` looks at; each check is a value, so that one that fails ends nothing."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from a2cli import __version__
from a2cli.backbones.registry import list_backbones, probe_plugins

GIB = 1 << 30
NO_FEATURE = "dev"  # the extra that brings no part of a2
_IMPORTED = {
    "huggingface-hub": "huggingface_hub",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
}


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    ok: bool
    detail: str


def run_checks() -> Iterator[Check]:
    """Every check in the order of the report; libraries are really imported."""
    yield Check("a2", True, f"{__version__} in {Path(__file__).parents[1]}")
    yield Check(
        "python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform()}"
    )
    for requirement in requires("a2cli") or ():
        if "extra ==" not in requirement:
            yield _check_library(requirement)
    yield from _list_extras()
    yield from _check_devices()
    yield _check_memory()
    yield _check_scratch()
    for info in probe_plugins(list_backbones()):
        yield Check(f"backbone {info.name}", info.usable, f"{info.status} ({info.source})")


def _check_library(requirement: str) -> Check:
    name = requirement.split(">=")[0].strip()
    try:
        found = version(name)
        importlib.import_module(_IMPORTED.get(name, name))
    except PackageNotFoundError:
        return Check(name, False, f"not installed, a2 needs {requirement}")
    except (Exception, SystemExit) as error:
        return Check(
            name, False, f"cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"
        )
    return Check(name, True, f"{found} ({requirement})")


def _list_extras() -> Iterator[Check]:
    """What the extras bring; one that is missing is no fault, one that is too old is."""
    extras: dict[str, list[str]] = {}
    for requirement in requires("a2cli") or ():
        need, _, marker = requirement.partition(";")
        extra = marker.partition("extra ==")[2].strip(" '\"")
        if extra not in ("", NO_FEATURE):
            extras.setdefault(need.strip(), []).append(extra)
    for need, names in extras.items():
        name = re.split(r"[\[<>=; ]", need)[0]
        detail = f"a2cli[{','.join(names)}], {need}"
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Check(name, True, f"not installed ({detail})")
        else:
            yield Check(name, _is_enough(found, need), f"{found} ({detail})")


def _is_enough(found: str, need: str) -> bool:
    """Whether a version is at or above a requirement's floor, by the numbers they begin with."""
    floor = need.partition(">=")[2]
    return not floor or _get_numbers(found) >= _get_numbers(floor)


def _get_numbers(text: str) -> tuple[int, ...]:
    match = re.match(r"\s*v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _check_devices() -> Iterator[Check]:
    try:
        import torch
    except ImportError:
        return
    yield Check("cpu", True, f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        yield Check(f"cuda:{index}", True, f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free")
    if torch.backends.mps.is_available():
        yield Check("mps", True, "available")
    elif not torch.cuda.is_available():
        yield Check("gpu", True, "none; nano runs on the CPU, flux-fill needs a GPU")


def _check_memory() -> Check:
    try:
        unit = os.sysconf("SC_PAGE_SIZE")
        total, free = os.sysconf("SC_PHYS_PAGES") * unit, os.sysconf("SC_AVPHYS_PAGES") * unit
    except (ValueError, OSError):
        return Check("memory", True, "unknown")
    return Check("memory", total >= GIB, f"{free / GIB:.1f} of {total / GIB:.1f} GiB free")


def _check_scratch() -> Check:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    return Check("disk", free >= GIB // 10, f"{free / GIB:.1f} GiB free in {folder}")
