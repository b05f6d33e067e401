from __future__ import annotations

import pytest
import torch
from diffusers import FluxTransformer2DModel
from tiny_flux import IMAGE, TEXT, build_tiny_flux, run, wake_experts
from torch import nn

from a2cli.backbones.blocks import get_blocks
from a2cli.errors import BackboneError, CheckpointError, ConfigError
from a2cli.mot import MotConfig, MotModel, inject_mot
from a2cli.mot.experts import MotLinear
from a2cli.mot.inject import get_parameter_shapes
from a2cli.types import BlockSpec

CONFIG = MotConfig(num_experts=4, rank=2)


@pytest.fixture
def flux() -> FluxTransformer2DModel:
    return build_tiny_flux()


@pytest.fixture
def handle(flux: FluxTransformer2DModel) -> MotModel:
    handle = inject_mot(flux, get_blocks(flux), CONFIG)
    wake_experts(handle)
    return handle


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        MotConfig(num_experts=4, rank=2, renormalize=True, alpha=8.0),
        MotConfig(num_experts=4, rank=2, routing="top_k", top_k=2, shared_expert=True, targets="qkv"),
        MotConfig(num_experts=4, rank=2, routing="dense", targets="ffn"),
    ],
)
def test_injection_changes_no_bit(flux: FluxTransformer2DModel, config: MotConfig) -> None:
    before = run(flux)
    handle = inject_mot(flux, get_blocks(flux), config)
    assert torch.equal(run(flux).view(torch.int32), before.view(torch.int32))
    handle.mode = "reuse"
    with torch.no_grad():
        assert torch.equal(run(flux).view(torch.int32), before.view(torch.int32))


def test_removal_restores_everything(flux: FluxTransformer2DModel) -> None:
    flux.x_embedder.requires_grad_(False)
    modules = [(name, id(module)) for name, module in flux.named_modules()]
    parameters = [(name, id(p), p.requires_grad) for name, p in flux.named_parameters()]
    before = run(flux)
    handle = inject_mot(flux, get_blocks(flux), CONFIG)
    wake_experts(handle)
    assert not torch.equal(run(flux), before)
    assert not any(p.requires_grad for p in set(flux.parameters()) - set(handle.trainable_parameters()))
    handle.merge({name: gates[:1] for name, gates in handle.routing_state().items()})
    handle.remove()
    handle.remove()
    assert [(name, id(module)) for name, module in flux.named_modules()] == modules
    assert [(name, id(p), p.requires_grad) for name, p in flux.named_parameters()] == parameters
    assert not any(module._forward_pre_hooks for module in flux.modules())
    assert torch.equal(run(flux), before)
    inject_mot(flux, get_blocks(flux), CONFIG)


@pytest.mark.parametrize(("targets", "count"), [("all", 34), ("attention", 22), ("ffn", 12), ("qkv", 18)])
def test_targets(flux: FluxTransformer2DModel, targets: str, count: int) -> None:
    handle = inject_mot(flux, get_blocks(flux), MotConfig(rank=2, targets=targets))  # type: ignore[arg-type]
    assert len(handle.linears) == count
    assert sum(isinstance(module, MotLinear) for module in flux.modules()) == count


