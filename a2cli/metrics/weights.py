"""Weights of the metrics' own networks: safetensors files on disk, every tensor accounted for, told by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from a2cli.errors import BackboneError, CheckpointError
from a2cli.files import PICKLE_SUFFIXES, show_name
from a2cli.metrics.measure import Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

REMEDY = (
    "python examples/convert_weights.py FILE.pth -o DIR makes it of the published file, then --weights DIR"
)
FLOATS = {"F64", "F32", "F16", "BF16"}
COUNTER = "num_batches_tracked"  # of batch norms in training; nothing reads it here


def find_weights(weights: Weights, name: str) -> Path:
    """The file of a network: "inception", or one of the lpips folder such as "alexnet" or "lpips_alex".

    What `weights.folder` holds goes before `weights.inception` and `weights.lpips`. Raises `BackboneError` with the
    remedy where there is none, and for a pickle, which is never opened.
    """
    inception = name == "inception"
    places = []
    if weights.folder is not None:
        folder = Path(weights.folder).expanduser()
        places.append((folder if inception else folder / "lpips") / f"{name}.safetensors")
    single = weights.inception if inception else weights.lpips
    if single is not None:
        path = Path(single).expanduser()
        places.append(path if inception else path / f"{name}.safetensors")
    for path in places:
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise BackboneError(f"{show_name(str(path))}: pickled weights are never opened", hint=REMEDY)
        if path.is_file():
            return path
    where = " and ".join(f"{show_name(str(path))}: no such file" for path in places)
    where = where or f"{name}.safetensors is needed and no folder of weights is named"
    raise BackboneError(where, hint=REMEDY)


def load_tensors(
    path: Path, wanted: Mapping[str, tuple[int, ...]], *, spare: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """Read the wanted tensors (name -> shape) of a safetensors file as float32 on the CPU.

    A file may also hold batch norms' counters and what begins with a name of `spare`. Raises `CheckpointError` naming
    the file when it is damaged, and the tensor when it is missing, unknown, of another shape, not floating or not
    finite.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    shown, tensors = show_name(str(path)), {}
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
            shapes = {name: tuple(part.get_shape()) for name, part in found.items()}
            check_shapes(shown, shapes, wanted, spare=spare)
            for name in wanted:
                if (dtype := found[name].get_dtype()) not in FLOATS:
                    raise CheckpointError(f"{shown}: tensor {name} is {dtype}, not floating")
                tensors[name] = file.get_tensor(name).to(torch.float32)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{shown}: damaged weights: {error}", hint=REMEDY) from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{shown}: tensor {name} holds NaN or infinite values")
    return tensors


def check_shapes(
    shown: str,
    found: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    *,
    spare: tuple[str, ...] = (),
) -> None:
    """Check the names and shapes a file has against those wanted; raises `CheckpointError` as `load_tensors` does."""
    for name, shape in wanted.items():
        if name not in found:
            raise CheckpointError(f"{shown}: tensor {name} is missing")
        if found[name] != shape:
            raise CheckpointError(f"{shown}: tensor {name} has shape {found[name]}, not {shape}")
    for name in sorted(found):
        if name not in wanted and not name.startswith(spare) and not name.endswith(f".{COUNTER}"):
            raise CheckpointError(f"{shown}: tensor {name} belongs to no part of this network")


def get_shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors that make up a network."""
    state = network.state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith(f".{COUNTER}")}


def fill_network(network: nn.Module, path: Path, *, spare: tuple[str, ...] = ()) -> str:
    """Give a network built on the meta device its weights, frozen, for evaluation, and return their hash.

    Raises what `load_tensors` does.
    """
    import torch

    tensors = load_tensors(path, get_shapes(network), spare=spare)
    counters = {name: torch.tensor(0) for name in network.state_dict() if name.endswith(f".{COUNTER}")}
    network.load_state_dict({**tensors, **counters}, assign=True)
    network.eval().requires_grad_(False)
    return hash_tensors(tensors)


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """The first 16 digits of a sha256 over names, shapes and float32 bytes: the same however a file packs them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
