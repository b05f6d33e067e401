"""Where an edit goes when nobody has drawn a mask: attention recorded, smoothed, cut (EditMGT 3.2, B.2)."""

from __future__ import annotations

from a2cli.localize.filters import smooth
from a2cli.localize.heads import read_choice, show_choice
from a2cli.localize.interpolate import smooth_by_interpolation, upsample
from a2cli.localize.keywords import find_keyword, get_token_rows, is_about_all
from a2cli.localize.maps import AttentionRecorder, HeadMaps, Layout, RecordPlan, choose_blocks
from a2cli.localize.threshold import (
    FoundRegion,
    choose_threshold,
    find_region,
    get_region,
    is_diffuse,
    scale_map,
)

__all__ = [
    "AttentionRecorder",
    "FoundRegion",
    "HeadMaps",
    "Layout",
    "RecordPlan",
    "choose_blocks",
    "choose_threshold",
    "find_keyword",
    "find_region",
    "get_region",
    "get_token_rows",
    "is_about_all",
    "is_diffuse",
    "read_choice",
    "scale_map",
    "show_choice",
    "smooth",
    "smooth_by_interpolation",
    "upsample",
]
