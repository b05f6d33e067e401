"""A frozen transformer made to know where to edit: "Edit Where You Mean", section 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2cli.region.config import PredictorConfig, RegionConfig

if TYPE_CHECKING:
    from a2cli.region.adapter import RegionInfo, load_region, read_region, save_region
    from a2cli.region.inject import get_sizes, inject_region
    from a2cli.region.model import RegionInputs, RegionModel
    from a2cli.region.predictor import MaskPredictor
    from a2cli.region.region_loss import get_dice, mask_loss

_HOMES = {
    "MaskPredictor": "predictor",
    "RegionInfo": "adapter",
    "RegionInputs": "model",
    "RegionModel": "model",
    "get_dice": "region_loss",
    "get_sizes": "inject",
    "inject_region": "inject",
    "load_region": "adapter",
    "mask_loss": "region_loss",
    "read_region": "adapter",
    "save_region": "adapter",
}

__all__ = [
    "MaskPredictor",
    "PredictorConfig",
    "RegionConfig",
    "RegionInfo",
    "RegionInputs",
    "RegionModel",
    "get_dice",
    "get_sizes",
    "inject_region",
    "load_region",
    "mask_loss",
    "read_region",
    "save_region",
]


def __getattr__(name: str) -> object:
    # Lazy, so that a config can be checked without importing torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