def test_each_block_routes_once(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    calls: list[int] = []
    for router in handle.routers.values():
        router.register_forward_hook(lambda *_: calls.append(1))
    run(flux)
    assert len(calls) == len(handle.blocks) == 4
    for block in handle.blocks:
        assert all(linear.routing is block.routing for linear in block.linears.values())


def test_a_sample_is_routed_alone(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    with torch.no_grad():
        both = run(flux, batch=2)
        selected = handle.get_selected()
        assert selected.shape == (4, 2, 4) and not torch.equal(selected[:, 0], selected[:, 1])
        inputs = _first_sample()
        alone = flux(**inputs, return_dict=False)[0]
    torch.testing.assert_close(alone, both[:1], rtol=1e-5, atol=1e-5)


def _first_sample() -> dict[str, torch.Tensor]:
    from tiny_flux import get_inputs

    return {key: value if key.endswith("ids") else value[:1] for key, value in get_inputs().items()}


def test_merged_equals_routed(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    inputs = _first_sample()
    weights = {name: linear.base_layer.weight.clone() for name, linear in handle.linears.items()}
    with torch.no_grad():
        routed = flux(**inputs, return_dict=False)[0]
        state = handle.routing_state()
        handle.mode = "reuse"
        torch.testing.assert_close(flux(**inputs, return_dict=False)[0], routed, rtol=1e-5, atol=1e-5)
        handle.merge(state)
        assert handle.merged
        torch.testing.assert_close(flux(**inputs, return_dict=False)[0], routed, rtol=1e-4, atol=1e-5)
        with pytest.raises(BackboneError, match="already"):
            handle.merge(state)
        handle.unmerge()
        torch.testing.assert_close(flux(**inputs, return_dict=False)[0], routed, rtol=1e-5, atol=1e-5)
    for name, linear in handle.linears.items():
        assert torch.equal(linear.base_layer.weight, weights[name])


def test_a_batch_routed_apart_cannot_be_merged(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    with pytest.raises(BackboneError, match="routed"):
        handle.merge()
    run(flux, batch=2)
    with pytest.raises(BackboneError, match="differently"):
        handle.merge()
    assert not handle.merged and not any(linear.merged for linear in handle.linears.values())


def test_target_pass_reuses_the_context_routing(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    with torch.no_grad():
        run(flux, batch=2)
        context = handle.routing_state()
        handle.mode = "reuse"
        first = run(flux, batch=2, text=0, image=4, seed=5)
        assert all(handle.routing_state()[name] is gates for name, gates in context.items())
        handle.mode = "route"
        run(flux, batch=2, seed=9)
        handle.mode = "reuse"
        assert not torch.equal(run(flux, batch=2, text=0, image=4, seed=5), first)
        handle.set_routing_state(context)
        assert torch.equal(run(flux, batch=2, text=0, image=4, seed=5), first)
        handle.clear_routing()
        with pytest.raises(BackboneError, match="reuse"):
            run(flux, batch=2)


def test_the_same_routing_again_keeps_the_packed_experts(
    flux: FluxTransformer2DModel, handle: MotModel
) -> None:
    linear = handle.linears["transformer_blocks.0.attn.to_q"]
    with torch.no_grad():
        run(flux)
        context, selected = handle.routing_state(), handle.get_selected()
        handle.mode = "reuse"
        run(flux)
        packed = linear._packed
        handle.set_routing_state(context)
        run(flux)
        assert linear._packed is packed is not None
        handle.set_routing_state({name: gates.clone() for name, gates in context.items()})
        run(flux)
        assert linear._packed is not packed
    assert torch.equal(handle.get_selected(), selected)


def test_token_mask_reaches_every_block(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    seen: list[torch.Tensor] = []
    first = handle.blocks[0]
    first.router.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mask = torch.zeros(2, TEXT + IMAGE, dtype=torch.bool)
    mask[:, TEXT : TEXT + 2] = True
    handle.token_mask = mask
    run(flux)
    handle.token_mask = None
    run(flux, image=2, text=0)
    # The first block's input depends on no other token, so two visible tokens of six are two tokens.
    from tiny_flux import get_inputs

    tokens = flux.x_embedder(get_inputs()["hidden_states"])[:, :2].mean(dim=1)
    torch.testing.assert_close(seen[0], tokens)
    handle.token_mask = mask[:, 1:]
    with pytest.raises(BackboneError, match="token_mask"):
        run(flux)


def test_usage_and_balance(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    assert handle.usage == {}
    run(flux, batch=3)
    first = handle.get_selected()
    run(flux, batch=5, seed=4)
    share = torch.cat([first, handle.get_selected()], dim=1).double().mean(dim=1)
    assert torch.equal(torch.stack(list(handle.usage.values())), share)
    assert bool((share[:, 0] == 1).all())
    handle.get_balance_loss().backward()
    assert all(router.fc_out.weight.grad is not None for router in handle.routers.values())
    handle.reset_usage()
    assert handle.usage == {}
    handle.clear_routing()
    with pytest.raises(BackboneError):
        handle.get_balance_loss()


def test_weights_move_between_models(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    other = build_tiny_flux()
    twin = inject_mot(other, get_blocks(other), CONFIG)
    twin.load_state_dict(handle.state_dict())
    assert torch.equal(run(other), run(flux))
    state = handle.state_dict()
    name = "single_transformer_blocks.0.proj_out.B"
    for bad, word in (
        ({k: v for k, v in state.items() if k != name}, "missing"),
        ({**state, name: state[name][:, 1:]}, "shape"),
        ({**state, "extra.A": state[name]}, "extra.A"),
    ):
        before = run(other)
        with pytest.raises(CheckpointError, match=word) as caught:
            twin.load_state_dict(bad)
        assert name in str(caught.value) or "extra.A" in str(caught.value)
        assert torch.equal(run(other), before)


def test_injection_is_reproducible() -> None:
    states = []
    for seed in (1, 2):
        flux = build_tiny_flux(seed)
        generator = torch.Generator().manual_seed(3)
        states.append(inject_mot(flux, get_blocks(flux), CONFIG, generator=generator).state_dict())
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())


def test_bad_block_lists_are_refused_before_any_change(flux: FluxTransformer2DModel) -> None:
    blocks = get_blocks(flux)
    keys = list(flux.state_dict())
    stranger = BlockSpec("x", blocks[0].module, "double", {"attn.to_q": nn.Linear(32, 32)})
    no_linear = BlockSpec("y", blocks[0].module, "double", {"attn": blocks[0].module.attn})  # type: ignore[dict-item]
    for bad in ([], [*blocks, blocks[0]], [*blocks, stranger], [no_linear]):
        with pytest.raises(ConfigError):
            inject_mot(flux, bad, CONFIG)
        assert list(flux.state_dict()) == keys and all(p.requires_grad for p in flux.parameters())
    inject_mot(flux, blocks, CONFIG)
    for again in (blocks, get_blocks(flux)):
        with pytest.raises(ConfigError, match="already"):
            inject_mot(flux, again, CONFIG)


def test_modes_are_checked(handle: MotModel) -> None:
    with pytest.raises(ConfigError, match="mode"):
        handle.mode = "freeze"  # type: ignore[assignment]
    with pytest.raises(BackboneError, match="routed"):
        handle.routing_state()
    with pytest.raises(BackboneError, match="gates"):
        handle.set_routing_state({block.name: torch.ones(1, 3) for block in handle.blocks})


def test_expected_shapes_are_those_made(flux: FluxTransformer2DModel) -> None:
    for config in (CONFIG, MotConfig(rank=3, routing="top_k", shared_expert=True, targets="attention")):
        shapes = get_parameter_shapes(get_blocks(flux), config)
        handle = inject_mot(flux, get_blocks(flux), config)
        assert shapes == {name: tuple(p.shape) for name, p in handle.named_parameters().items()}
        handle.remove()


def test_size_on_flux_1() -> None:
    with torch.device("meta"):
        flux = FluxTransformer2DModel(in_channels=384, out_channels=64, guidance_embeds=True)
    handle = inject_mot(flux, get_blocks(flux), MotConfig(), dtype=torch.bfloat16)
    experts = [p for name, p in handle.named_parameters().items() if ".router." not in name]
    routers = [p for name, p in handle.named_parameters().items() if ".router." in name]
    assert len(handle.linears) == 418 and len(handle.routers) == 57
    assert all(p.is_meta and p.dtype == torch.bfloat16 for p in experts)
    assert round(sum(p.numel() for p in experts) / 1e6) == 1046
    assert round(sum(p.nbytes for p in experts) / 2**20) == 1995
    # The paper's memory difference, 2,190 MiB, is experts plus routers.
    assert sum(p.nbytes for p in experts + routers) / 2**20 == pytest.approx(2190, rel=0.02)
