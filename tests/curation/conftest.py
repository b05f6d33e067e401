"""Let the tests of this folder import the modules beside them and those of tests/pages, and give them a browser."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))
sys.path.insert(0, str(Path(__file__).parent))

from browser import chromium

__all__ = ["chromium"]
