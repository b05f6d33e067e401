"""Let the tests of this folder import the modules beside them, and those of neighbours that build data and models."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("data", "curation", "pages", "evaluation/judge", "backbones", "engine", "images", "."):
    sys.path.append(str(Path(__file__).parents[1] / folder))
sys.path.insert(0, str(Path(__file__).parent))

from browser import chromium  # noqa: E402

__all__ = ["chromium"]
