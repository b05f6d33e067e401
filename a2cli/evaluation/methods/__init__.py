"""What makes edits: a2 itself, the peers it is compared with, and baselines without a network."""

from __future__ import annotations

from a2cli.evaluation.methods.base import Method
from a2cli.evaluation.methods.build import build_method

__all__ = ["Method", "build_method"]
