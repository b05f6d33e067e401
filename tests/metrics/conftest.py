"""Let the tests of this folder import what stands beside them, and the tiny models of tests/building."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "building"))
sys.path.insert(0, str(Path(__file__).parent))
