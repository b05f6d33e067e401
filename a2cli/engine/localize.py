"""Where in a photo a prompt's edit goes, without a mask: attention of its words, or a trained predictor.

EditMGT, section 3.2 and appendix B.2: attention rows of the keyword, averaged over coherent blocks, smoothed, cut at a
threshold. "Edit Where You Mean", section 3.6: a head that predicts the mask. Experts and low-rank adapters look away
(`adapters.bare`): attention is read from the backbone as it was trained to find things.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from a2cli.config.localize import LocalizeOptions
from a2cli.config.suggest import get_suggestion
from a2cli.context.passes import Condition
from a2cli.context.recording import recording
from a2cli.data.order import choose_bucket, get_buckets
from a2cli.engine.adapters import bare
from a2cli.engine.figure import get_size
from a2cli.engine.prepare import choose_size, to_pixels
from a2cli.engine.words import find_words, get_rows, get_text_reader
from a2cli.errors import BackboneError
from a2cli.images.geometry import crop_image, get_zoom_crop, paste_back, resize
from a2cli.localize.filters import smooth
from a2cli.localize.interpolate import upsample
from a2cli.localize.maps import AttentionRecorder, Layout, RecordPlan, choose_blocks
from a2cli.localize.threshold import Trouble, find_region, get_region, is_diffuse, scale_map
from a2cli.masks.morph import dilate_disc

if TYPE_CHECKING:
    from a2cli.engine.pipeline import EditPipeline

Found = Literal["attention", "predictor"]
CONTEXT = 1.6  # side of the second look over the found region's
SMALL = 0.25  # share of the photo below which a region is looked at again
PREDICTED = 0.5  # probability from which on a pixel is predicted to change
LONGEST = 8.0  # aspect up to which a photo keeps its own
_REASONS: dict[Trouble, str] = {
    "": "",
    "not finite": "the attention is not finite",
    "flat": "the attention is the same everywhere",
    "nothing above the threshold": "nothing reaches the threshold",
}
_TOO_SMALL = "what reaches the threshold is smaller than a pixel of the photo"


@dataclass(frozen=True)
class Localization:
    """Where an edit goes, at the photo's size.

    `soft` (H, W) float32 in [0, 1], `region` (H, W) bool where it reaches `threshold`, `mask` (H, W) bool the region
    grown a little, which is what is edited. `way` found it, by the attention of `blocks` to `keyword` or by the
    predictor. `diffuse`: the region means nothing, the prompt is one about the whole picture; `reason` says why.
    """

    soft: np.ndarray
    region: np.ndarray
    mask: np.ndarray
    way: Found
    keyword: str
    threshold: float
    blocks: tuple[str, ...]
    diffuse: bool
    reason: str = ""

    @property
    def share(self) -> float:
        """Of the photo that is edited."""
        return float(self.mask.mean())


@dataclass(frozen=True)
class Look:
    """One look at a picture at working size: `soft` (h, w) in [0, 1], `region` bool; `reason` why it names no place."""

    soft: np.ndarray
    region: np.ndarray
    threshold: float
    reason: str = ""


@dataclass(frozen=True)
class Sight:
    """A photo looked over: `soft` (H, W) in [0, 1], `region` (H, W) bool, the look that decided, its photo px a px."""

    soft: np.ndarray
    region: np.ndarray
    look: Look
    scale: float


@torch.no_grad()
def localize(
    pipeline: EditPipeline,
    photo: np.ndarray,
    prompt: str,
    *,
    way: Literal["attention", "predictor", "auto"] | None = None,
    keyword: str | None = None,
    threshold: float | Literal["auto"] | None = None,
    options: LocalizeOptions | None = None,
) -> Localization:
    """Find what a prompt wants edited in a photo (H, W, 3) uint8.

    `way`, `keyword` and `threshold` stand in for those of `options`. "auto" takes the predictor where a region adapter
    brings one. A small region is looked at again from nearby (`options.refine`). Raises ConfigError for an empty
    prompt and a keyword that is not in it, DataError for attention to words behind what the model reads (a predictor
    takes what there is), BackboneError where the backbone or the adapter cannot do it.
    """
    options = options or LocalizeOptions()
    if way is not None:
        options = replace(options, way=way)
    if keyword is not None:
        options = replace(options, keyword=keyword)
    if threshold is not None:
        options = replace(options, threshold=threshold)
    seeker = Seeker(pipeline, prompt, options)
    traits = pipeline.backbone.traits
    sight = look_over(seeker.look, photo, traits.resolution, traits.token_px, refine=options.refine)
    region, look = sight.region, sight.look
    reason = look.reason or ("" if region.any() else _TOO_SMALL)
    mask = grow(region, options.dilate, 0.5 * traits.token_px * sight.scale)
    return Localization(
        sight.soft,
        region,
        mask,
        way=seeker.way,
        keyword=seeker.keyword,
        threshold=look.threshold,
        blocks=seeker.blocks if seeker.way == "attention" else (),
        diffuse=bool(reason),
        reason=reason,
    )


def look_over(
    look: Callable[[np.ndarray], Look],
    photo: np.ndarray,
    resolution: int,
    token_px: int,
    *,
    refine: bool = True,
) -> Sight:
    """Look at a whole photo (H, W, 3), and with `refine` again from nearby at a region that is small in it.

    The second look stands for the first inside its crop, unless it sees nothing there or nothing finer.
    """
    size = (photo.shape[0], photo.shape[1])
    working = get_look_size(size, resolution, token_px)
    first = look(resize(photo, working))
    soft, region = (np.clip(resize(m.astype(np.float32), size), 0, 1) for m in (first.soft, first.region))
    sight = Sight(soft, region > 0.5, first, max(size) / max(working))
    if not refine or first.reason or not 0 < sight.region.mean() < SMALL:
        return sight
    crop = get_zoom_crop(sight.region, size=choose_size(sight.region, resolution, token_px), context=CONTEXT)
    if crop.scale * sight.scale <= 1:
        return sight
    closer = look(crop_image(photo, crop))
    there = paste_back(np.zeros(size, np.float32), closer.region.astype(np.float32), crop) > 0.5
    if closer.reason or not there.any():
        return sight
    return Sight(np.clip(paste_back(soft, closer.soft, crop), 0, 1), there, closer, 1 / crop.scale)


class Seeker:
    """Looks at pictures for what one prompt names. Raises as `localize` does."""

    def __init__(self, pipeline: EditPipeline, prompt: str, options: LocalizeOptions) -> None:
        self.pipeline, self.options = pipeline, options
        start, end = find_words(prompt, options.keyword)
        self.keyword = prompt[start:end]
        self.reader = get_text_reader(pipeline.backbone)
        self.way = choose_way(pipeline, options.way)
        self.rows = get_rows(self.reader, prompt, (start, end)) if self.way == "attention" else ()
        self.blocks = get_blocks(pipeline)
        self.text, self.pooled = self.reader.encode([prompt])

    def look(self, picture: np.ndarray) -> Look:
        """Look at a picture (h, w, 3) uint8 whose sides are multiples of the token's."""
        if self.way == "attention":
            return read_map(self.attend(picture), self.options, (picture.shape[0], picture.shape[1]))
        return self._predict(picture)

    def attend(self, picture: np.ndarray) -> np.ndarray:
        """Attention of the keyword to the picture's tokens: (rows, columns) float32 (EditMGT, eq. 3)."""
        attention = self.record(picture).get_map("text", "context")[0].cpu().numpy()
        if not np.isfinite(attention).all():
            raise BackboneError("the model's attention is NaN", hint="try --dtype float32")
        return attention.reshape(self._get_grid(picture))

    def record(self, picture: np.ndarray) -> AttentionRecorder:
        """Run one context pass over a picture that is all visible, without a reference, and look on."""
        transformer, grid = self.pipeline.backbone.transformer, self._get_grid(picture)
        condition = build_look(transformer, self._encode(picture), self.text, self.pooled, grid)
        layout = Layout(condition.text.shape[1], condition.masked.shape[1], 0)
        two_pass = self.pipeline.two_pass
        recorder = AttentionRecorder(RecordPlan(self.blocks, self.rows), layout)
        with bare(two_pass), recording(two_pass, recorder):
            two_pass.encode_context(condition)
        return recorder

    def _predict(self, picture: np.ndarray) -> Look:
        assert self.pipeline.region is not None and self.pipeline.region.predictor is not None
        tokens = self._encode(picture)
        logits = self.pipeline.region.predictor(tokens, self._get_grid(picture), self.text)
        likely = logits[0].float().sigmoid().cpu().numpy()
        soft = cv2.resize(likely, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        if not np.isfinite(soft).all():
            raise BackboneError("the mask predictor returned NaN", hint="try --dtype float32")
        threshold = PREDICTED if self.options.threshold == "auto" else self.options.threshold
        region = get_region(soft, threshold)
        reason = "" if region.any() else "nothing reaches the threshold"
        if not reason and self.options.threshold == "auto" and is_diffuse(soft, threshold=threshold):
            reason = "most of the picture is meant"
        return Look(soft, region, threshold, reason)

    def _encode(self, picture: np.ndarray) -> torch.Tensor:
        backbone = self.pipeline.backbone
        return backbone.encode_pixels(to_pixels(picture[None]).to(backbone.device))

    def _get_grid(self, picture: np.ndarray) -> tuple[int, int]:
        token_px = self.pipeline.backbone.traits.token_px
        return picture.shape[0] // token_px, picture.shape[1] // token_px


def build_look(
    transformer: Any, tokens: Tensor, text: Tensor, pooled: Tensor, grid: tuple[int, int]
) -> Condition:
    """Build the condition of a photo in which nothing is hidden, beside a text and no reference: training's look too.

    tokens (B, N, C) of the photo, text (B, T, J), pooled (B, Q), grid its rows and columns of tokens.
    """
    bits = transformer.config.in_channels - 2 * tokens.shape[-1]
    return Condition(
        masked=tokens,
        mask=tokens.new_zeros(*tokens.shape[:2], bits),
        visible=torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device),
        reference=tokens[:, :0],
        text=text,
        pooled=pooled,
        grid=grid,
        ref_grid=(0, 0),
    )


