"""The lazy registry against real distributions: folders with a dist-info on the path (fault 30)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from a2cli.backbones.base import API_VERSION
from a2cli.backbones.registry import (
    check_backbone_name,
    list_backbones,
    load_backbone_class,
    probe_plugins,
)
from a2cli.errors import BackboneError

Install = Callable[..., Path]
HEAVY = ("torch", "diffusers", "transformers", "cv2", "a2cli.backbones.flux")
GOOD = f"class Good:\n    api_version = {API_VERSION}\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution with one module and one entry point on the path of this process and its children."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))

    def add(dist: str, name: str, code: str, *, cls: str = "Good") -> Path:
        module = dist.replace("-", "_")
        (site / f"{module}.py").write_text(code)
        info = site / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[a2.backbones]\n{name} = {module}:{cls}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return site

    return add


def run_a2(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "a2cli", *arguments], capture_output=True, text=True, timeout=120
    )


def get_statuses() -> dict[tuple[str, str], str]:
    return {(info.name, info.source): info.status for info in probe_plugins(list_backbones())}


def test_built_in_backbones_are_listed_first_without_importing_them() -> None:
    infos = list_backbones()
    assert [info.name for info in infos if info.built_in] == ["flux-fill", "nano"]
    assert all(info.status == "built in" for info in infos[:2])
    code = (
        "import sys; from a2cli.backbones.registry import list_backbones; list_backbones();"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_plugin_is_listed_without_import_and_loaded_by_name(install: Install, tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    install("a2-good", "good", f"open({str(trace)!r}, 'w').close()\n{GOOD}")
    info = next(info for info in list_backbones() if info.name == "good")
    assert (info.source, info.status, info.built_in) == ("a2-good 1.2", "plugged in", False)
    check_backbone_name("good")
    assert not trace.exists()
    assert load_backbone_class("good").__name__ == "Good"
    assert trace.exists()
    assert get_statuses()["good", "a2-good 1.2"] == "ok"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("raise RuntimeError('first line\\nsecond line')", "RuntimeError: first line second line"),
        ("raise SystemExit(7)", "SystemExit: 7"),
        ("x = 1", "has no attribute 'Good'"),
        ("def broken(:", "SyntaxError"),
        ("class Good:\n    api_version = 99", "API version 99"),
        ("class Good: pass", "names no api_version"),
        ("print('noise'); import nowhere", "No module named 'nowhere'"),
        ("import os; os._exit(3)", "its import ends with 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its import ends with -11"),
    ],
)
def test_a_broken_plugin_is_shown_with_its_cause(install: Install, code: str, cause: str) -> None:
    install("a2-bad", "bad", code)
    status = get_statuses()["bad", "a2-bad 1.2"]
    assert status.startswith("broken") and cause in status
    assert "\n" not in status


def test_only_naming_a_broken_plugin_fails(install: Install) -> None:
    install("a2-bad", "bad", "raise ImportError('half installed')")
    install("a2-good", "good", GOOD)
    assert run_a2("--help").returncode == 0
    listed = run_a2("backbones", "--json")
    assert listed.returncode == 0 and listed.stderr == ""
    rows = {row["name"]: row for row in map(json.loads, listed.stdout.splitlines())}
    assert rows["good"]["status"] == "ok" and rows["nano"]["status"] == "built in"
    assert rows["bad"]["status"].startswith("broken") and "half installed" in rows["bad"]["status"]
    assert load_backbone_class("good")
    with pytest.raises(
        BackboneError, match=r"'bad' of a2-bad 1\.2 cannot be imported: ImportError: half installed"
    ):
        load_backbone_class("bad")


def test_a_doubled_name_fails_only_when_named(install: Install) -> None:
    install("a2-one", "twin", GOOD)
    install("a2-two", "twin", GOOD)
    install("a2-good", "good", GOOD)
    statuses = get_statuses()
    assert statuses["twin", "a2-one 1.2"] == "broken: a2-two 1.2 has the same name"
    assert statuses["twin", "a2-two 1.2"] == "broken: a2-one 1.2 has the same name"
    assert statuses["good", "a2-good 1.2"] == "ok"
    with pytest.raises(BackboneError, match="two backbones are called 'twin'"):
        check_backbone_name("twin")


def test_a_built_in_name_cannot_be_taken(install: Install) -> None:
    install("a2-thief", "nano", GOOD)
    statuses = get_statuses()
    assert statuses["nano", "a2-thief 1.2"].startswith("broken: a2cli ")
    assert statuses["nano", next(source for name, source in statuses if name == "nano" and "a2cli" in source)]
    check_backbone_name("nano")


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(BackboneError, match=r"no backbone is called 'nanno' \(did you mean 'nano'\?\)"):
        load_backbone_class("nanno")
