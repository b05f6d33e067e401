"""Attention of chosen rows, summed while a model runs: where in the picture a word or a reference is (EditMGT 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from a2cli.localize.heads import Choice

Source = Literal["text", "reference"]
Pass = Literal["context", "target"]

_SHARE = "share"  # of the target's attention that goes to the reference
_CHUNK = 2**24  # attention weights held at a time
_COHERENT = (28 / 42, 37 / 42)  # of the depth: the blocks the paper takes, 28 through 36 of 42


@dataclass(frozen=True)
class Layout:
    """How many tokens of each kind the context holds, in the sequence's order."""

    text: int
    photo: int
    reference: int

    @property
    def length(self) -> int:
        return self.text + self.photo + self.reference


@dataclass(frozen=True)
class RecordPlan:
    """Which rows of which heads of which blocks are looked at.

    `text_rows` are token rows of the prompt, the same for a whole batch; with `reference` every row of the reference is
    recorded too, which costs what attention itself costs. `heads` names those of a block that count, None and a block
    that is not in it stand for all.
    """

    blocks: tuple[str, ...]
    text_rows: tuple[int, ...]
    reference: bool = False
    heads: Choice = field(default_factory=dict)


class AttentionRecorder:
    """Sums the attention that chosen rows give to the picture's tokens; changes nothing of what it sees.

    Rows, heads and steps weigh the same (EditMGT eq. 3): a block weighs by the number of its heads that count. Weights
    are softmax rows over all keys of the pass, in float32 on the model's device; only the chosen rows and heads are
    ever computed. Gradients flow where they are enabled, but not through gradient checkpointing, which records its
    first run only.
    """

    def __init__(self, plan: RecordPlan, layout: Layout) -> None:
        self.plan, self.layout = plan, layout
        wrong = [row for row in plan.text_rows if not 0 <= row < layout.text]
        if wrong:
            raise ValueError(f"row {wrong[0]} is none of the text's {layout.text}")
        self._kept: dict[tuple[str, str], Tensor] = {}  # source, block -> queries (B, r, heads, head_dim)
        # source, pass, block -> sum over heads and steps, and how many they were
        self._sums: dict[tuple[str, str, str], tuple[Tensor, int]] = {}

    def record(self, name: str, which: Pass, query: Tensor, key: Tensor, key_mask: Tensor | None) -> None:
        """Look at one block, as `Recorder.record` of the two passes; a block out of plan costs nothing.

        Raises `ValueError` for a sequence that is not laid out as told, and where the target changes its tokens
        between steps: a smaller region takes another recorder.
        """
        if name not in self.plan.blocks:
            return
        self._check(which, query, key)
        query, key = choose_heads(query, key, self.plan.heads.get(name))
        columns = slice(self.layout.text, self.layout.text + self.layout.photo)
        if which == "context":
            self._keep(name, query)
        else:
            columns = slice(self.layout.length, None)
        with torch.autocast(query.device.type, enabled=False):
            for source in ("text", "reference"):
                rows = self._kept.get((source, name))
                if rows is None:
                    continue
                rows = rows.repeat_interleave(len(key) // len(rows), 0)  # as `ContextCache.repeat` does
                self._add((source, which, name), get_row_mean(rows, key, key_mask, columns), key.shape[2])
            if which == "target" and self.plan.reference:
                columns = slice(self.layout.text + self.layout.photo, self.layout.length)
                share = get_column_share(query, key, key_mask, columns)
                self._add((_SHARE, which, name), share, key.shape[2])

    def get_map(self, source: Source, which: Pass, blocks: Sequence[str] | None = None) -> Tensor:
        """Mean of what was recorded: (B, V) over the photo's tokens or (B, M) over the target's, float32.

        Queries of the context stand in for their rows in the target pass: it is what those rows would give. `blocks`
        takes some of the plan's. Raises `ValueError` where nothing was recorded.
        """
        return self._mean(source, which, blocks)

    def get_reference_share(self) -> Tensor:
        """Share in [0, 1] of each target token's attention that goes to the reference: (B, M) float32."""
        return self._mean(_SHARE, "target", None)

    def _mean(self, source: str, which: str, blocks: Sequence[str] | None) -> Tensor:
        wanted = self.plan.blocks if blocks is None else blocks
        found = [self._sums[source, which, name] for name in wanted if (source, which, name) in self._sums]
        if not found:
            raise ValueError(f"no {source} attention of a {which} pass was recorded in {', '.join(wanted)}")
        return torch.stack([total for total, _ in found]).sum(0) / sum(count for _, count in found)

    def _add(self, at: tuple[str, str, str], mean: Tensor, heads: int) -> None:
        """Add the mean over some heads to what is known, so that every head weighs the same."""
        total, count = self._sums.get(at, (torch.zeros_like(mean), 0))
        if total.shape != mean.shape:
            raise ValueError(f"{at[2]}: {tuple(mean.shape)} tokens after {tuple(total.shape)}")
        self._sums[at] = total + heads * mean, count + heads

    def _keep(self, name: str, query: Tensor) -> None:
        if self.plan.text_rows:
            self._kept["text", name] = query[:, list(self.plan.text_rows)]
        if self.plan.reference:  # a copy: a view would hold all queries
            self._kept["reference", name] = query[:, self.layout.text + self.layout.photo :].clone()

    def _check(self, which: Pass, query: Tensor, key: Tensor) -> None:
        known = query.shape[1] if which == "context" else key.shape[1] - query.shape[1]
        if known != self.layout.length:
            raise ValueError(f"the context has {known} tokens, the recorder was told {self.layout}")


class HeadMaps:
    """Keeps the attention of some rows of the text to the photo for every head of every block apart, in a context pass.

    `maps[block]` is (B, heads, V) float32, a mean over the rows. Over heads too it is `AttentionRecorder`'s map.
    """

    def __init__(self, text_rows: Sequence[int], layout: Layout) -> None:
        self.rows, self.layout = list(text_rows), layout
        self.maps: dict[str, Tensor] = {}

    def record(self, name: str, which: Pass, query: Tensor, key: Tensor, key_mask: Tensor | None) -> None:
        """Look at one block, as `Recorder.record` of the two passes."""
        if which == "target":
            return
        columns = slice(self.layout.text, self.layout.text + self.layout.photo)
        with torch.autocast(query.device.type, enabled=False):
            self.maps[name] = get_head_means(query[:, self.rows], key, key_mask, columns)


def choose_heads(query: Tensor, key: Tensor, heads: Sequence[int] | None) -> tuple[Tensor, Tensor]:
    """Queries and keys (B, n, heads, d) of some heads; None: of all."""
    if heads is None:
        return query, key
    chosen = list(heads)
    return query[:, :, chosen], key[:, :, chosen]


def choose_blocks(names: Sequence[str]) -> tuple[str, ...]:
    """Those of a model's blocks, in execution order, whose attention is the most coherent; one at least.

    Between two thirds and 0.88 of the depth: the paper's blocks 28 through 36, both included, of 42, counted from 0.
    """
    first, last = (round(share * len(names)) for share in _COHERENT)
    first = min(first, len(names) - 1)
    return tuple(names[first : max(last, first + 1)])


def get_row_mean(query: Tensor, key: Tensor, key_mask: Tensor | None, columns: slice) -> Tensor:
    """Mean over rows and heads of the attention to some columns: (B, r, heads, d), (B, K, heads, d) -> (B, n).

    The softmax goes over all K keys that `key_mask` (B, K) allows. `query` has one row at least.
    """
    parts = [attention[..., columns].sum((1, 2)) for attention in _attend(query, key, key_mask)]
    return torch.stack(parts).sum(0) / (query.shape[1] * query.shape[2])


def get_head_means(query: Tensor, key: Tensor, key_mask: Tensor | None, columns: slice) -> Tensor:
    """Mean over rows alone of the attention to some columns: (B, r, heads, d), (B, K, heads, d) -> (B, heads, n)."""
    parts = [attention[..., columns].sum(2) for attention in _attend(query, key, key_mask)]
    return torch.stack(parts).sum(0) / query.shape[1]


def get_column_share(query: Tensor, key: Tensor, key_mask: Tensor | None, columns: slice) -> Tensor:
    """Share of every query's attention that goes to some columns, mean over heads: (B, Q)."""
    return torch.cat([a[..., columns].sum(-1).mean(1) for a in _attend(query, key, key_mask)], 1)


def _attend(query: Tensor, key: Tensor, key_mask: Tensor | None) -> Iterator[Tensor]:
    """Softmax rows (B, heads, rows, K) in float32, a chunk of rows at a time."""
    keys, queries = key.float(), query.float() * query.shape[-1] ** -0.5
    batch, length, heads, _ = keys.shape
    step = max(1, _CHUNK // (batch * heads * length))
    barred = None if key_mask is None else ~key_mask[:, None, None, :]
    for start in range(0, query.shape[1], step):
        rows = queries[:, start : start + step]
        # Sample by sample: a product over samples and heads at once would copy the keys of all.
        logits = torch.stack(
            [q.transpose(0, 1) @ k.permute(1, 2, 0) for q, k in zip(rows, keys, strict=True)]
        )
        if barred is not None:
            logits = logits.masked_fill(barred, -torch.inf)
        yield logits.softmax(-1)
