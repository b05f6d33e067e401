"""What the recorder adds up, against an explicit softmax over whole rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from a2cli.localize import AttentionRecorder, HeadMaps, Layout, RecordPlan, choose_blocks, maps

LAYOUT = Layout(text=4, photo=6, reference=3)
SEEN = slice(4, 10)
PLAN = RecordPlan(("a", "b"), (1, 3), reference=True)


def draw(rows: int, seed: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, rows, 3, 8, generator=torch.Generator().manual_seed(seed))


def attend(query: Tensor, key: Tensor, key_mask: Tensor | None = None) -> Tensor:
    """Attention (B, Q, K) by the book, a mean over heads."""
    logits = torch.einsum("bqhd,bkhd->bhqk", query.double(), key.double()) / 8**0.5
    if key_mask is not None:
        logits[~key_mask[:, None, None].expand_as(logits)] = -torch.inf
    weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return weights.mean(1)


def test_rows_blocks_and_steps_weigh_the_same() -> None:
    recorder = AttentionRecorder(PLAN, LAYOUT)
    expected = []
    for name in ("a", "b", "not in the plan"):
        query, key = draw(13, len(name)), draw(13, 10 + len(name))
        query, key = (t + ord(name[0]) / 100 for t in (query, key))
        recorder.record(name, "context", query, key, None)
        expected.append(attend(query, key))
    context = torch.stack(expected[:2]).mean(0)
    text, reference = recorder.get_map("text", "context"), recorder.get_map("reference", "context")
    torch.testing.assert_close(text.double(), context[:, [1, 3], SEEN].mean(1))
    torch.testing.assert_close(reference.double(), context[:, 10:, SEEN].mean(1))
    torch.testing.assert_close(
        recorder.get_map("text", "context", ("b",)).double(), expected[1][:, [1, 3], SEEN].mean(1)
    )
    assert text.dtype == reference.dtype == torch.float32
    recorder.record("a", "context", query, key, None)
    again = (expected[0] + expected[1] + expected[2])[:, [1, 3], SEEN].mean(1) / 3
    torch.testing.assert_close(recorder.get_map("text", "context").double(), again)


@pytest.mark.parametrize("chunk", [1, 50, 2**24])
def test_the_target_is_seen_by_the_contexts_rows(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "_CHUNK", chunk)
    recorder = AttentionRecorder(PLAN, LAYOUT)
    known, kept = draw(13, 1), draw(13, 2)
    mask = torch.rand(2, 18, generator=torch.Generator().manual_seed(3)) > 0.3
    mask[:, 0] = True
    recorder.record("a", "context", known, kept, mask[:, :13])
    rows, shares = [], []
    for step in range(3):
        query = draw(5, 20 + step)
        key = torch.cat([kept, draw(5, 30 + step)], 1)
        recorder.record("a", "target", query, key, mask)
        rows.append(attend(known, key, mask)[..., 13:])
        shares.append(attend(query, key, mask)[..., 10:13].sum(-1))
    average = torch.stack(rows).mean(0)
    torch.testing.assert_close(recorder.get_map("text", "target").double(), average[:, [1, 3]].mean(1))
    torch.testing.assert_close(recorder.get_map("reference", "target").double(), average[:, 10:].mean(1))
    torch.testing.assert_close(recorder.get_reference_share().double(), torch.stack(shares).mean(0))
    barred = ~mask[:, 13:]
    assert barred.any() and float(recorder.get_map("text", "target")[barred].sum()) == 0


def test_several_targets_of_one_context() -> None:
    recorder = AttentionRecorder(RecordPlan(("a",), (2,)), LAYOUT)
    known, kept = draw(13, 1), draw(13, 2)
    recorder.record("a", "context", known, kept, None)
    key = torch.cat([kept.repeat_interleave(3, 0), draw(5, 4, batch=6)], 1)
    recorder.record("a", "target", draw(5, 5, batch=6), key, None)
    expected = attend(known.repeat_interleave(3, 0), key)[:, 2, 13:]
    torch.testing.assert_close(recorder.get_map("text", "target").double(), expected)


def test_halves_are_softened_in_float32() -> None:
    recorder = AttentionRecorder(RecordPlan(("a",), (0, 1, 2, 3)), LAYOUT)
    query, key = 4 * draw(13, 1).bfloat16(), draw(13, 2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        recorder.record("a", "context", query, key, None)
    found = recorder.get_map("text", "context")
    torch.testing.assert_close(found.double(), attend(query, key)[:, :4, SEEN].mean(1))
    assert found.dtype == torch.float32


def test_gradients_flow_where_they_are_enabled() -> None:
    recorder = AttentionRecorder(RecordPlan(("a",), (1,)), LAYOUT)
    query = draw(13, 1).requires_grad_()
    recorder.record("a", "context", query, draw(13, 2), None)
    recorder.get_map("text", "context")[:, 2].log().sum().backward()
    assert query.grad is not None
    moved = query.grad.abs().sum((0, 2, 3)) > 0
    assert moved.tolist() == [row == 1 for row in range(13)]


def test_only_chosen_queries_are_kept() -> None:
    recorder = AttentionRecorder(PLAN, LAYOUT)
    recorder.record("a", "context", draw(13, 1), draw(13, 2), None)
    held = {at: tensor.untyped_storage().nbytes() for at, tensor in recorder._kept.items()}
    assert held == {("text", "a"): 2 * 2 * 24 * 4, ("reference", "a"): 2 * 3 * 24 * 4}


def test_the_targets_share_needs_no_context() -> None:
    recorder = AttentionRecorder(RecordPlan(("a",), (1,), reference=True), LAYOUT)
    query, key = draw(5, 3), draw(18, 4)
    recorder.record("a", "target", query, key, None)
    expected = attend(query, key)[..., 10:13].sum(-1)
    torch.testing.assert_close(recorder.get_reference_share().double(), expected)
    with pytest.raises(ValueError, match="no text attention of a target pass"):
        recorder.get_map("text", "target")


def test_heads_can_be_chosen_block_by_block() -> None:
    """Every chosen head weighs the same, in whichever block it is."""
    plan = RecordPlan(("a", "b", "c"), (0, 2), reference=True, heads={"a": (2, 0), "b": (1,), "c": None})
    recorder = AttentionRecorder(plan, LAYOUT)
    alone: dict[tuple[str, str, int], Tensor] = {}
    shares = []
    for number, (name, heads) in enumerate((("a", (2, 0)), ("b", (1,)), ("c", (0, 1, 2)))):
        query, key = draw(13, number), draw(13, 10 + number)
        recorder.record(name, "context", query, key, None)
        for head in heads:
            alone["context", name, head] = attend(query[:, :, [head]], key[:, :, [head]])[
                :, [0, 2], SEEN
            ].mean(1)
        for step in range(2):
            moving, more = draw(5, 20 + number + step), torch.cat([key, draw(5, 30 + number + step)], 1)
            recorder.record(name, "target", moving, more, None)
            for head in heads:
                seen = attend(query[:, :, [head]], more[:, :, [head]])[:, [0, 2], 13:].mean(1)
                alone["target", name, head] = alone.get(("target", name, head), torch.zeros(())) + seen / 2
                shares.append(attend(moving[:, :, [head]], more[:, :, [head]])[..., 10:13].sum(-1))
    for which in ("context", "target"):
        known = {at: row for at, row in alone.items() if at[0] == which}
        assert len(known) == 6
        found = recorder.get_map("text", which).double()  # type: ignore[arg-type]
        torch.testing.assert_close(found, sum(known.values()) / 6)
        part = recorder.get_map("text", which, ("a", "b")).double()  # type: ignore[arg-type]
        torch.testing.assert_close(part, sum(row for at, row in known.items() if at[1] != "c") / 3)
    torch.testing.assert_close(recorder.get_reference_share().double(), torch.stack(shares).mean(0))
    held = recorder._kept["text", "a"]
    assert held.shape == (2, 2, 2, 8)  # of two heads of three


def test_every_head_apart_is_the_recorders_mean() -> None:
    apart, together = HeadMaps((1, 3), LAYOUT), AttentionRecorder(RecordPlan(("a",), (1, 3)), LAYOUT)
    query, key = draw(13, 1), draw(13, 2)
    mask = torch.arange(13).expand(2, 13) != 5
    for recorder in (apart, together):
        recorder.record("a", "context", query, key, mask)
    apart.record("a", "target", draw(5, 3), torch.cat([key, draw(5, 4)], 1), None)
    found = apart.maps["a"]
    assert found.shape == (2, 3, 6) and float(found[..., 1].abs().max()) == 0
    for head in range(3):
        expected = attend(query[:, :, [head]], key[:, :, [head]], mask)[:, [1, 3], SEEN].mean(1)
        torch.testing.assert_close(found[:, head].double(), expected)
    torch.testing.assert_close(found.mean(1), together.get_map("text", "context"))


def test_a_target_of_another_size_takes_another_recorder() -> None:
    recorder = AttentionRecorder(RecordPlan(("a",), (1,)), LAYOUT)
    known, kept = draw(13, 1), draw(13, 2)
    recorder.record("a", "context", known, kept, None)
    recorder.record("a", "target", draw(5, 3), torch.cat([kept, draw(5, 4)], 1), None)
    with pytest.raises(ValueError, match=r"a: \(2, 4\) tokens after \(2, 5\)"):
        recorder.record("a", "target", draw(4, 3), torch.cat([kept, draw(4, 4)], 1), None)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="row 4 is none of the text's 4"):
        AttentionRecorder(RecordPlan(("a",), (4,)), LAYOUT)
    recorder = AttentionRecorder(RecordPlan(("a",), (0,)), LAYOUT)
    with pytest.raises(ValueError, match="12 tokens"):
        recorder.record("a", "context", draw(12, 1), draw(12, 2), None)
    with pytest.raises(ValueError, match="11 tokens"):
        recorder.record("a", "target", draw(2, 1), draw(13, 2), None)
    with pytest.raises(ValueError, match="no share attention"):
        recorder.get_reference_share()


def test_the_papers_blocks() -> None:
    names = [str(i) for i in range(42)]
    assert choose_blocks(names) == tuple(names[28:37])  # 36 is one of them
    assert choose_blocks(names[:8]) == ("5", "6")
    assert choose_blocks(["only"]) == ("only",)
    assert choose_blocks(["one", "two"]) == ("two",)
