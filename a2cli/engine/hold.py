"""Region hold: inside a coarse mask, what the edit does not need goes back to the photo (EditMGT, section 3.2).

Their held token is flipped back at every step. Here it leaves the target pass for good and joins the context as a
visible token of the source, so that it costs nothing any more and the rest is painted in its presence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from a2cli.context.passes import Condition
from a2cli.context.recording import recording
from a2cli.engine.figure import find_figure, get_size
from a2cli.engine.localize import Seeker, get_blocks
from a2cli.engine.prepare import Prepared
from a2cli.engine.sampling import EditOptions, Walk
from a2cli.errors import BackboneError, DataError
from a2cli.images.geometry import paste_back
from a2cli.localize.keywords import find_keyword
from a2cli.localize.maps import AttentionRecorder, Layout, RecordPlan
from a2cli.localize.threshold import choose_threshold, scale_map
from a2cli.masks.morph import dilate_disc

if TYPE_CHECKING:
    from a2cli.engine.pipeline import EditPipeline

RIM = 0.02  # of the mask's size that a figure grows before its outline counts: the root of its box's area
LEAST_LEFT = 0.04  # share of the masked tokens that must go back early; fewer are not worth a context pass
PLACED = 0.3  # cover of the placed reference from which on a pixel belongs to it
SAME_THING = 0.7  # share of what the prompt names that must lie under the mask, else it is another thing
SOFTNESS = 0.7  # px: standard deviation of the kept region's rim at working size


@dataclass(frozen=True)
class Hold:
    """What region hold decided for one edit.

    `figure` (h, w) bool at working size: what stands under the mask in the photo; None where nothing does. `tokens`
    (rows, columns) bool: those painted to the end, `left` the number of those that went back early. Of what is painted
    only the two things show in the end, the old one and the new one. `reason`: why nothing is held, "" where it is.
    """

    figure: np.ndarray | None
    tokens: np.ndarray
    left: int = 0
    reason: str = ""

    @property
    def held(self) -> bool:
        return not self.reason


def walk_held(
    pipeline: EditPipeline, walk: Walk, prepared: Prepared, condition: Condition, options: EditOptions
) -> tuple[Prepared, Hold]:
    """Take the first steps, decide what is needed, and leave the walk with that alone: the smaller edit, the decision.

    With nothing to hold, prepared edit and walk are what they would have been without.
    """
    assert options.localize is not None
    token_px = pipeline.backbone.traits.token_px
    layout = Layout(condition.text.shape[1], int(condition.visible.sum()), condition.reference.shape[1])
    plan = RecordPlan(tuple(get_blocks(pipeline.backbone)), (), reference=True)
    recorder = AttentionRecorder(plan, layout)
    first = max(1, round(options.localize.hold_after * walk.num_steps))
    with recording(pipeline.two_pass, recorder):
        # The context was seen before the recorder came; shares of the target pass need none of its queries.
        walk.advance(min(first, walk.num_steps - 1))
    figure = find_figure(prepared.source, prepared.mask)
    named = _find_named(pipeline, prepared, options)
    if named is not None:
        figure = named if figure is None else figure | named
    drawing = None
    if walk.done and layout.reference:
        drawing = np.zeros(condition.grid, bool)
        drawing.ravel()[walk.region.cpu().numpy()] = get_drawing(recorder.get_reference_share())
    hold = choose_tokens(prepared, token_px, figure, drawing)
    if not hold.left:
        return prepared, hold
    smaller = narrow(prepared, hold.tokens)
    known = pipeline.build_condition(smaller, options.prompt)
    share = (hold.figure if hold.figure is not None else smaller.mask) & smaller.mask
    inputs = pipeline.get_region_inputs(known, np.maximum(share, smaller.placed))
    walk.narrow(known, inputs)
    return smaller, hold


def get_drawing(share: torch.Tensor) -> np.ndarray:
    """Which target tokens draw on the reference, by their shares (B, M) of attention to it: (M,) bool, for all samples.

    Otsu's cut between those that do and those that do not; all where they are alike.
    """
    mean = share.float().mean(0).cpu().numpy()[None]
    scaled = scale_map(mean)
    drawing: np.ndarray = (scaled >= choose_threshold(scaled, "auto"))[0]
    return drawing if drawing.any() else np.ones_like(drawing)


def _find_named(pipeline: EditPipeline, prepared: Prepared, options: EditOptions) -> np.ndarray | None:
    """Where under the mask the thing is that the prompt names, (h, w) bool; None where it names none or another."""
    assert options.localize is not None
    if not options.prompt.strip() or (
        options.localize.keyword is None and find_keyword(options.prompt) is None
    ):
        return None
    try:
        seeker = Seeker(pipeline, options.prompt, replace(options.localize, way="auto"))
    except (BackboneError, DataError):  # words that are not told apart, or cut off; the photo itself must do
        if options.localize.keyword is not None:
            raise
        return None
    seen = seeker.look(prepared.source)
    inside = seen.region & prepared.mask
    return inside if not seen.reason and inside.sum() >= SAME_THING * seen.region.sum() else None


def choose_tokens(
    prepared: Prepared, token_px: int, figure: np.ndarray | None, drawing: np.ndarray | None
) -> Hold:
    """Decide which tokens of a coarse mask are still to be painted.

    Needed are those where the thing stands that has to go, `figure` (h, w) bool, those that draw on the reference,
    `drawing` (rows, columns) bool, and those on which it was placed, each with its neighbours. Where one of the two
    things is nowhere to be seen nothing is held.
    """
    masked = to_tokens(prepared.mask, token_px)
    if figure is None:
        return Hold(None, masked, reason="nothing stands out under the mask")
    coming = to_tokens(prepared.placed > PLACED, token_px)
    if drawing is not None:
        coming |= drawing
    if not (coming & masked).any():
        return Hold(figure, masked, reason="nothing shows where the reference goes")
    needed = to_tokens(figure, token_px) | coming
    kept = masked & (cv2.dilate((needed & masked).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    left = int(masked.sum() - kept.sum())
    if left < LEAST_LEFT * masked.sum():
        return Hold(figure, masked)
    return Hold(figure, kept, left)


def narrow(prepared: Prepared, tokens: np.ndarray) -> Prepared:
    """The same edit with a smaller hole, that of the kept `tokens` (rows, columns) bool; the rest shows the photo."""
    side = prepared.mask.shape[0] // tokens.shape[0]
    hole = prepared.mask & np.kron(tokens, np.ones((side, side), bool))
    masked = np.where(hole[..., None], prepared.masked, prepared.source)
    return replace(prepared, masked=masked, mask=hole, placed=prepared.placed * hole)


def get_kept_region(
    photo_size: tuple[int, int], prepared: Prepared, hold: Hold, decoded: Sequence[np.ndarray]
) -> np.ndarray:
    """How much of the edit shows at each pixel of the photo: (H, W) float32 in [0, 1], to be multiplied by the mask.

    `decoded` (h, w, 3) in [0, 255] are the finished pictures at working size. Kept is what stood there before and what
    stands there now, in any of them, and a rim; the ground in between is the photo's own. Where nothing stands out in
    a finished picture, all that was painted is kept.
    """
    kept = np.zeros(prepared.mask.shape, bool) if hold.figure is None else hold.figure & prepared.mask
    for picture in decoded:
        shown = np.where(prepared.mask[..., None], np.rint(picture), prepared.source).astype(np.uint8)
        now = find_figure(shown, prepared.mask)
        kept = np.logical_or(kept, prepared.mask if now is None else now)
    kept = dilate_disc(kept, RIM * get_size(prepared.mask)) & prepared.mask
    soft = cv2.GaussianBlur(kept.astype(np.float32), (0, 0), SOFTNESS)
    whole: np.ndarray = np.clip(paste_back(np.zeros(photo_size, np.float32), soft, prepared.crop), 0, 1)
    whole[whole < 1 / 255] = 0  # bicubic ringing: what cannot be seen is left alone
    return whole


def to_tokens(mask: np.ndarray, token_px: int) -> np.ndarray:
    """The tokens that hold any marked pixel: (h, w) bool -> (h / token_px, w / token_px) bool."""
    rows, columns = (side // token_px for side in mask.shape)
    return np.asarray(mask.reshape(rows, token_px, columns, token_px).any(axis=(1, 3)))
