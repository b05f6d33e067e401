"""Learnt quality metrics: what is asked of pyiqa, on a stand-in with its door (pyiqa needs torchvision)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from a2cli.building.judge.iqa import build_metric
from a2cli.errors import BackboneError, ConfigError, DataError

# As pyiqa 0.1.16 has it: names by mode, a module on (N, 3, H, W) in [0, 1] that says which way is better.
STAND_IN = """
import torch

__version__ = "0.1.16"
NR = ["bright", "brisque", "fid", "inception_score", "musiq", "broken", "blank"]

def list_models(metric_mode=None, filter="", exclude_filters=""):
    return sorted(NR if metric_mode == "NR" else [*NR, "lpips"])

class Metric(torch.nn.Module):
    def __init__(self, name, device):
        super().__init__()
        self.name, self.device, self.lower_better = name, device, name == "brisque"

    def forward(self, target, ref=None):
        assert target.dim() == 4 and target.shape[1] == 3 and target.dtype == torch.float32
        assert 0 <= float(target.min()) and float(target.max()) <= 1
        if self.name == "broken":
            raise RuntimeError("shapes differ\\nat line 3")
        if self.name == "blank":
            return target.mean() / 0 * 0
        # the left half's red counts: axes and channels must not be swapped
        return target[:, 0, :, : target.shape[3] // 2].mean().reshape(1, 1)

def create_metric(metric_name, as_loss=False, device=None, **options):
    if metric_name == "musiq":
        raise OSError("cannot fetch musiq.pth\\nTraceback follows")
    return Metric(metric_name, device)
"""


@pytest.fixture
def pyiqa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyiqa.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyiqa", raising=False)


def build_picture() -> np.ndarray:
    """Red 204 of 255 on its left half, black elsewhere, wider than high."""
    rgb = np.zeros((10, 40, 3), np.uint8)
    rgb[:, :20, 0] = 204
    return rgb


def test_without_pyiqa_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(DataError) as caught:
        build_metric("musiq", "cpu")
    assert str(caught.value) == "pyiqa is not installed (pip install 'a2cli[iqa]')"


def test_what_pyiqa_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyiqa.py").write_text("import a_module_that_is_nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyiqa", raising=False)
    with pytest.raises(DataError, match="No module named 'a_module_that_is_nowhere'"):
        build_metric("musiq", "cpu")


@pytest.mark.usefixtures("pyiqa")
def test_larger_is_better_whichever_way_the_metric_counts() -> None:
    bright, brisque = build_metric("bright", "cpu"), build_metric("brisque", "cpu")
    assert bright.score(build_picture()) == pytest.approx(0.8) and not bright.lower_better
    assert brisque.score(build_picture()) == pytest.approx(-0.8) and brisque.lower_better
    assert bright.name == "bright (pyiqa 0.1.16)"
    flipped = np.ascontiguousarray(build_picture()[:, ::-1])
    assert bright.score(flipped) == 0 and bright.score(build_picture()[:, ::-1]) == 0  # strided too
    assert bright.metric.device == "cpu"


@pytest.mark.usefixtures("pyiqa")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("musik", r"'musik' is unknown to pyiqa \(did you mean 'musiq'\?\)"),
        ("lpips", "does not judge one picture"),
        ("fid", "does not judge one picture"),
        ("inception_score", "does not judge one picture"),
    ],
)
def test_metrics_that_cannot_judge_a_picture_are_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_metric(name, "cpu")


@pytest.mark.usefixtures("pyiqa")
def test_failures_are_one_line() -> None:
    with pytest.raises(
        BackboneError, match=r"pyiqa's musiq: cannot be loaded: cannot fetch musiq\.pth"
    ) as caught:
        build_metric("musiq", "cpu")
    assert "Traceback" not in str(caught.value)
    with pytest.raises(BackboneError, match=r"broken \(pyiqa 0\.1\.16\): fails: shapes differ") as caught:
        build_metric("broken", "cpu").score(build_picture())
    assert "line 3" not in str(caught.value)
    with pytest.raises(BackboneError, match="its value is nan"):
        build_metric("blank", "cpu").score(build_picture() * 0)
