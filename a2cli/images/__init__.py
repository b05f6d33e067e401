"""Pictures: the only place that opens or saves them, and the one copy of the geometry they pass through."""

from __future__ import annotations

from a2cli.images.align import find_rotation, paste_scaled, place_reference
from a2cli.images.cutout import Cutout, crop_to_subject, cut_out
from a2cli.images.geometry import (
    Crop,
    crop_image,
    crop_mask,
    get_blend_weight,
    get_bounding_box,
    get_zoom_crop,
    paste_back,
    resize,
    resize_subject,
)
from a2cli.images.photo import Photo
from a2cli.images.read import FORMATS, open_photo
from a2cli.images.write import (
    build_photo,
    compose,
    encode_png,
    get_output_format,
    save_image,
    save_mask,
    save_photo,
)

__all__ = [
    "FORMATS",
    "Crop",
    "Cutout",
    "Photo",
    "build_photo",
    "compose",
    "crop_image",
    "crop_mask",
    "crop_to_subject",
    "cut_out",
    "encode_png",
    "find_rotation",
    "get_blend_weight",
    "get_bounding_box",
    "get_output_format",
    "get_zoom_crop",
    "open_photo",
    "paste_back",
    "paste_scaled",
    "place_reference",
    "resize",
    "resize_subject",
    "save_image",
    "save_mask",
    "save_photo",
]
