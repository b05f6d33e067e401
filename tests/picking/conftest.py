"""Let these tests import what stands beside them and in tests/pages, and give them a browser."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))
sys.path.insert(0, str(Path(__file__).parent))

from browser import chromium

__all__ = ["chromium"]