def read_map(attention: np.ndarray, options: LocalizeOptions, size: tuple[int, int]) -> Look:
    """From attention (rows, columns) to a region at `size` (h, w): smooth, interpolate, cut, drop specks."""
    if float(np.ptp(scale_map(attention))) == 0:
        return Look(np.zeros(size, np.float32), np.zeros(size, bool), math.inf, _REASONS["flat"])
    fine = upsample(smooth(attention, options.filter, options.strength), size, "cubic")
    found = find_region(np.clip(fine, 0, None), options.threshold)
    soft = np.nan_to_num(scale_map(np.clip(fine, 0, None)))
    reason = _REASONS[found.trouble]
    if not reason and options.threshold == "auto" and is_diffuse(soft, threshold=found.threshold):
        reason = "most of the picture is meant"
    return Look(soft, found.tokens, found.threshold, reason)


def choose_way(pipeline: EditPipeline, way: str) -> Found:
    """What "auto" means here; BackboneError for a predictor that is not there."""
    there = pipeline.region is not None and pipeline.region.predictor is not None
    if way == "predictor" and not there:
        raise BackboneError(
            "no adapter with a mask predictor is loaded",
            hint="give one with --adapter, or --localize attention",
        )
    return "predictor" if there and way != "attention" else "attention"


def get_blocks(pipeline: EditPipeline) -> tuple[str, ...]:
    """The blocks whose attention says best where a word is: the backbone's own choice, else by depth (EditMGT 3.2)."""
    names = [block.name for block in pipeline.backbone.get_blocks()]
    chosen = pipeline.backbone.traits.localize_blocks
    for name in chosen:
        if name not in names:
            raise BackboneError(
                f"traits.localize_blocks: there is no block {name!r}", hint=get_suggestion(name, names)
            )
    return chosen or choose_blocks(names)


def get_look_size(size: tuple[int, int], resolution: int, token_px: int) -> tuple[int, int]:
    """The working size (h, w) for a whole photo of `size` (H, W): about resolution^2 px, its aspect."""
    aspect = float(np.clip(size[1] / size[0], 1 / LONGEST, LONGEST))
    buckets = get_buckets(resolution, token_px, max(LONGEST, resolution / token_px))
    return buckets[choose_bucket(aspect, buckets)]


def grow(region: np.ndarray, share: float, least: float) -> np.ndarray:
    """Dilate a region (H, W) bool by a share of its size, at least by `least` px where it grows at all."""
    if share == 0 or not region.any():
        return region
    return dilate_disc(region, max(share * get_size(region), least))
