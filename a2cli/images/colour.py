"""Between a file's own colours and the sRGB a model sees: ICC profiles, CMYK, Lab, grey, 16 bits."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from a2cli.images.photo import LAYOUTS, to_bytes8

INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
PROFILE_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # a profile made for another space is ignored
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow


def to_srgb(native: np.ndarray, mode: str, icc_profile: bytes | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Native samples of `mode` -> (H, W, 3) uint8 sRGB and (H, W) uint8 alpha or None.

    16-bit samples are scaled, not clipped. A profile that is damaged or of another colour space is ignored.
    """
    layout = LAYOUTS[mode]
    samples = to_bytes8(native)
    colour, alpha = (samples[..., :-1], samples[..., -1].copy()) if layout.alpha else (samples, None)
    bare = layout.pillow.removesuffix("A") if layout.alpha else layout.pillow
    if bare == "L":
        colour = colour.reshape(colour.shape[:2])
    transform = _get_transform(bare, icc_profile, to_model=True)
    if transform is None and bare == "RGB":
        return np.ascontiguousarray(colour), alpha
    if transform is None and bare == "L":
        return np.repeat(colour[..., None], 3, axis=2), alpha
    image = build_image(colour, bare)
    return np.array(_apply(image, transform) if transform is not None else image.convert("RGB")), alpha


def from_srgb(rgb: np.ndarray, mode: str, icc_profile: bytes | None) -> np.ndarray:
    """(H, W, 3) sRGB in [0, 255], uint8 or float32 -> colour samples of `mode`, without alpha.

    (H, W, colours) float32 in the units of the mode (up to 255 or 65535), unrounded unless a profile applies.
    """
    layout = LAYOUTS[mode]
    bare = layout.pillow.removesuffix("A") if layout.alpha else layout.pillow
    scale = layout.top / 255.0
    values = np.clip(rgb.astype(np.float32), 0.0, 255.0)
    transform = _get_transform(bare, icc_profile, to_model=False)
    if transform is None and bare == "RGB":
        return values * np.float32(scale)
    if transform is None and bare == "L":
        return (values @ LUMA)[..., None] * np.float32(scale)
    image = Image.fromarray(np.rint(values).astype(np.uint8))
    image = _apply(image, transform) if transform is not None else image.convert(bare)
    samples = get_samples(image).astype(np.float32)
    return samples.reshape((*values.shape[:2], layout.colours)) * np.float32(scale)


def _apply(image: Image.Image, transform: Any) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only an in-place transform returns None
    return converted


def build_image(samples: np.ndarray, mode: str) -> Image.Image:
    """8-bit samples of a Pillow mode -> a Pillow image (Lab: from zero at 128 to Pillow's signed bytes)."""
    if mode == "LAB":
        samples = samples ^ np.array([0, 128, 128], dtype=np.uint8)
    size = (samples.shape[1], samples.shape[0])
    return Image.frombytes(mode, size, np.ascontiguousarray(samples).tobytes())


def get_samples(image: Image.Image) -> np.ndarray:
    """A Pillow image's samples, copied (Lab: with 128 as the zero of a and b, so they can be blended)."""
    samples = np.array(image)
    return samples ^ np.array([0, 128, 128], dtype=np.uint8) if image.mode == "LAB" else samples


def is_srgb(icc_profile: bytes) -> bool:
    """Whether a profile calls itself sRGB: then no conversion is due, and none of its rounding."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        return ImageCms.getProfileDescription(profile).strip().lower().startswith("srgb")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False


def _get_transform(bare: str, icc_profile: bytes | None, *, to_model: bool) -> Any:
    """An lcms transform between `bare` (L, RGB, CMYK, LAB) and sRGB; None where plain arithmetic will do."""
    if bare == "LAB":
        own: Any = ImageCms.createProfile("LAB")
    elif icc_profile is None or bare not in PROFILE_SPACES or (bare == "RGB" and is_srgb(icc_profile)):
        return None
    else:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
            if own.profile.xcolor_space.strip() != PROFILE_SPACES[bare]:
                return None
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return None
    srgb = ImageCms.createProfile("sRGB")
    source, target, modes = (own, srgb, (bare, "RGB")) if to_model else (srgb, own, ("RGB", bare))
    try:
        return ImageCms.buildTransform(source, target, *modes, INTENT, FLAGS)
    except ImageCms.PyCMSError:
        return None
