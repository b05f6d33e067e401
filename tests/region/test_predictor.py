"""Equations 8 and 9, and a predictor that learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_block import attend, normalise
from tiny_region import LATENT, SMALL, TEXT, noise
from torch import Tensor, nn
from torch.nn import functional as F

from a2cli.context.layout import unpack_latents
from a2cli.region import MaskPredictor, PredictorConfig, get_dice, mask_loss
from a2cli.region.attention import get_grid_positions
from a2cli.region.predictor import DecoderLayer, Film, get_query_grid


def film(layer: Film, x: Tensor, pooled: Tensor) -> Tensor:
    factors = layer.to_factors.weight @ pooled + layer.to_factors.bias
    gamma, beta = factors[: len(pooled)], factors[len(pooled) :]
    return x + gamma * x + beta


def decode(layer: DecoderLayer, queries: Tensor, keys: Tensor, pooled: Tensor) -> Tensor:
    queries = film(layer.film, normalise(queries), pooled)
    queries = queries + attend(layer.attention, queries, keys, 2)
    return queries + layer.ffn.fc_out(F.gelu(layer.ffn.fc_in(normalise(queries))))


@torch.no_grad()
def test_the_papers_predictor_is_equation_8() -> None:
    torch.manual_seed(0)
    config = PredictorConfig(width=16, query_grid=4, num_heads=2, text_queries=2)
    predictor = MaskPredictor(LATENT, TEXT, config)
    predictor.queries.normal_()
    latents, text = noise(2, 8, LATENT), noise(2, 3, TEXT, seed=3)
    logits = predictor(latents, (2, 4), text)
    assert logits.shape == (2, 4, 8)
    for sample in range(2):
        pool = predictor.instruction
        states = normalise(text[sample] @ pool.project.weight.T + pool.project.bias)
        pooled = F.gelu(pool.merge(attend(pool.attention, pool.queries, states, 2).flatten()))
        keys = latents[sample] @ predictor.patchify.weight.T + predictor.patchify.bias
        keys = normalise(keys + get_grid_positions((2, 4), 4, 16))
        grid = F.interpolate(predictor.queries, (2, 4), mode="bilinear")[0].flatten(1).T
        answer = normalise(decode(predictor.decoder[0], grid, keys, pooled))
        maps = F.gelu(predictor.head_in(answer.T.reshape(1, 16, 2, 4)))
        # The head's four channels are the latent pixels of a token, row by row.
        four = predictor.head_out(maps)[0].flatten(1).T[None]
        expected = unpack_latents(four, (2, 4))[0, 0]
        torch.testing.assert_close(logits[sample], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("grid", [(2, 4), (6, 8)])
def test_behind_an_encoder_queries_begin_with_what_it_found(grid: tuple[int, int]) -> None:
    """And a decoder may be narrower; what is finer than the query grid is added back to the answer."""
    torch.manual_seed(0)
    config = PredictorConfig(
        width=16, decoder_width=8, query_grid=4, encoder_layers=1, num_heads=2, text_queries=2
    )
    predictor = MaskPredictor(LATENT, TEXT, config)
    assert isinstance(predictor.narrow, nn.Linear) and predictor.queries.shape == (1, 8, 4, 4)
    latents, text = noise(2, grid[0] * grid[1], LATENT), noise(2, 3, TEXT, seed=3)
    logits, features, pooled = (
        predictor(latents, grid, text),
        predictor.encode(latents, grid),
        predictor.pool(text),
    )
    assert features.shape == (2, *grid, 16) and pooled.shape == (2, 8)
    block, cells = predictor.encoder[0], get_query_grid(grid, 4)
    assert (cells == grid) == (grid == (2, 4))
    for sample in range(2):
        tokens = latents[sample] @ predictor.patchify.weight.T + predictor.patchify.bias
        maps = (tokens + get_grid_positions(grid, 4, 16)).T.reshape(16, *grid)
        found = F.conv2d(maps, block.depthwise.weight, block.depthwise.bias, padding=1, groups=16)
        deep = maps.flatten(1).T + block.ffn(normalise(found.flatten(1).T))
        torch.testing.assert_close(features[sample].flatten(0, 1), normalise(deep), rtol=1e-4, atol=1e-5)
        narrow = normalise(deep) @ predictor.narrow.weight.T + predictor.narrow.bias
        narrow_maps = narrow.T.reshape(1, 8, *grid)
        coarse = F.interpolate(narrow_maps, cells, mode="bilinear", antialias=True)
        queries = F.interpolate(predictor.queries, cells, mode="bilinear") + coarse
        answer = decode(predictor.decoder[0], queries[0].flatten(1).T, normalise(narrow), pooled[sample])
        fine = F.interpolate(normalise(answer).T.reshape(1, 8, *cells), grid, mode="bilinear")
        fine = fine + narrow_maps if cells != grid else fine
        four = predictor.head_out(F.gelu(predictor.head_in(fine)))[0].flatten(1).T[None]
        torch.testing.assert_close(logits[sample], unpack_latents(four, grid)[0, 0], rtol=1e-4, atol=1e-5)


def test_one_picture_is_encoded_once_for_many_instructions() -> None:
    torch.manual_seed(0)
    predictor = MaskPredictor(LATENT, TEXT, replace(SMALL, decoder_width=8))
    latents, text = noise(1, 20, LATENT), noise(3, 5, TEXT).requires_grad_()
    features = predictor.encode(latents, (4, 5))
    asked = predictor.decode(features.expand(3, -1, -1, -1), predictor.pool(text))
    torch.testing.assert_close(asked, predictor(latents.expand(3, -1, -1), (4, 5), text))
    # `pool` is the pooling without its way back, which the text encoder's own training takes.
    pooled = predictor.instruction(text)
    assert torch.equal(pooled, predictor.pool(text))
    predictor.pool(text).sum().backward()
    assert text.grad is None
    pooled.sum().backward()
    assert text.grad is not None and text.grad.any()


def test_on_a_finer_grid_every_token_counts() -> None:
    torch.manual_seed(0)
    predictor = MaskPredictor(LATENT, TEXT, replace(SMALL, query_grid=2))
    with torch.no_grad():
        for layer in predictor.decoder:
            layer.attention.to_out.weight.zero_()  # nothing but what queries begin with is left
    features = noise(1, 8, 8, 16).requires_grad_()
    logits = predictor.decode(features, predictor.pool(noise(1, 5, TEXT)))
    logits[..., :2, :2].square().sum().backward()  # behind the head's convolutions the first 4 x 4 tokens
    assert features.grad is not None
    queried = features.grad[0].abs().sum(-1) > 0
    assert queried[:6, :6].all()  # the first query, and a share of its neighbours
    half = predictor.bfloat16().decode(features.detach().bfloat16(), predictor.pool(noise(1, 5, TEXT)))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), logits.detach(), rtol=0.1, atol=0.05)


@torch.no_grad()
@pytest.mark.parametrize("grid", [(1, 1), (4, 4), (3, 7), (12, 5), (1, 256)])
def test_every_grid_will_do(grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    predictor = MaskPredictor(LATENT, TEXT, SMALL)
    logits = predictor(noise(3, grid[0] * grid[1], LATENT), grid, noise(3, 5, TEXT))
    assert logits.shape == (3, 2 * grid[0], 2 * grid[1]) and bool(logits.isfinite().all())
    rows = get_query_grid(grid, SMALL.query_grid)
    assert rows[0] <= grid[0] and rows[1] <= grid[1] and rows[0] * rows[1] <= 1.3 * SMALL.query_grid**2


def test_queries_keep_the_aspect() -> None:
    assert get_query_grid((16, 16), 16) == (16, 16)
    assert get_query_grid((64, 64), 16) == (16, 16)
    assert get_query_grid((32, 128), 16) == (8, 32)
    assert get_query_grid((8, 8), 16) == (8, 8)
    assert get_query_grid((1, 4096), 16) == (1, 256) and get_query_grid((4096, 2), 16) == (256, 1)


@torch.no_grad()
def test_samples_do_not_see_each_other_and_the_words_count() -> None:
    torch.manual_seed(0)
    predictor = MaskPredictor(LATENT, TEXT, SMALL)
    latents, text = noise(2, 20, LATENT), noise(2, 5, TEXT)
    both = predictor(latents, (4, 5), text)
    torch.testing.assert_close(predictor(latents[1:], (4, 5), text[1:]), both[1:])
    assert not torch.allclose(predictor(latents, (4, 5), text.flip(0)), both, atol=1e-3)


def test_a_fresh_predictor_expects_little_and_every_weight_learns() -> None:
    torch.manual_seed(0)
    predictor = MaskPredictor(LATENT, TEXT, replace(SMALL, width=64, num_heads=4))
    latents, text = noise(4, 20, LATENT).requires_grad_(), noise(4, 5, TEXT).requires_grad_()
    logits = predictor(latents, (4, 5), text)
    assert 0.02 < logits.sigmoid().mean().item() < 0.3
    mask_loss(logits, (noise(4, 8, 10) > 1).float()).backward()
    assert latents.grad is None and text.grad is None  # what it reads is another's
    for name, parameter in predictor.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.any()), name


def test_the_mask_loss_is_equation_9() -> None:
    logits, mask = noise(2, 3, 4), (noise(2, 3, 4, seed=3) > 0.5).float()
    soft = 1 / (1 + (-logits).exp())
    bce = -(mask * soft.log() + (1 - mask) * (1 - soft).log()).mean()
    dices = [(2 * (p * m).sum() + 1) / (p.sum() + m.sum() + 1) for p, m in zip(soft, mask, strict=True)]
    torch.testing.assert_close(mask_loss(logits, mask), bce + 1 - sum(dices) / 2)
    torch.testing.assert_close(get_dice(soft, mask), torch.stack(dices))


def test_the_mask_loss_at_its_ends() -> None:
    mask = torch.zeros(2, 4, 4)
    mask[0, :2] = 1  # the other picture has nothing to find
    sure = 40 * (2 * mask - 1)
    assert float(mask_loss(sure, mask)) < 1e-5 < 1 < float(mask_loss(-sure, mask))
    assert mask_loss(sure.bfloat16(), mask).dtype == torch.float32
    with pytest.raises(ValueError, match="the mask"):
        mask_loss(sure, mask[:, :3])


def draw_scene(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Squares of three kinds on an 8 x 8 grid of tokens, and a text whose second row says which kind is meant."""
    kinds = torch.eye(3).repeat(1, 2)[:, :LATENT] * 2 + 0.3
    latents = 0.3 * torch.randn(batch, 8, 8, LATENT, generator=generator)
    masks = torch.zeros(batch, 3, 8, 8)
    corners = [(0, 0), (0, 5), (5, 0), (5, 5)]
    for sample in range(batch):
        places = torch.randperm(4, generator=generator)[:3]
        for kind, place in enumerate(places):
            row, column = corners[int(place)]
            latents[sample, row : row + 3, column : column + 3] += kinds[kind]
            masks[sample, kind, row : row + 3, column : column + 3] = 1
    meant = torch.randint(3, (batch,), generator=generator)
    text = torch.zeros(batch, 4, TEXT)
    text[torch.arange(batch), 1, meant] = 3.0
    mask = masks[torch.arange(batch), meant].repeat_interleave(2, 1).repeat_interleave(2, 2)
    return latents.flatten(1, 2), text, mask


@pytest.mark.parametrize(
    ("encoder_layers", "layers", "steps"), [(2, 1, 60), pytest.param(0, 2, 200, marks=pytest.mark.slow)]
)
def test_it_learns_to_find_what_the_text_names(encoder_layers: int, layers: int, steps: int) -> None:
    torch.manual_seed(0)
    config = PredictorConfig(
        width=32, query_grid=8, layers=layers, encoder_layers=encoder_layers, num_heads=2, text_queries=2
    )
    predictor = MaskPredictor(LATENT, TEXT, config)
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=5e-3 if encoder_layers else 3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        latents, text, mask = draw_scene(16, generator)
        optimizer.zero_grad()
        mask_loss(predictor(latents, (8, 8), text), mask).backward()
        optimizer.step()
    latents, text, mask = draw_scene(64, generator)
    found = predictor(latents, (8, 8), text) > 0
    iou = (found & mask.bool()).flatten(1).sum(1) / (found | mask.bool()).flatten(1).sum(1)
    assert float(iou.mean()) > 0.9
