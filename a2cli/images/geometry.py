"""Where a working rectangle lies in a photo, and how its pixels travel there and back.

One copy of the arithmetic: synthesis, training and editing all come through here. Pure functions of arrays,
no file and no model. A box is (x0, y0, x1, y1), half open; sizes are (height, width).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from a2cli.errors import DataError

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Crop:
    """A rectangle of a photo, in source pixels, and the size (h, w) it is worked on at.

    `top`, `left` may be negative and the rectangle may reach past the far borders; sides >= 1. Raises DataError
    for sides below 1, and for aspects that differ by more than a pixel: a crop never distorts.
    """

    top: int
    left: int
    height: int
    width: int
    out: tuple[int, int]

    def __post_init__(self) -> None:
        sides = f"{self.height} x {self.width} to {self.out[0]} x {self.out[1]}"
        if min(self.height, self.width, *self.out) < 1:
            raise DataError(f"a crop needs positive sides and a working size, got {sides}")
        if abs(self.height * self.out[1] - self.width * self.out[0]) > max(self.out):
            raise DataError(f"a crop keeps its aspect, got {sides}")

    @property
    def scale(self) -> float:
        """Working pixels per source pixel."""
        return max(self.out) / max(self.height, self.width)

    def get_inside(self, size: tuple[int, int]) -> Box:
        """The part of the rectangle that lies on a photo of `size` (H, W); empty when x1 <= x0 or y1 <= y0."""
        height, width = size
        return (
            min(max(self.left, 0), width),
            min(max(self.top, 0), height),
            max(min(self.left + self.width, width), 0),
            max(min(self.top + self.height, height), 0),
        )


def get_bounding_box(mask: np.ndarray) -> Box | None:
    """Smallest box that holds every non-zero pixel of a (H, W) mask; None for an empty one."""
    marked = mask > 0
    columns = np.flatnonzero(marked.any(axis=0))
    if columns.size == 0:
        return None
    rows = np.flatnonzero(marked.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def get_zoom_crop(
    mask: np.ndarray, *, size: int | tuple[int, int], context: float = 1.6, min_side: int = 16
) -> Crop:
    """The rectangle to work on: `context` times the mask's box along the side that needs most, centred on it.

    mask (H, W), bool or float, non-zero = edit. size: the working size (h, w), or the side of a square; the
    rectangle has its aspect, to half a pixel. Its sides are at least `min_side` (a one-pixel mask still sees its
    surroundings) and no larger than it takes to cover the photo. It is shifted into the photo along an axis where it
    fits, and covers the photo along one where it does not. Raises DataError for an empty mask.
    """
    out = (size, size) if isinstance(size, int) else size
    box = get_bounding_box(mask)
    if box is None:
        raise DataError("the mask marks nothing, so there is no place to zoom to")
    x0, y0, x1, y1 = box
    height, width = mask.shape[:2]
    needed = [max(math.ceil(side * context), min_side, side) for side in (y1 - y0, x1 - x0)]
    # In source pixels a working pixel. The axis that decides comes out exact, the other as near as a pixel.
    step = max(needed[0] / out[0], needed[1] / out[1])
    step = min(step, max(height / out[0], width / out[1]))
    down, across = round(step * out[0]), round(step * out[1])
    return Crop(_place_side(y0, y1, down, height), _place_side(x0, x1, across, width), down, across, out)


def _place_side(start: int, stop: int, side: int, length: int) -> int:
    """Start of a segment of `side` centred on [start, stop), moved to overlap [0, length) if it can."""
    slack = length - side
    wanted = (start + stop - side) // 2
    return min(max(wanted, min(slack, 0)), max(slack, 0))


def crop_image(image: np.ndarray, crop: Crop) -> np.ndarray:
    """Cut the crop out of (H, W) or (H, W, C <= 4) and bring it to (h, w[, C]) as `out` says, dtype kept.

    Area averaging when shrinking, bicubic when enlarging; outside the photo its border pixels are repeated.
    """
    return _crop(image, crop, cv2.BORDER_REPLICATE)


def crop_mask(mask: np.ndarray, crop: Crop) -> np.ndarray:
    """Cut the crop out of a (H, W) mask, bool or float in [0, 1] -> (h, w) float32 in [0, 1].

    Outside the photo nothing is marked.
    """
    return np.clip(_crop(mask.astype(np.float32), crop, cv2.BORDER_CONSTANT), 0.0, 1.0)


def _crop(image: np.ndarray, crop: Crop, border: int) -> np.ndarray:
    x0, y0, x1, y1 = crop.get_inside((image.shape[0], image.shape[1]))
    if x1 <= x0 or y1 <= y0:
        raise DataError("the crop lies wholly outside the photo")
    inside = image[y0:y1, x0:x1]
    before = (y0 - crop.top, x0 - crop.left)
    after = (crop.top + crop.height - y1, crop.left + crop.width - x1)
    if not any(before + after):
        return resize(inside, crop.out)
    # One axis after the other, the longer first: a 1 x 60,000 photo never becomes 60,000 x 60,000.
    for axis in (0, 1) if inside.shape[0] >= inside.shape[1] else (1, 0):
        pad = [0, 0, 0, 0]
        pad[2 * axis : 2 * axis + 2] = before[axis], after[axis]
        padded = cv2.copyMakeBorder(inside, pad[0], pad[1], pad[2], pad[3], border, value=0)
        height, width = padded.shape[:2]
        inside = padded.reshape((height, width, *image.shape[2:]))
        inside = resize(inside, (crop.out[0], width) if axis == 0 else (height, crop.out[1]))
    return inside


def paste_back(image: np.ndarray, patch: np.ndarray, crop: Crop) -> np.ndarray:
    """A copy of `image` in which the crop's place shows `patch`; everything else is untouched.

    image (H, W[, C]); patch (h, w[, C]), any size, same channels. The result has the dtype of `image`: a
    float patch is rounded and clipped for an integer image. Parts of the crop outside the photo are dropped.
    """
    result = image.copy()
    x0, y0, x1, y1 = crop.get_inside((image.shape[0], image.shape[1]))
    if x1 <= x0 or y1 <= y0:
        return result
    starts, stops = (y0 - crop.top, x0 - crop.left), (y1 - crop.top, x1 - crop.left)
    resized = patch
    # The axis of which less is kept comes first, for the same reason as in _crop.
    for axis in (0, 1) if y1 - y0 <= x1 - x0 else (1, 0):
        shape = list(resized.shape[:2])
        shape[axis] = (crop.height, crop.width)[axis]
        window = slice(starts[axis], stops[axis])
        resized = resize(resized, (shape[0], shape[1]))
        resized = resized[window] if axis == 0 else resized[:, window]
    if np.issubdtype(image.dtype, np.integer) and not np.issubdtype(resized.dtype, np.integer):
        top = np.iinfo(image.dtype).max
        resized = np.clip(np.rint(resized), 0, top)
    result[y0:y1, x0:x1] = resized.astype(image.dtype)
    return result


def get_rescaling(small: tuple[int, ...], large: tuple[int, ...]) -> np.ndarray:
    """Matrix (3, 3) from pixel centres of a resized picture to those of the original; sizes (h, w)."""
    down, across = large[0] / small[0], large[1] / small[1]
    return np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W) or (H, W, C <= 4) to `size` (H, W): area averaging to shrink, bicubic to enlarge.

    uint8, uint16 or float32, dtype kept. Bicubic overshoots a little in float images.
    """
    height, width = size
    old_height, old_width = image.shape[:2]
    if (height, width) == (old_height, old_width):
        return np.ascontiguousarray(image)
    if (height < old_height) != (width < old_width) and height != old_height and width != old_width:
        image = resize(
            image, (min(height, old_height), min(width, old_width))
        )  # shrink one axis, then enlarge
        return resize(image, size)
    shrinking = height < old_height or width < old_width
    method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    resized = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method)
    return resized.reshape((height, width, *image.shape[2:]))


