"""Both passes as ONNX graphs over one file of weights, checked with onnxruntime where they are written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import BackboneError, ConfigError
from a2cli.exporting.example import Example, Run, check_programs, write_example
from a2cli.exporting.functional import Tensors, get_length
from a2cli.exporting.program import CONTEXT, STEP, quiet_tracing, trace_passes

WEIGHTS = "weights.data"
PACKAGES = ("onnx", "onnx_ir", "onnxscript", "onnxruntime")
INLINE = 1024  # bytes; smaller tensors stay in the graph, where optimisers see them
_SYMBOL = re.compile(r"[A-Za-z_]\w*")


def check_packages() -> None:
    """Raise ConfigError where a package that writes or runs ONNX is missing."""
    for name in PACKAGES:
        if find_spec(name) is None:
            raise ConfigError(f"{name} is not installed", hint="pip install 'a2cli[onnx]'")


def write_onnx(folder: Path, pipeline: EditPipeline, example: Example) -> float:
    """Write context.onnx, step.onnx, weights.data and example.safetensors, run both graphs: the largest difference.

    Raises ConfigError for missing packages and for bfloat16, which onnxruntime does not take from NumPy, BackboneError
    when a pass cannot be traced or the difference is above 1e-3.
    """
    check_packages()
    if pipeline.backbone.transformer.dtype == torch.bfloat16:
        raise ConfigError("onnxruntime takes no bfloat16 tensors", hint="--dtype float32 or float16")
    models = {name: convert(program) for name, program in trace_passes(pipeline, example).items()}
    save_models(models, folder)
    write_example(example, folder)
    return check_programs(
        pipeline, example, *(open_graph(folder / f"{name}.onnx") for name in (CONTEXT, STEP))
    )


def convert(program: torch.export.ExportedProgram) -> Any:
    """An exported program as a model of onnx_ir whose inputs, outputs and lengths have a2's names."""
    taken = program.call_spec.in_spec.child(0).child(0).context  # of (args, kwargs) the dict in args
    try:
        with quiet_tracing():
            made = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=taken,
                output_names=program.call_spec.out_spec.context,
            )
    except Exception as error:  # the exporter's errors have no common base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BackboneError(f"a pass cannot be written as ONNX: {reason}") from error
    assert made is not None  # no path was given
    _tidy(made.model)
    return made.model


def _tidy(model: Any) -> None:
    """Name the lengths that are open, and take out where in which file of this machine each node came from."""
    import onnx_ir as ir

    symbols = {}
    for value in model.graph.inputs:
        place = get_length(value.name)
        if place is not None:
            symbols[value.shape[place[0]].value] = place[1]
    made = [value for node in ir.traversal.RecursiveGraphIterator(model.graph) for value in node.outputs]
    for value in (*model.graph.inputs, *model.graph.initializers.values(), *made):
        value.metadata_props.clear()
        if value.shape is not None:
            value.shape = ir.Shape([_rename(dim, symbols) for dim in value.shape])
    for part in (model, model.graph, *ir.traversal.RecursiveGraphIterator(model.graph)):
        part.metadata_props.clear()
        part.doc_string = None


def _rename(dim: Any, symbols: Mapping[str, str]) -> int | str | None:
    """A dimension of a shape whose symbols, alone or in a sum, have other names."""
    if isinstance(dim, int) or dim.value is None:
        return dim if isinstance(dim, int) else None
    return _SYMBOL.sub(lambda found: symbols.get(found[0], found[0]), dim.value)


def save_models(models: Mapping[str, Any], folder: Path) -> None:
    """Save models of onnx_ir as NAME.onnx, each tensor of 1 KiB or more once in weights.data, whoever uses it."""
    import onnx_ir as ir

    first: dict[bytes, int] = {}  # digest -> place in `tensors`
    tensors: list[Any] = []
    users: list[tuple[Any, int]] = []
    for model in models.values():
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.nbytes < INLINE:
                continue
            digest = hashlib.sha256(f"{tensor.dtype}{tensor.shape}".encode() + tensor.tobytes()).digest()
            if digest not in first:
                first[digest] = len(tensors)
                tensors.append(tensor)
            users.append((value, first[digest]))
    stored = ir.external_data.convert_tensors_to_external(tensors, folder, WEIGHTS)
    for value, place in users:
        there = stored[place]
        value.const_value = ir.ExternalTensor(
            WEIGHTS,
            there.offset,
            there.length,
            there.dtype,
            shape=there.shape,
            name=value.name,
            base_dir=folder,
        )
    for name, model in models.items():
        ir.save(model, folder / f"{name}.onnx")


def open_graph(path: Path) -> Run:
    """Open a graph with onnxruntime on the CPU: a function of tensors by name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names: Sequence[str] = [output.name for output in session.get_outputs()]
    taken = [given.name for given in session.get_inputs()]

    def run(inputs: Mapping[str, torch.Tensor]) -> Tensors:
        results = session.run(names, {name: inputs[name].detach().cpu().numpy() for name in taken})
        return {name: torch.from_numpy(result) for name, result in zip(names, results, strict=True)}

    return run
