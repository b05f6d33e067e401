"""The README's help blocks are the program's own words; A2_WRITE_README=1 rewrites them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"<!-- help: a2 (.*?) -->\n```text\n(.*?)```", re.DOTALL)
PLAIN = {"TERM": "dumb", "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}


def get_help(arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if "COLOR" not in name} | PLAIN
    command = [sys.executable, "-m", "a2cli", *arguments.split()]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()).strip() + "\n"


def test_help_blocks_are_generated() -> None:
    text = README.read_text()
    assert len(BLOCK.findall(text)) >= 2
    fresh = BLOCK.sub(lambda m: f"<!-- help: a2 {m[1]} -->\n```text\n{get_help(m[1])}```", text)
    if os.environ.get("A2_WRITE_README") == "1":
        README.write_text(fresh)
    assert README.read_text() == fresh, "run with A2_WRITE_README=1 to bring the help blocks up to date"


def test_every_option_in_the_readme_exists() -> None:
    commands = ["", "edit", "train", "eval", "augment-mask", "export", "doctor"]
    commands += [f"dataset {name}" for name in ("build", "split", "stats", "synth")]
    commands += ["eval compare", "eval study make", "eval study score"]
    known = "".join(get_help(f"{command} --help") for command in commands)
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(BLOCK, "", README.read_text()))):
        assert option in known or option == "--extra-index-url", option


def test_no_page_holds_an_unfilled_place() -> None:
    root = README.parent
    pages = [p for p in root.rglob("*.md") if not {".venv", "runs"} & set(p.relative_to(root).parts)]
    assert len(pages) > 4
    for page in pages:
        assert "{{" not in page.read_text(encoding="utf-8"), page
