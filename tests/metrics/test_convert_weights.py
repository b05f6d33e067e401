"""examples/convert_weights.py as a user runs it: published pickles in, files that a2 opens out."""

from __future__ import annotations

import pickle
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import find_published, make_pair, make_tensors, read_published
from safetensors.torch import load_file
from torch import Tensor

from a2cli.metrics.inception import build_inception
from a2cli.metrics.lpips import build_measure
from a2cli.metrics.lpips_backbones import build_backbone
from a2cli.metrics.measure import Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import METRICS
from a2cli.metrics.weights import get_shapes

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "convert_weights.py"


class Trap:
    """A pickle that makes a file when it is opened without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[object, str, str]]:
    """What runs the script with arguments: exit code, stdout, stderr."""

    def run_script(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return caught.value.code, *capsys.readouterr()

    return run_script


def test_published_files_become_files_a2_opens(
    tmp_path: Path, run: Callable[..., tuple[object, str, str]]
) -> None:
    with torch.device("meta"):
        shapes = get_shapes(build_backbone("lpips_alex"))
        inception_shapes = get_shapes(build_inception())
    alexnet: dict[str, Tensor] = {**make_tensors(shapes), "classifier.1.weight": torch.zeros(9, 4)}
    torch.save(alexnet, tmp_path / "alexnet.pth", _use_new_zipfile_serialization=False)
    inception = {name: torch.full((), 0.5).expand(shape) for name, shape in inception_shapes.items()}
    inception["Conv2d_1a_3x3.bn.num_batches_tracked"] = torch.tensor(0)
    inception["fc.bias"] = torch.zeros(1008)
    torch.save(inception, tmp_path / "an inception.pth")
    zoo = {**alexnet, "features.0.weight": torch.zeros(96, 3, 7, 7)}
    torch.save(zoo, tmp_path / "other.pth")
    torch.save({**alexnet, "features.3.bias": torch.full((192,), torch.nan)}, tmp_path / "nan.pth")
    sprung = tmp_path / "sprung"
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"features.0.weight": Trap(sprung)}))
    (tmp_path / "text.pth").write_text("hello")
    torch.save({"something": torch.zeros(3)}, tmp_path / "unknown.pth")
    names = ("alexnet", "an inception", "other", "nan", "trap", "text", "unknown", "absent")
    files = [tmp_path / f"{name}.pth" for name in names]
    out = tmp_path / "weights"

    linear = map(find_published, ("lpips_alex", "lpips_vgg", "lpips_squeeze"))
    code, stdout, stderr = run(*files, *linear, "-o", out)
    assert code == 3
    told = dict(line.split(".pth: ", 1) for line in stderr.splitlines())
    told = {Path(name).name: reason for name, reason in told.items()}
    assert told.keys() == set(names[2:])
    assert "features.0.weight has shape (96, 3, 7, 7)" in told["other"]
    assert "features.3.bias is not of finite" in told["nan"]
    assert all("damaged, or holds more than tensors" in told[name] for name in ("trap", "text"))
    assert "no network a2 knows" in told["unknown"] and "No such file" in told["absent"]
    assert not sprung.exists()
    assert stdout.count(", as published") == 3 and stdout.count(", NOT the published") == 2

    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    lpips = {f"lpips/{name}.safetensors" for name in ("alexnet", "lpips_alex", "lpips_vgg", "lpips_squeeze")}
    assert written == lpips | {"inception.safetensors"}
    assert load_file(out / "inception.safetensors").keys() == inception_shapes.keys()
    for name in ("lpips_alex", "lpips_vgg", "lpips_squeeze"):
        loaded, published = load_file(out / "lpips" / f"{name}.safetensors"), read_published(name)
        assert loaded.keys() == published.keys()
        assert all(torch.equal(loaded[key], published[key]) for key in loaded)

    target, edited = make_pair(40, 40)
    shot = Shot("a", edited, np.ones((40, 40), bool), target=target)
    measure = build_measure([METRICS["lpips_alex"]], Weights(folder=str(out)), "cpu")
    assert measure.measure([shot])[0]["lpips_alex"] > 0
    for line in measure.implementation.split("sha256:")[1:]:
        assert line[:16] in stdout


def test_without_files_it_says_where_they_are_published(run: Callable[..., tuple[object, str, str]]) -> None:
    code, stdout, _ = run()
    assert code == 0
    lines = stdout.splitlines()
    assert len(lines) == 7 and all(".safetensors" in line and line.endswith(".pth") for line in lines)
    assert "https://download.pytorch.org/models/vgg16-397923af.pth" in lines[1]