def resize_subject(rgb: np.ndarray, mask: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Resize a cut-out without its ground bleeding in.

    rgb (H, W, 3) uint8 and mask (H, W) -> float32 in [0, 255] and in [0, 1].
    Colours are averaged with the mask as their weight; where the mask is 0 the colour is 0.
    """
    weight = mask.astype(np.float32)
    layers = np.dstack([rgb.astype(np.float32) * weight[..., None], weight])
    return unmultiply(resize(layers, size))


def unmultiply(layers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 4) colour x mask and mask -> colour (H, W, 3) in [0, 255] and mask (H, W) in [0, 1], float32."""
    raw = layers[..., 3]
    solid = raw > 1.0 / 512.0
    # Divided by the weight before it is clipped: where bicubic overshoots, colour and weight overshoot alike.
    colour = np.clip(layers[..., :3] / np.where(solid, raw, 1.0)[..., None], 0.0, 255.0) * solid[..., None]
    return colour.astype(np.float32), (np.clip(raw, 0.0, 1.0) * solid).astype(np.float32)


def get_blend_weight(mask: np.ndarray, feather: float) -> np.ndarray:
    """How much of the edit shows: (H, W) float32, 1 under the mask, exactly 0 from `feather` px on.

    mask (H, W), bool or float in [0, 1]; feather >= 0 in pixels, measured from the nearest fully marked pixel
    (value 1), smoothstep in between. A soft mask keeps its own softness: the weight is never below the mask.
    """
    if feather < 0:
        raise DataError(f"the feather must not be negative, got {feather}")
    weight = np.clip(mask.astype(np.float32), 0.0, 1.0)
    core = weight >= 1.0
    box = get_bounding_box(core)
    if feather == 0 or box is None:
        return weight
    reach = math.ceil(feather)
    window = (
        slice(max(box[1] - reach, 0), box[3] + reach),
        slice(max(box[0] - reach, 0), box[2] + reach),
    )
    outside = np.logical_not(core[window]).astype(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    nearness = np.clip(1.0 - distance / feather, 0.0, 1.0)
    falling = nearness * nearness * (3.0 - 2.0 * nearness)
    weight[window] = np.maximum(weight[window], falling)
    return weight
