"""How exported passes are called, as Markdown for their card: inputs, outputs, and a program that runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from torch import Tensor

from a2cli.exporting.example import FILE, Example
from a2cli.exporting.functional import get_length

Runtime = Literal["onnxruntime", "torch"]

_MEANINGS = {
    "known": "visible tokens of the photo, then the reference's: clean latents twice, then mask bits (0 for both)",
    "known_positions": "frame (0 photo, 1 reference), row and column of each",
    "text": "prompt and image-encoder states",
    "pooled": "pooled prompt",
    "guidance": "guidance scale",
    "noisy": "tokens of the region at this noise level",
    "filling": "latents of the photo with its hole filled, and mask bits, at the region's tokens",
    "positions": "0, row and column of each token of the region",
    "sigma": "noise level in [0, 1]",
    "gates": "factor of each expert in each block, as the routers decided",
    "velocity": "d tokens / d sigma",
    "key_": "keys of block i, positions applied",
    "value_": "values of block i",
}
_ONNX = """```python
import numpy as np
import onnxruntime
from safetensors.numpy import load_file

given = load_file("example.safetensors")
context = onnxruntime.InferenceSession("context.onnx")
step = onnxruntime.InferenceSession("step.onnx")


def run(session, tensors):
    results = session.run(None, {i.name: tensors[i.name] for i in session.get_inputs()})
    return dict(zip((o.name for o in session.get_outputs()), results))


kept = run(context, given)  # once an edit
tokens = given["noisy"]
for sigma, after in zip(given["sigmas"], given["sigmas"][1:]):
    velocity = run(step, {**given, **kept, "noisy": tokens, "sigma": sigma[None]})["velocity"]
    tokens = tokens + (after - sigma) * velocity
print(np.abs(tokens - given["edited"]).max())  # nearly 0
```"""
_TORCH = """```python
import torch
from safetensors.torch import load_file

given = load_file("example.safetensors")
context = torch.export.load("context.pt2").module()
step = torch.export.load("step.pt2").module()
known = {{name: given[name] for name in ({context})}}
rest = {{name: given[name] for name in ({target})}}

with torch.no_grad():
    kept = context(known)  # once an edit
    tokens = given["noisy"]
    for sigma, after in zip(given["sigmas"], given["sigmas"][1:]):
        velocity = step({{**rest, **kept, "noisy": tokens, "sigma": sigma[None]}})["velocity"]
        tokens = tokens + (after - sigma) * velocity
print((tokens - given["edited"]).abs().max())  # nearly 0
```"""


def describe_programs(example: Example, runtime: Runtime) -> str:
    """The section of a card: what both passes read and return, and how an edit is sampled with them."""
    suffix = "onnx" if runtime == "onnxruntime" else "pt2"
    code = (
        _ONNX
        if runtime == "onnxruntime"
        else _TORCH.format(
            context=_quote(example.context),
            target=_quote(n for n in example.target if n not in ("noisy", "sigma")),
        )
    )
    return "\n".join(
        (
            f"`context.{suffix}` runs once an edit, `step.{suffix}` at every step. A batch is one edit; several",
            "pictures of it share what the context pass returned. Lengths in italics may differ from call to call.\n",
            f"`context.{suffix}`\n",
            _get_table(example.context, example.kept),
            f"`step.{suffix}`\n",
            _get_table({**example.target, **example.kept}, {"velocity": example.target["noisy"]}),
            f"`{FILE}` holds one edit, its noise levels (`sigmas`) and the tokens a2 ends at (`edited`). What makes",
            "tokens of pictures and pictures of tokens are the base's own autoencoder and encoders.\n",
            code,
        )
    )


def _get_table(inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> str:
    rows = ["| | name | shape | type | what it is |", "|---|---|---|---|---|"]
    for side, tensors in (("in", inputs), ("out", outputs)):
        count = sum(name.startswith("key_") for name in tensors)
        for name, tensor in tensors.items():
            kind, _, index = name.partition("_")
            blocks = kind in ("key", "value")
            if blocks and index != "0":
                continue
            shown = f"`{kind}_0` to `{kind}_{count - 1}`" if blocks else f"`{name}`"
            meaning = _MEANINGS[f"{kind}_" if blocks else name]
            dtype = str(tensor.dtype).removeprefix("torch.")
            rows.append(f"| {side} | {shown} | {_get_shape(name, tensor)} | {dtype} | {meaning} |")
    return "\n".join(rows) + "\n"


def _get_shape(name: str, tensor: Tensor) -> str:
    sizes = [str(size) for size in tensor.shape]
    place = get_length(name)
    if place is not None:
        sizes[place[0]] = f"*{place[1]}*"
    return " x ".join(sizes)


def _quote(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
