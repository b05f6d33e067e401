"""Imports point one way, and the tree keeps its rules."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "a2cli"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("a2cli", "errors", "types", "files", "versions", "quiet", "urls", "remote", "supervised", "config"),
    (
        "images",
        "masks",
        "mot",
        "lora",
        "context",
        "localize",
        "region",
        "flow",
        "backbones",
        "pages",
        "provenance",
    ),
    ("data", "metrics"),
    ("engine", "building", "curation"),
    ("batch", "picking", "exporting"),
    ("training",),
    ("evaluation",),
    ("testing",),
    ("commands",),
    ("cli", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Concepts of one layer stand alone; these pairs are the stated exceptions.
BESIDE = {
    ("masks", "images"),
    ("images", "masks"),
    ("backbones", "context"),
    ("lora", "mot"),
    ("region", "mot"),
    ("provenance", "images"),
    ("backbones", "images"),
    ("metrics", "data"),
    ("__main__", "cli"),
}
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}
MAX_LINES = 400


def get_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def get_part(module: str) -> str:
    """`a2cli.masks.read` -> `masks`; the package itself (its version) -> `a2cli`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in RANK else "a2cli"


def get_imports(tree: ast.AST, typing_too: bool) -> Iterator[tuple[str, int]]:
    """Every `a2cli...` module a file names, those inside functions included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and not typing_too and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        else:
            yield from get_imports(node, typing_too)


@pytest.mark.parametrize("file", get_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_one_way(file: Path) -> None:
    relative = file.relative_to(PACKAGE)
    here = relative.parts[0].removesuffix(".py") if relative.parts != ("__init__.py",) else "a2cli"
    assert here in RANK, f"{relative}: {here} has no layer"
    for module, line in get_imports(ast.parse(file.read_text()), typing_too=False):
        if module.split(".")[0] != "a2cli":
            continue
        there = get_part(module)
        fine = (
            RANK[there] < RANK[here]
            or there == here
            or (here, there) in BESIDE
            or RANK[there] == RANK[here] == 0
        )
        assert fine, f"{relative}:{line}: {here} must not import {there}"


def test_every_folder_is_a_package_with_a_layer() -> None:
    folders = {p.parent.relative_to(PACKAGE) for p in get_files()} - {Path(".")}
    for folder in folders:
        assert (PACKAGE / folder / "__init__.py").is_file(), f"{folder} has no __init__.py"


def test_no_long_files_and_no_drawers() -> None:
    for file in get_files():
        assert file.name not in FORBIDDEN_NAMES, file
        assert len(file.read_text().splitlines()) <= MAX_LINES, f"{file} has more than {MAX_LINES} lines"


def test_commands_are_thin() -> None:
    shared = {"__init__.py", "options.py", "run_options.py", "console.py", "checks.py"}
    for file in (PACKAGE / "commands").rglob("*.py"):
        if file.name not in shared:
            assert len(file.read_text().splitlines()) <= 80, f"{file} is no longer thin"


def test_no_unsafe_loading() -> None:
    """Neither pickles nor foreign code: no torch.load, yaml.load but ours, trust_remote_code or eval."""
    for file in get_files():
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            assert name not in {"torch.load", "pickle.load", "pickle.loads", "eval", "exec"}, (
                f"{file}:{node.lineno}"
            )
            assert name != "yaml.load" or file == PACKAGE / "config" / "load.py", f"{file}:{node.lineno}"
            assert all(k.arg != "trust_remote_code" for k in node.keywords), f"{file}:{node.lineno}"


# In extras: bundled photographs for `a2 dataset synth` (synth); quantised bases and 8-bit optimizers (quant); videos,
# perceptual hashes (dataset); a cluster (ray); learnt quality metrics (iqa);
# content credentials (c2pa); graphs (onnx).
OPTIONAL = {
    "skimage",
    "bitsandbytes",
    "torchao",
    "av",
    "imagehash",
    "ray",
    "pyiqa",
    "c2pa",
    "cryptography",
    "onnx_ir",
    "onnxruntime",
}
IMPORT_NAMES = {
    "huggingface-hub": "huggingface_hub",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
}


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=\[ ]", requirement)[0] for requirement in project["dependencies"]}
    allowed = (
        {IMPORT_NAMES.get(name, name) for name in declared}
        | set(sys.stdlib_module_names)
        | OPTIONAL
        | {"a2cli"}
    )
    for file in get_files():
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed, f"{file}:{node.lineno}: {name} is not a dependency"


def test_constraints_pin_every_dependency_at_or_above_its_floor() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    extras = [requirement for group in project["optional-dependencies"].values() for requirement in group]
    for requirement in project["dependencies"] + extras:
        if not requirement.startswith("a2cli["):
            name, floor = requirement.lower().split(">=")
            assert Version(pins[name.split("[")[0]]) >= Version(floor), requirement
