"""Training the base to attend to the thing that a sentence names, alone or beside the velocity.

The map is that of EditMGT's equation 3, from one context pass over the whole photo: what an edit without a mask
reads later. The loss draws it to where the thing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from a2cli.context.layout import PATCH
from a2cli.context.processor import Pass
from a2cli.context.recording import recording
from a2cli.data.records import Pair
from a2cli.engine.localize import build_look, count_heads
from a2cli.engine.prepare import to_pixels
from a2cli.engine.words import get_text_reader
from a2cli.errors import ConfigError
from a2cli.localize.heads import Choice, read_choice, show_choice
from a2cli.localize.maps import choose_heads
from a2cli.training.config import TrainConfig
from a2cli.training.looks import check_looks, has_look, make_look, mark_keyword
from a2cli.training.objectives.edit import EditObjective
from a2cli.training.processes import Processes
from a2cli.training.samples import collate

_STREAM = 31  # of the run's seed: which pairs are looked at, and what part of them
EPSILON = 1e-8


class TextRows:
    """Keeps the text's queries and all keys of some heads of the context pass, with their gradient.

    Rows may differ from sample to sample. Nothing is computed in between, so blocks may be run again for gradients.
    """

    def __init__(self, choice: Choice, text: int) -> None:
        self.choice, self.text = choice, text
        self.seen: list[tuple[Tensor, Tensor]] = []

    def record(self, name: str, which: Pass, query: Tensor, key: Tensor, key_mask: Tensor | None) -> None:
        """Keep one block's."""
        if which == "context" and name in self.choice:
            self.seen.append(choose_heads(query[:, : self.text], key, self.choice[name]))

    def get_map(self, rows: Tensor) -> Tensor:
        """Average the attention of the rows marked in `rows` (B, T) to what follows the text: (B, N) float32.

        Over heads and rows alike, of the softmax over all keys (EditMGT, eq. 3).
        """
        total: Tensor | float = 0.0
        heads = sum(query.shape[2] for query, _ in self.seen)
        with torch.autocast(rows.device.type, enabled=False):
            for query, key in self.seen:
                q, k = (tensor.float().transpose(1, 2) for tensor in (query, key))
                weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)[..., self.text :]  # (B, heads, T, N)
                total = total + weights.sum(1) / heads
            return (total * rows[..., None]).sum(1) / rows.sum(1, keepdim=True)


def grounding_loss(attention: Tensor, cover: Tensor) -> Tensor:
    """Get the divergence of attention from where a thing is, KL(cover || attention), a mean over the batch.

    attention, cover (B, N), 0 or more; each is scaled to a sum of 1. 0 where they agree.
    """
    wanted, found = (x / x.sum(1, keepdim=True).clamp_min(EPSILON) for x in (cover, attention))
    return (wanted * ((wanted + EPSILON).log() - (found + EPSILON).log())).sum(1).mean()


class GroundedObjective(EditObjective):
    """The base shown where named things are, and, with `loss.flow`, how to edit."""

    def __init__(self, config: TrainConfig, *, half: bool = False) -> None:
        super().__init__(config, half=half)
        assert config.grounding is not None
        self.share = config.grounding.share
        self.reader = get_text_reader(self.backbone)
        self.choice = self._choose_blocks(config.grounding.blocks)
        self.backbone.traits = replace(self.backbone.traits, localize_blocks=show_choice(self.choice))

    def _choose_blocks(self, asked: tuple[str, ...]) -> Choice:
        counts, own = count_heads(self.backbone), self.backbone.traits.localize_blocks
        if not asked and not own:
            raise ConfigError(
                "grounding.blocks: name some, the model has no localize_blocks",
                hint=f"such as {list(counts)[-1]}",
            )
        return read_choice(asked or own, counts, "grounding.blocks" if asked else "traits.localize_blocks")

    def place(self, processes: Processes) -> None:
        """Move what is not trained to the device; raises `DataError` where there is no photo to attend to."""
        check_looks(self.source)
        super().place(processes)

    def make_batch(self, step: int, samples: Sequence[int]) -> dict[str, Any]:
        """Prepared edits, where the velocity is learned, and `looks` at the photos of instruction pairs."""
        pairs = [self.source.get_pair(sample) for sample in samples]
        looks = [self._look(pair, sample) for pair, sample in zip(pairs, samples, strict=True)]
        seen = [look for look in looks if look is not None]
        batch = self.prepare(step, samples, pairs) if self.config.loss.flow else {}
        return {**batch, "looks": collate(seen) if seen else {}}

    def _look(self, pair: Pair, sample: int) -> dict[str, Any] | None:
        """A look at a pair's photo and the rows of its keyword; None where there is no such thing to be seen."""
        rng = np.random.default_rng([self.config.seed, _STREAM, sample])
        if not has_look(pair) or rng.random() >= self.share:
            return None
        data = self.config.data
        look = make_look(pair, data.resolution, self.backbone.traits.token_px, data.zoom, rng)
        rows = mark_keyword(pair, self.reader)
        return {**look, "rows": rows} if rows.any() and look["cover"].any() else None

    def count(self, batch: dict[str, Any]) -> float:
        """As for edits; without them nothing is a mean over a whole step."""
        return super().count(batch) if self.config.loss.flow else 1.0

    def loss(
        self, batch: dict[str, Any], total: float, seeds: Sequence[int]
    ) -> tuple[Tensor, dict[str, float]]:
        """The velocity's error and the attention's, each with its weight; nothing to look at counts as 0."""
        weights = self.config.loss
        loss, figures = next(p for _, p in self.named_parameters()).sum() * 0, dict[str, float]()
        if weights.flow:
            error, figures = super().loss(batch, total, seeds)
            loss = loss + weights.flow * error
        term, hits = torch.zeros((), device=self.device), 0.0
        if batch["looks"]:
            cover = F.avg_pool2d(batch["looks"]["cover"].to(self.device), PATCH).flatten(1)
            attention = self.attend(batch["looks"])
            term = grounding_loss(attention, cover)
            hits = (cover.gather(1, attention.argmax(1, keepdim=True)) > 0.2).float().mean().item()
            loss = loss + weights.grounding * term
        return loss, {**figures, "grounding": term.item(), "pointed": hits}

    def attend(self, looks: dict[str, Any]) -> Tensor:
        """Run the context pass over whole photos; the attention of their keywords to the photo's tokens, (B, N)."""
        backbone = self.backbone
        pixels = to_pixels(looks["photo"].to(self.device, non_blocking=True))
        with torch.no_grad():
            tokens = backbone.encode_pixels(pixels).float()
        text, pooled = self.reader.encode(looks["sentence"])
        side = looks["photo"].shape[1] // backbone.traits.token_px
        with recording(self.two_pass, TextRows(self.choice, text.shape[1])) as recorder:
            look = build_look(backbone.transformer, tokens, text, pooled, (side, side))
            self.two_pass.encode_context(look)
        return recorder.get_map(looks["rows"].to(self.device))
