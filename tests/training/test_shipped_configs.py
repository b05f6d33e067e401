"""Every file in configs/train is run for two steps, the nano ones on what the one before left."""

from __future__ import annotations

import json
from pathlib import Path

import flux_folder
import pytest
from pair_folders import make_pair, write_imagefolder
from runs import read_rows

from a2cli.data.glyphs import find_emoji_font
from a2cli.errors import DataError
from a2cli.training.plan import plan_run
from a2cli.training.run import run_train

CONFIGS = Path(__file__).parents[2] / "configs" / "train"
NANO = {
    "nano-vae": None,
    "nano-base": "nano-vae",
    "nano-tune": "nano-base/model",
    "nano-text": "nano-tune/model",
    "nano-ground": "nano-text/model",
    "nano-joint": "nano-ground/model",
    "nano-mot": "nano-joint/model",
    "nano-region": "nano-joint/model",
}
FLUX = sorted(path.stem for path in CONFIGS.glob("flux-*.yaml"))
TWO_STEPS = ["steps=2", "save_every=2", "log_every=1", "data.batch_size=2", "data.workers=0", "trackers=[]"]


def has_font() -> bool:
    try:
        return bool(find_emoji_font())
    except DataError:
        return False


needs_font = [
    pytest.mark.debian,
    pytest.mark.skipif(not has_font(), reason="fonts-noto-color-emoji is not installed"),
]


def test_no_config_is_forgotten() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {"smoke", *NANO, *FLUX} and len(FLUX) == 3


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_font) for name in ("smoke", *NANO)])
def test_nano_configs_run(name: str, runs: Path) -> None:
    overrides = [*TWO_STEPS, f"output_dir={runs / name}"]
    before = NANO.get(name)
    if before:
        overrides.append(f"model.path={runs / before}")
    if name == "nano-region":
        overrides += [f"model.adapter={runs}/nano-mot/adapter", f"model.region={runs}/nano-text/adapter"]
    assert (plan_run(str(CONFIGS / f"{name}.yaml"), overrides).parameters or 0) > 10_000
    run_train(str(CONFIGS / f"{name}.yaml"), overrides)
    assert [row["step"] for row in read_rows(runs / name)] == [1, 2]
    made = {"nano-vae": "vae"} | dict.fromkeys(
        ("nano-base", "nano-tune", "nano-ground", "nano-joint"), "model"
    )
    results = ("model", "adapter") if name == "nano-text" else (made.get(name, "adapter"),)
    assert all(any((runs / name / result).rglob("*.safetensors")) for result in results)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """FLUX.1 Fill in miniature, and six pairs."""
    data = tmp_path_factory.mktemp("pairs")
    write_imagefolder(data, [make_pair(number, height=64, width=72) for number in range(6)])
    return flux_folder.build_flux_folder(tmp_path_factory.mktemp("flux")), data


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in FLUX])
def test_flux_presets_run_and_fit_their_card(name: str, runs: Path, miniature: tuple[Path, Path]) -> None:
    """What is run has small parts and an optimizer for CPUs; the budget is that of the preset as it stands."""
    base, data = miniature
    config = str(CONFIGS / f"{name}.yaml")
    plan = plan_run(config, [f"data.path={data}", f"output_dir={runs / name}", "precision=bf16"])
    assert plan.budget is not None
    gib = json.loads(json.dumps(plan.to_record()))["budget"]["total"] / 2**30
    card = int(name.removeprefix("flux-").removesuffix("gb"))
    assert 0.6 * card < gib < 0.97 * card
    overrides = [
        *TWO_STEPS,
        f"output_dir={runs / name}",
        f"model.path={base}",
        f"data.path={data}",
        "data.resolution=64",
        "optimizer.name=adamw",
        "sample.pairs=1",
        "sample.steps=1",
    ]
    run_train(config, overrides)
    assert [row["step"] for row in read_rows(runs / name)] == [1, 2]
