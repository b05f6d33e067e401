"""Let the tests of this folder import `flux_folder`, and give them one model folder to read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole FLUX.1 Fill folder with Redux's parts; read only."""
    from flux_folder import build_flux_folder

    return build_flux_folder(tmp_path_factory.mktemp("flux"))
