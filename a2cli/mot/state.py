"""Copying tensors into a model by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from a2cli.errors import CheckpointError


@torch.no_grad()
def copy_state(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy `state` into the tensors of the same names in `own`; nothing is copied unless all fit.

    Raises CheckpointError naming the first tensor that is missing, unknown or of another shape.
    """
    for name, tensor in own.items():
        if name not in state:
            raise CheckpointError(f"tensor {name} is missing")
        if state[name].shape != tensor.shape:
            found, wanted = tuple(state[name].shape), tuple(tensor.shape)
            raise CheckpointError(f"tensor {name} has shape {found}, not {wanted}")
    for name in state:
        if name not in own:
            raise CheckpointError(f"tensor {name} belongs to no part of this model")
    for name, tensor in own.items():
        tensor.copy_(state[name])
