"""Recording attention of the two passes: right in every block, and without a trace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from a2cli.context import Condition, ContextCache, TwoPass, recording
from a2cli.localize import AttentionRecorder, Layout, RecordPlan

GRID = (6, 5)
BLOCKS = ("transformer_blocks.1", "single_transformer_blocks.0", "single_transformer_blocks.2")
ROWS = (1, 2)


class Notebook:
    """Keeps all queries and keys that a processor shows."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Tensor, Tensor, Tensor | None]] = []

    def record(self, name: str, which: Any, query: Tensor, key: Tensor, key_mask: Tensor | None) -> None:
        self.seen.append((name, which, query.clone(), key.clone(), key_mask))


@pytest.fixture(scope="module")
def transformer() -> torch.nn.Module:
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=24,
        out_channels=8,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=12,
        pooled_projection_dim=10,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    ).eval()


def get_condition(batch: int, *, same_mask: bool) -> Condition:
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    n = GRID[0] * GRID[1]
    visible = torch.rand(1 if same_mask else batch, n, generator=generator) > 0.3
    return Condition(
        masked=noise(batch, n, 8),
        mask=(~visible).float()[..., None].expand(batch, n, 8).clone(),
        visible=visible.expand(batch, n),
        reference=noise(batch, 9, 8),
        text=noise(batch, 4, 12),
        pooled=noise(batch, 10),
        grid=GRID,
        ref_grid=(3, 3),
    )


def run(two_pass: TwoPass, condition: Condition, *, full_grid: bool) -> tuple[ContextCache, list[Tensor]]:
    """Both passes, the target's at three noise levels."""
    region = None if full_grid else condition.get_region()
    noisy = torch.randn(*condition.masked.shape, generator=torch.Generator().manual_seed(2))
    noisy = noisy if region is None else noisy[:, region]
    cache = two_pass.encode_context(condition, full_grid=full_grid)
    return cache, [two_pass.predict_velocity(noisy, s, condition, cache, region) for s in (1.0, 0.6, 0.2)]


def attend(query: Tensor, key: Tensor, key_mask: Tensor | None) -> Tensor:
    logits = torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
    if key_mask is not None:
        logits = logits.masked_fill(~key_mask[:, None, None, :], -torch.inf)
    return logits.softmax(-1).mean(1)


@torch.no_grad()
@pytest.mark.parametrize("full_grid", [False, True], ids=["subset", "key mask"])
def test_recorded_rows_are_those_of_the_softmax(transformer: torch.nn.Module, full_grid: bool) -> None:
    condition = get_condition(2, same_mask=not full_grid)
    photo = GRID[0] * GRID[1] if full_grid else int(condition.visible[0].sum())
    layout, two_pass = Layout(4, photo, 9), TwoPass(transformer, guidance=30.0)
    with recording(two_pass, Notebook()) as notebook:
        run(two_pass, condition, full_grid=full_grid)
    with recording(two_pass, AttentionRecorder(RecordPlan(BLOCKS, ROWS, reference=True), layout)) as recorder:
        run(two_pass, condition, full_grid=full_grid)

    seen = [entry for entry in notebook.seen if entry[0] in BLOCKS]
    assert len(notebook.seen) == 4 * 5 and len(seen) == 4 * 3
    known = {name: query for name, which, query, _, _ in seen if which == "context"}
    context = [attend(query, key, mask) for _, which, query, key, mask in seen if which == "context"]
    ahead = [attend(known[name], key, mask) for name, which, _, key, mask in seen if which == "target"]
    own = [attend(query, key, mask) for _, which, query, key, mask in seen if which == "target"]
    seen_photo, to_reference = slice(4, 4 + photo), slice(4 + photo, layout.length)
    for found, expected in (
        (recorder.get_map("text", "context"), [a[:, ROWS, seen_photo].mean(1) for a in context]),
        (recorder.get_map("reference", "context"), [a[:, to_reference, seen_photo].mean(1) for a in context]),
        (recorder.get_map("text", "target"), [a[:, ROWS, layout.length :].mean(1) for a in ahead]),
        (
            recorder.get_map("reference", "target"),
            [a[:, to_reference, layout.length :].mean(1) for a in ahead],
        ),
        (recorder.get_reference_share(), [a[..., to_reference].sum(-1) for a in own]),
    ):
        torch.testing.assert_close(found, torch.stack(expected).mean(0), atol=1e-6, rtol=1e-4)
    if full_grid:
        assert float(recorder.get_map("text", "context")[~condition.visible].abs().sum()) == 0
        assert float(recorder.get_map("text", "target")[condition.visible].abs().sum()) == 0


@torch.no_grad()
def test_a_batch_is_its_samples(transformer: torch.nn.Module) -> None:
    condition = get_condition(3, same_mask=True)
    photo = int(condition.visible[0].sum())
    plan, two_pass = RecordPlan(BLOCKS, ROWS), TwoPass(transformer)
    with recording(two_pass, AttentionRecorder(plan, Layout(4, photo, 9))) as together:
        run(two_pass, condition, full_grid=False)
    names = ("masked", "mask", "visible", "reference", "text", "pooled")
    alone = replace(condition, **{name: getattr(condition, name)[1:2] for name in names})
    with recording(two_pass, AttentionRecorder(plan, Layout(4, photo, 9))) as single:
        two_pass.encode_context(alone)
    torch.testing.assert_close(together.get_map("text", "context")[1:2], single.get_map("text", "context"))
    maps = together.get_map("text", "context")
    assert not torch.allclose(maps[0], maps[1], rtol=1e-2)


@torch.no_grad()
def test_recording_changes_nothing(transformer: torch.nn.Module) -> None:
    condition, two_pass = get_condition(2, same_mask=True), TwoPass(transformer, guidance=30.0)
    photo = int(condition.visible[0].sum())
    cache, plain = run(two_pass, condition, full_grid=False)
    processors, state = dict(transformer.attn_processors), replace(two_pass.state)
    plan = RecordPlan(BLOCKS, ROWS, reference=True)
    with recording(two_pass, AttentionRecorder(plan, Layout(4, photo, 9))):
        recorded_cache, recorded = run(two_pass, condition, full_grid=False)
    assert all(torch.equal(a, b) for a, b in zip(plain, recorded, strict=True))
    assert all(torch.equal(cache.keys[n], recorded_cache.keys[n]) for n in cache.keys)
    assert transformer.attn_processors == processors and two_pass.state == state
    assert two_pass.state.recorder is None


def test_a_failure_leaves_nothing_behind(transformer: torch.nn.Module) -> None:
    condition, two_pass = get_condition(1, same_mask=True), TwoPass(transformer)
    processors, outer = dict(transformer.attn_processors), Notebook()
    wrong = AttentionRecorder(RecordPlan(BLOCKS, ROWS), Layout(4, 1, 1))
    with recording(two_pass, outer):
        with pytest.raises(ValueError, match="the recorder was told"), recording(two_pass, wrong):
            two_pass.encode_context(condition)
        assert two_pass.state.recorder is outer
    assert two_pass.state.recorder is None and two_pass.state.cache is None
    assert transformer.attn_processors == processors
