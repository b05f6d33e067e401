"""Where in a photo a prompt's edit goes, without a mask: attention of its words, or a trained predictor.

EditMGT, section 3.2 and appendix B.2: attention rows of the keyword, averaged over coherent blocks, smoothed, cut at a
threshold. "Edit Where You Mean", section 3.6: a head that predicts the mask. Experts and low-rank adapters look away
(`adapters.bare`): attention is read from the backbone as it was trained to find things.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from a2cli.backbones.base import Backbone
from a2cli.config.localize import LocalizeOptions
from a2cli.context.passes import Condition
from a2cli.context.processor import Recorder
from a2cli.context.recording import recording
from a2cli.engine.adapters import bare
from a2cli.engine.figure import get_size
from a2cli.engine.prepare import to_pixels
from a2cli.engine.sight import Look, look_over
from a2cli.engine.words import find_words, get_rows, get_text_reader
from a2cli.errors import BackboneError, ConfigError, DataError
from a2cli.localize.filters import smooth
from a2cli.localize.heads import Choice, read_choice, show_choice
from a2cli.localize.interpolate import upsample
from a2cli.localize.keywords import is_about_all
from a2cli.localize.maps import AttentionRecorder, Layout, RecordPlan, choose_blocks
from a2cli.localize.threshold import Trouble, find_region, get_region, is_diffuse, scale_map
from a2cli.masks.morph import dilate_disc

if TYPE_CHECKING:
    from a2cli.engine.pipeline import EditPipeline

R = TypeVar("R", bound=Recorder)
Found = Literal["attention", "predictor"]
PREDICTED = 0.5  # probability from which on a pixel is predicted to change
_REASONS: dict[Trouble, str] = {
    "": "",
    "not finite": "the attention is not finite",
    "flat": "the attention is the same everywhere",
    "nothing above the threshold": "nothing reaches the threshold",
}
_ALL = "the sentence is about the whole picture"
_TOO_SMALL = "what reaches the threshold is smaller than a pixel of the photo"


@dataclass(frozen=True)
class Localization:
    """Where an edit goes, at the photo's size.

    `soft` (H, W) float32 in [0, 1], `region` (H, W) bool where it reaches `threshold`, `mask` (H, W) bool the region
    grown a little, which is what is edited. `way` found it, by the attention of `blocks`, named as in the backbone's
    traits, to `keyword`, or by the predictor. `diffuse`: the region means nothing, the prompt is one about the whole
    picture; `reason` says why. `unread`: `keyword` lies behind what the predictor's text encoder reads.
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
    unread: bool = False

    @property
    def share(self) -> float:
        """Of the photo that is edited."""
        return float(self.mask.mean())


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
    brings one. A small region is looked at again from nearby (`options.refine`). A sentence about the whole picture is
    diffuse, and nothing is looked for, unless a keyword is given. Raises ConfigError for an empty
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
    if options.keyword is None and is_about_all(prompt):
        return _take_all(seeker, (photo.shape[0], photo.shape[1]))
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
        unread=not seeker.rows,
    )


def _take_all(seeker: Seeker, size: tuple[int, int]) -> Localization:
    """The whole picture, of (H, W) px, since the sentence asks for that."""
    everywhere = np.ones(size, bool)
    return Localization(
        everywhere.astype(np.float32),
        everywhere,
        everywhere,
        way=seeker.way,
        keyword=seeker.keyword,
        threshold=0.0,
        blocks=(),
        diffuse=True,
        reason=_ALL,
    )


class Seeker:
    """Looks at pictures for what one prompt names. Raises as `localize` does."""

    def __init__(self, pipeline: EditPipeline, prompt: str, options: LocalizeOptions) -> None:
        self.pipeline, self.options = pipeline, options
        start, end = find_words(prompt, options.keyword)
        self.keyword = prompt[start:end]
        self.reader = get_text_reader(pipeline.backbone)
        self.way = choose_way(pipeline, options.way)
        self.rows = self._find_rows(prompt, (start, end))
        self.choice = get_blocks(pipeline.backbone)
        self.text, self.pooled = self.reader.encode([prompt])

    @property
    def blocks(self) -> tuple[str, ...]:
        """Whose attention is read, as `Traits.localize_blocks` names them."""
        return show_choice(self.choice)

    def _find_rows(self, prompt: str, span: tuple[int, int]) -> tuple[int, ...]:
        """The keyword's rows; none where it lies behind what is read, with which a predictor makes do."""
        try:
            return get_rows(self.reader, prompt, span)
        except DataError:
            if self.way == "attention":
                raise
            return ()

    def look(self, picture: np.ndarray) -> Look:
        """Look at a picture (h, w, 3) uint8 whose sides are multiples of the token's."""
        if self.way == "attention":
            return read_map(self.attend(picture), self.options, (picture.shape[0], picture.shape[1]))
        return self._predict(picture)

    def attend(self, picture: np.ndarray) -> np.ndarray:
        """Attention of the keyword to the picture's tokens: (rows, columns) float32 (EditMGT, eq. 3)."""
        plan = RecordPlan(tuple(self.choice), self.rows, heads=self.choice)
        recorder = self.record(picture, AttentionRecorder(plan, self.get_layout(picture)))
        attention = recorder.get_map("text", "context")[0].cpu().numpy()
        if not np.isfinite(attention).all():
            raise BackboneError("the model's attention is NaN", hint="try --dtype float32")
        return attention.reshape(self._get_grid(picture))

    def record(self, picture: np.ndarray, recorder: R) -> R:
        """Run one context pass over a picture that is all visible, without a reference, and let `recorder` look on."""
        transformer, grid = self.pipeline.backbone.transformer, self._get_grid(picture)
        condition = build_look(transformer, self._encode(picture), self.text, self.pooled, grid)
        two_pass = self.pipeline.two_pass
        with bare(two_pass), recording(two_pass, recorder):
            two_pass.encode_context(condition)
        return recorder

    def get_layout(self, picture: np.ndarray) -> Layout:
        """How the sequence of a look at a picture is laid out."""
        rows, columns = self._get_grid(picture)
        return Layout(self.text.shape[1], rows * columns, 0)

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


def get_blocks(backbone: Backbone) -> Choice:
    """The blocks whose attention says best where a word is, and which of their heads.

    The backbone's own choice, else by depth and all heads (EditMGT 3.2). Raises BackboneError for what is not there.
    """
    counts, chosen = count_heads(backbone), backbone.traits.localize_blocks
    try:
        return read_choice(chosen or choose_blocks(list(counts)), counts, "traits.localize_blocks")
    except ConfigError as error:
        raise BackboneError(error.message, hint=error.hint) from error


def count_heads(backbone: Backbone) -> dict[str, int]:
    """How many heads of attention each block has, in execution order."""
    return {block.name: backbone.transformer.config.num_attention_heads for block in backbone.get_blocks()}


def grow(region: np.ndarray, share: float, least: float) -> np.ndarray:
    """Dilate a region (H, W) bool by a share of its size, at least by `least` px where it grows at all."""
    if share == 0 or not region.any():
        return region
    return dilate_disc(region, max(share * get_size(region), least))
