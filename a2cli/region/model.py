"""The handle on a transformer made region-aware: its condition, its parameters, its way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from a2cli.errors import BackboneError
from a2cli.mot.state import copy_state
from a2cli.region.attention import Kept
from a2cli.region.block import BlockAdapter
from a2cli.region.condition import ConditionEncoder, SpatialGate
from a2cli.region.config import RegionConfig
from a2cli.region.predictor import MaskPredictor

if TYPE_CHECKING:
    from a2cli.context.processor import PassState


@dataclass(frozen=True)
class RegionInputs:
    """What the block adapters read in a target pass; `RegionModel.encode` makes it once an edit.

    condition (B, N_c, width). gate (B, N, 1) float32 of the full token grid, None: every target token alike.
    """

    condition: Tensor
    gate: Tensor | None
    memory: dict[nn.Module, Kept] = field(default_factory=dict, repr=False, compare=False)

    def select(self, tokens: Tensor) -> RegionInputs:
        """The same for the tokens at indices (M,) of the grid."""
        return self if self.gate is None else replace(self, gate=self.gate[:, tokens])

    def repeat(self, count: int) -> RegionInputs:
        """Serve `count` targets a sample: every batch row is repeated in place, as `ContextCache.repeat` does."""
        if count == 1:
            return self
        gate = None if self.gate is None else self.gate.repeat_interleave(count, dim=0)
        return RegionInputs(self.condition.repeat_interleave(count, dim=0), gate)


class RegionParts(nn.Module):
    """Everything trained: `encoder`, `gate` and `adapters` (one a block) edit, `predictor` finds; None where left out.

    The last shares no parameter with the others.
    """

    encoder: ConditionEncoder | None
    gate: SpatialGate | None
    predictor: MaskPredictor | None
    adapters: nn.ModuleList

    def __init__(self, config: RegionConfig, dims: Sequence[int], *, text_dim: int, latent_dim: int) -> None:
        """`dims`: the width of each block. text_dim, latent_dim: of a row of text states, of a latent token."""
        super().__init__()
        heads = config.get_heads(dims[0])
        width = heads * config.head_dim
        states = text_dim * config.instruction_layers
        self.encoder = ConditionEncoder(width, heads, states, config) if config.adapter else None
        self.gate = SpatialGate(width) if config.adapter and config.gate else None
        self.predictor = MaskPredictor(latent_dim, states, config.predictor) if config.predictor else None
        self.adapters = nn.ModuleList(
            BlockAdapter(dim, width, heads, config.expansion) for dim in (dims if config.adapter else ())
        )

    def name_parameters(self, blocks: Sequence[str]) -> dict[str, nn.Parameter]:
        """The parameters under the names of an adapter's file: those of a block's adapter begin with the block's."""
        named = {}
        for name, parameter in self.named_parameters():
            part, rest = name.split(".", 1)
            if part == "adapters":
                number, rest = rest.split(".", 1)
                part = blocks[int(number)]
            named[f"{part}.{rest}"] = parameter
        return named


class RegionModel:
    """A region adapter on a frozen transformer; made by `inject_region`.

    Its blocks act in the target pass alone, where `state.region` holds what they read, and on image tokens alone.
    Without it (None) a block returns what it returns, not one operation more. `modules` are the trained parts, for an
    optimizer or for sharding; they lie outside the transformer.
    """

    def __init__(
        self,
        transformer: nn.Module,
        config: RegionConfig,
        blocks: Mapping[str, nn.Module],
        modules: RegionParts,
        state: PassState,
        base_requires_grad: Mapping[nn.Parameter, bool],
    ) -> None:
        self.transformer, self.config, self.modules = transformer, config, modules
        self._names = list(blocks)
        self._state = state
        self._base_requires_grad = dict(base_requires_grad)
        # Without adapters the blocks are left alone.
        self._adapters = dict(zip(blocks.values(), modules.adapters, strict=False))
        self._hooks: list[RemovableHandle] = [
            block.register_forward_hook(self._fold_back) for block in self._adapters
        ]

    @property
    def predictor(self) -> MaskPredictor | None:
        """The mask predictor, where there is one: (latents, grid, text) -> logits."""
        return self.modules.predictor

    # Editing

    def encode(self, mask_tokens: Tensor, grid: tuple[int, int], text: Tensor) -> RegionInputs | None:
        """Encode where and what: once an edit, or once a training step.

        mask_tokens: (B, N) in [0, 1], the share of each token of the full grid that is to change. text: (B, T,
        L_h * J), the backbone's states of the instruction. None for a predictor alone, which is "off" to a pass.
        Raises BackboneError where the mask does not cover the grid or the text is of another width.
        """
        encoder, gate = self.modules.encoder, self.modules.gate
        if encoder is None:
            return None
        wanted = encoder.project.in_features
        if mask_tokens.shape[1] != grid[0] * grid[1]:
            raise BackboneError(
                f"a mask of {mask_tokens.shape[1]} tokens for a grid of {grid[0]} x {grid[1]}"
            )
        if text.shape[-1] != wanted:
            raise BackboneError(f"text states are {text.shape[-1]} wide, the region adapter reads {wanted}")
        mask, text = mask_tokens.to(encoder.edit.device), text.to(encoder.edit.device)
        return RegionInputs(encoder(mask, grid, text), None if gate is None else gate(mask))

    def _fold_back(self, module: nn.Module, args: Any, output: tuple[Tensor, Tensor]) -> Any:
        inputs: RegionInputs | None = self._state.region
        if inputs is None or self._state.current != "target":
            return None
        text, hidden = output  # in the target pass no text, and the target's tokens alone
        if len(inputs.condition) != len(hidden):
            raise BackboneError(
                f"region inputs of {len(inputs.condition)} samples for a batch of {len(hidden)}",
                hint="repeat them as the cache is",
            )
        return text, self._adapters[module](hidden, inputs.condition, inputs.gate, inputs.memory)

    # Parameters

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Every trained parameter under the names of the adapter's file; those of the predictor begin with its name."""
        return self.modules.name_parameters(self._names)

    def editor_parameters(self) -> list[nn.Parameter]:
        """Those the edit's loss trains: encoder, gate and block adapters."""
        return [p for name, p in self.named_parameters().items() if not name.startswith("predictor.")]

    def predictor_parameters(self) -> list[nn.Parameter]:
        """Those the mask's loss trains."""
        return [p for name, p in self.named_parameters().items() if name.startswith("predictor.")]

    def state_dict(self) -> dict[str, Tensor]:
        """The parameters detached: the tensors of an adapter file. They share memory with the model."""
        return {name: parameter.detach() for name, parameter in self.named_parameters().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy tensors into the model; see `copy_state` for what is refused."""
        copy_state(self.named_parameters(), state)

    def remove(self) -> None:
        """Take the hooks out, so that the transformer is the plain one; a second call does nothing."""
        for hook in self._hooks:
            hook.remove()
        for parameter, requires_grad in self._base_requires_grad.items():
            parameter.requires_grad_(requires_grad)
        self._hooks, self._base_requires_grad = [], {}
