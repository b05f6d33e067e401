"""Both passes as programs of torch.export: two .pt2 files that PyTorch runs without a2 or diffusers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import BackboneError
from a2cli.exporting.example import Example, check_programs, get_traced, write_example
from a2cli.exporting.functional import Tensors, functional_passes, get_length

CONTEXT, STEP = "context", "step"
_TALKATIVE = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def write_programs(folder: Path, pipeline: EditPipeline, example: Example) -> float:
    """Write context.pt2, step.pt2 and example.safetensors, load both programs and compare: the largest difference.

    Raises BackboneError when a pass cannot be traced or the difference is above 1e-3.
    """
    for name, program in trace_passes(pipeline, example).items():
        torch.export.save(program, folder / f"{name}.pt2")
    write_example(example, folder)
    return check_programs(pipeline, example, *(_load(folder / f"{name}.pt2") for name in (CONTEXT, STEP)))


def trace_passes(pipeline: EditPipeline, example: Example) -> dict[str, torch.export.ExportedProgram]:
    """Trace the context pass and the step, with the numbers of tokens open; both share the pipeline's weights."""
    with functional_passes(pipeline) as (context, target):
        return {
            CONTEXT: trace(context, get_traced(example.context)),
            STEP: trace(target, get_traced({**example.target, **example.kept})),
        }


def trace(module: nn.Module, inputs: Tensors) -> torch.export.ExportedProgram:
    """Trace one pass; `inputs` count by their shapes, of which the lengths that may differ are 2 or more.

    Raises BackboneError where the transformer's code cannot be traced.
    """
    lengths = {name: get_length(name) for name in inputs}
    dims = {place[1]: torch.export.Dim(place[1]) for place in lengths.values() if place is not None}
    shapes: dict[str, Any] = {
        name: None if place is None else {place[0]: dims[place[1]]} for name, place in lengths.items()
    }
    try:
        with quiet_tracing():
            program = torch.export.export(module, (inputs,), dynamic_shapes={"inputs": shapes}, strict=False)
    except Exception as error:  # what a backbone's own code does under a tracer has no common base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BackboneError(f"{type(module).__name__} cannot be traced: {reason}") from error
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def _load(path: Path) -> Any:
    run = torch.export.load(path).module()
    return lambda inputs: run(dict(inputs))


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Keep what exporters say about themselves off stderr; what goes wrong is raised."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
