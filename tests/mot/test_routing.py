from __future__ import annotations

import pytest
import torch

from a2cli.errors import BackboneError
from a2cli.mot.routing import BlockRouting, get_token_mean


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_mean_covers_both_streams() -> None:
    image, text = torch.randn(2, 5, 4), torch.randn(2, 3, 4)
    expected = torch.cat([text, image], dim=1).mean(dim=1)
    torch.testing.assert_close(get_token_mean(image, text), expected)
    torch.testing.assert_close(get_token_mean(image, text[:, :0]), image.mean(dim=1))
    torch.testing.assert_close(get_token_mean(image), image.mean(dim=1))


def test_mask_equals_leaving_tokens_out() -> None:
    image, text = torch.randn(2, 5, 4), torch.randn(2, 3, 4)
    mask = torch.tensor([[1, 0, 1, 1, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0, 0, 0]]).bool()
    tokens = torch.cat([text, image], dim=1)
    expected = torch.stack([tokens[b][mask[b]].mean(dim=0) for b in range(2)])
    torch.testing.assert_close(get_token_mean(image, text, mask), expected)
    hidden = image.masked_fill(~mask[:, 3:, None], float("nan"))
    torch.testing.assert_close(get_token_mean(hidden, text, mask), expected)
    shared = get_token_mean(image, text, mask[:1])
    torch.testing.assert_close(shared[1], tokens[1][mask[0]].mean(dim=0))


def test_bf16_tokens_are_averaged_in_float32() -> None:
    tokens = torch.full((1, 4096, 2), 1.0, dtype=torch.bfloat16)
    tokens[:, ::2] = 1.0078125
    mean = get_token_mean(tokens)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, torch.full((1, 2), 1.00390625))
    masked = get_token_mean(tokens, None, torch.ones(1, 4096, dtype=torch.bool))
    torch.testing.assert_close(masked, mean)


def test_nothing_visible_is_zero_and_a_wrong_mask_is_refused() -> None:
    image = torch.randn(1, 5, 4)
    assert not get_token_mean(image, None, torch.zeros(1, 5, dtype=torch.bool)).any()
    with pytest.raises(BackboneError, match="token_mask"):
        get_token_mean(image, torch.zeros(1, 3, 4), torch.ones(1, 5, dtype=torch.bool))


def test_active_experts_are_the_union_of_the_batch() -> None:
    routing = BlockRouting()
    with pytest.raises(BackboneError):
        routing.get_active()
    routing.store(torch.tensor([[0.5, 0.0, 0.2, 0.0], [0.5, 0.0, 0.0, 0.1]]))
    assert routing.get_active().tolist() == [0, 2, 3]
    routing.store(torch.tensor([[0.5, 0.5, 0.0, 0.0]]))
    assert routing.get_active().tolist() == [0, 1]


def test_a_replay_leaves_no_trace() -> None:
    routing = BlockRouting()
    routing.store(torch.ones(1, 2))
    before = dict(routing.__dict__)
    snapshot = BlockRouting(reuse=True)
    with pytest.raises(RuntimeError), routing.replaying(snapshot):
        assert routing.reuse and routing.gates is None and not routing.counting
        routing.store(torch.zeros(1, 2))
        raise RuntimeError
    assert routing.__dict__ == before and routing.gates is before["gates"]
