"""Let the tests of this folder import `browser` and `parsed`, and give them a browser."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from browser import chromium

__all__ = ["chromium"]
