"""Tab: what is offered after a word of a command line, and that nothing heavy is imported for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "diffusers", "transformers", "cv2", "datasets", "PIL", "numpy", "ray")
LINES = {
    "a2 ed": ["edit"],
    "a2 edit --backbone n": ["nano"],
    "a2 edit --backbone ": ["nano", "flux-fill"],
    "a2 edit --localize a": ["attention", "auto"],
    "a2 edit --engine ": ["local", "ray"],
    "a2 edit --offload s": ["sequential"],
    "a2 edit --quantize ": ["nf4", "int8", "torchao-int8"],
    "a2 edit --dtype b": ["bfloat16"],
    "a2 edit --device c": ["cpu", "cuda"],
    "a2 edit --skip": ["--skip-existing"],
    "a2 edit --mask ": [],  # the shell offers files
    "a2 export x --format d": ["diffusers"],
    "a2 augment-mask --stage ": ["fine", "rough", "box"],
}
CODE = """
import contextlib, io, json, os, sys
from a2cli.cli import main
offered = {}
for line in json.loads(sys.argv[1]):
    os.environ |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main([])
    offered[line] = out.getvalue().split()
print(json.dumps([offered, [name for name in sys.argv[2].split() if name in sys.modules]]))
"""


def test_values_are_completed_without_a_framework() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(list(LINES)), " ".join(HEAVY)],
        capture_output=True, text=True, check=True, env={**os.environ, "_A2_COMPLETE": "complete_bash"},
    )  # fmt: skip
    offered, heavy = json.loads(done.stdout)
    assert heavy == []
    for line, words in LINES.items():
        if "--backbone" in line:  # plugins may have more
            assert set(words) <= set(offered[line]), line
        else:
            assert offered[line] == words, line


def test_the_completion_script_is_what_bash_reads(tmp_path: Path) -> None:
    script = (
        'source <("$1" -m a2cli --show-completion bash)\n'
        "complete -p a2\n"
        "COMP_WORDS=(a2 edit --engine r) COMP_CWORD=3\n"
        'a2() { "$PYTHON" -m a2cli "$@"; }; export -f a2\n'
        "type -t _a2_completion\n"
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", sys.executable], capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == "complete -o default -F _a2_completion a2\nfunction\n", done.stderr
