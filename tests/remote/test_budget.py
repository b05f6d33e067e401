"""A budget of a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from a2cli.errors import DataError
from a2cli.remote.budget import Budget


def test_names_count_once_until_given_back(tmp_path: Path) -> None:
    budget = Budget(tmp_path, 2)
    assert budget.count() == 0 and budget.take("a") and budget.take("b")
    assert not budget.take("c") and budget.take("a") and budget.count() == 2
    assert Budget(tmp_path, 2).count() == 2  # another process, or a rerun after kill -9
    budget.give_back("a")
    assert budget.take("c") and sorted(path.name for path in tmp_path.glob("*.asked")) == [
        "b.asked",
        "c.asked",
    ]
    assert not Budget(tmp_path, 0).take("d") and Budget(tmp_path / "none", 5).count() == 0


def test_what_is_kept_counts_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.image").touch()
    (tmp_path / "b.json").touch()
    assert Budget(tmp_path, 1).count() == 0 and Budget(tmp_path, 1, ".image").count() == 1
    assert not Budget(tmp_path, 1, ".image").take("c") and Budget(tmp_path, 1, ".image").take("a")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: answers cannot be kept there"):
        Budget(tmp_path / "none", 1).take("a")
    assert os.listdir(tmp_path) == []
