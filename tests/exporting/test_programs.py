"""Exported passes: what is checked, what is written, and that other runtimes edit as a2 does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from edits import make_pipeline
from export_things import make_sample
from safetensors.torch import load_file
from torch import Tensor

from a2cli.context.passes import TwoPass
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import BackboneError, ConfigError
from a2cli.exporting import onnx
from a2cli.exporting.example import (
    Example,
    build_example,
    check_programs,
    get_difference,
    get_traced,
    shorten,
    write_example,
)
from a2cli.exporting.functional import TargetPass, Tensors, freeze, functional_passes
from a2cli.exporting.guide import describe_programs
from a2cli.exporting.onnx import WEIGHTS, convert, open_graph, save_models, write_onnx
from a2cli.exporting.program import trace, write_programs
from a2cli.mot import load_adapter


@pytest.fixture
def pipeline(tiny_base: Path, tiny_experts: Path) -> EditPipeline:
    bare = make_pipeline(tiny_base).backbone
    handle, _ = load_adapter(bare.transformer, bare.get_blocks(), tiny_experts, base_hash=bare.base_hash)
    return EditPipeline(bare, experts=handle)


def own_passes(pipeline: EditPipeline) -> tuple[object, object]:
    """The pipeline's own passes, as if they were programs."""

    def context(inputs: Mapping[str, Tensor]) -> Tensors:
        with functional_passes(pipeline) as (run, _), torch.no_grad():
            return run(inputs)

    def target(inputs: Mapping[str, Tensor]) -> Tensors:
        with functional_passes(pipeline) as (_, run), torch.no_grad():
            return run(inputs)

    return context, target


def walk(context: object, target: object, example: Example) -> Tensor:
    """Sample an example with two programs and Euler's rule."""
    kept = context(example.context)  # type: ignore[operator]
    tokens = example.target["noisy"]
    for sigma, after in zip(example.sigmas, example.sigmas[1:], strict=False):
        inputs = {**example.target, **kept, "noisy": tokens, "sigma": sigma[None]}
        tokens = tokens + (after - sigma) * target(inputs)["velocity"]  # type: ignore[operator]
    return tokens


def run_snippet(example: Example, runtime: str, folder: Path) -> float:
    """Run the program of the card as a script in `folder`; what it prints last, a number."""
    text = describe_programs(example, runtime)  # type: ignore[arg-type]
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return float(re.findall(r"[\d.]+(?:e-\d+)?", done.stdout)[-1])


def test_an_example_ends_where_its_own_passes_lead(pipeline: EditPipeline) -> None:
    example = build_example(pipeline, make_sample())
    assert len(example.sigmas) == 3 and float(example.sigmas[-1]) == 0
    ended = walk(*own_passes(pipeline), example)
    torch.testing.assert_close(ended, example.edited, rtol=0, atol=1e-5)
    assert float((ended - example.target["noisy"]).abs().max()) > 0.1


def test_programs_that_answer_otherwise_are_refused(pipeline: EditPipeline) -> None:
    example = build_example(pipeline, make_sample())
    context, target = own_passes(pipeline)
    assert check_programs(pipeline, example, context, target) < 1e-5

    def off(share: float) -> object:
        def run(inputs: Mapping[str, Tensor]) -> Tensors:
            velocity = target(inputs)["velocity"]
            return {"velocity": velocity + share * max(1.0, float(velocity.abs().max()))}

        return run

    assert 4e-4 < check_programs(pipeline, example, context, off(5e-4)) < 6e-4
    for amount in (5e-3, float("nan")):
        with pytest.raises(BackboneError, match=r"differ from a2's by (0\.005|nan), more than 0\.001"):
            check_programs(pipeline, example, context, off(amount))

    def short_sighted(inputs: Mapping[str, Tensor]) -> Tensors:
        """Right for the example's lengths alone."""
        wrong = inputs["noisy"].shape != example.target["noisy"].shape
        return {"velocity": target(inputs)["velocity"] + wrong}

    with pytest.raises(BackboneError, match="differ"):
        check_programs(pipeline, example, context, short_sighted)


def test_lengths_that_may_differ_are_cut_together(pipeline: EditPipeline) -> None:
    example = build_example(pipeline, make_sample())
    every = {**example.context, **example.target, **example.kept}
    cut, traced = shorten(every), get_traced(every)
    for name, tensor in every.items():
        fixed = [d for d in range(tensor.ndim) if cut[name].shape[d] == tensor.shape[d]]
        if name in ("pooled", "sigma", "gates"):
            assert torch.equal(cut[name], tensor) and traced[name].shape == tensor.shape
        else:
            (open_,) = set(range(tensor.ndim)) - set(fixed)
            assert cut[name].shape[open_] == tensor.shape[open_] - 1 and traced[name].shape[open_] > 1
            assert torch.equal(cut[name], tensor.narrow(open_, 0, tensor.shape[open_] - 1))
    assert {traced[n].shape[1] for n in ("noisy", "filling")} == {traced["positions"].shape[0]}


def test_a_difference_is_of_the_largest_value_or_of_one() -> None:
    wanted = {"a": torch.tensor([0.5]), "b": torch.tensor([200.0, 1.0])}
    assert get_difference({"a": torch.tensor([0.6]), "b": wanted["b"]}, wanted) == pytest.approx(0.1)
    assert get_difference({"a": wanted["a"], "b": torch.tensor([200.0, 3.0])}, wanted) == pytest.approx(0.01)


def test_the_file_of_an_example_holds_its_tensors(pipeline: EditPipeline, tmp_path: Path) -> None:
    example = build_example(pipeline, make_sample())
    write_example(example, tmp_path)
    tensors = load_file(tmp_path / "example.safetensors")
    names = {*example.context, *example.target, "sigmas", "edited"} - {"sigma"}
    assert set(tensors) == names and torch.equal(tensors["edited"], example.edited)


def test_a_card_lists_every_tensor(pipeline: EditPipeline) -> None:
    text = describe_programs(build_example(pipeline, make_sample()), "onnxruntime")
    for row in (
        r"in \| `known` \| 1 x \*known_tokens\* x 288 \| float32",
        r"in \| `key_0` to `key_1` \| 1 x \*context_tokens\* x 2 x 32",
        r"out \| `gates` \| 2 x 4 \|",
        r"out \| `velocity` \| 1 x \*region_tokens\* x 16",
    ):
        assert re.search(row, text), row


def test_weights_of_two_graphs_lie_in_one_file_once(tmp_path: Path) -> None:
    import onnx_ir as ir

    shared, own = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    small = np.ones((2,), np.float32)

    def make(*weights: np.ndarray) -> ir.Model:
        values = [
            ir.Value(
                name=f"w{i}",
                const_value=ir.tensor(w, name=f"w{i}"),
                shape=ir.Shape(w.shape),
                type=ir.TensorType(ir.DataType.FLOAT),
            )
            for i, w in enumerate(weights)
        ]
        x = ir.Value(name="x", shape=ir.Shape([1, 64]), type=ir.TensorType(ir.DataType.FLOAT))
        last, nodes = x, []
        for value in values[:-1]:
            nodes.append(ir.node("MatMul", [last, value]))
            last = nodes[-1].outputs[0]
        last.name, last.type, last.shape = "y", x.type, x.shape
        graph = ir.Graph([x], [last], nodes=nodes, initializers=values, opset_imports={"": 20})
        return ir.Model(graph, ir_version=10)

    save_models({"one": make(shared, small), "two": make(own, shared, small)}, tmp_path)
    assert (tmp_path / WEIGHTS).stat().st_size == shared.nbytes + own.nbytes
    x = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    first, last = torch.from_numpy(own), torch.from_numpy(shared)
    for name, wanted in (("one", x @ last), ("two", x @ first @ last)):
        torch.testing.assert_close(
            open_graph(tmp_path / f"{name}.onnx")({"x": x})["y"], wanted, rtol=1e-5, atol=1e-4
        )


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "PACKAGES", ("onnx", "no_such_onnx"))
    with pytest.raises(ConfigError, match=r"no_such_onnx is not installed \(pip install 'a2cli\[onnx\]'\)"):
        onnx.check_packages()


def test_bfloat16_is_refused_for_onnx(pipeline: EditPipeline, tmp_path: Path) -> None:
    example = build_example(pipeline, make_sample())
    pipeline.backbone.transformer.to(torch.bfloat16)
    with pytest.raises(ConfigError, match="bfloat16"):
        write_onnx(tmp_path, pipeline, example)
    assert not list(tmp_path.iterdir())


def test_a_step_of_one_block_runs_in_both_runtimes(tmp_path: Path) -> None:
    """The whole way from a pass to files and back, on the least transformer there is."""
    step, inputs = make_least_step()
    program = trace(step, get_traced(inputs))
    torch.export.save(program, tmp_path / "step.pt2")
    save_models({"step": convert(program)}, tmp_path)
    loaded, graph = torch.export.load(tmp_path / "step.pt2").module(), open_graph(tmp_path / "step.onnx")
    for given in (inputs, shorten(inputs), shorten(shorten(inputs))):
        wanted = step(given)["velocity"]
        for found in (loaded(dict(given)), graph(given)):
            torch.testing.assert_close(found["velocity"], wanted, rtol=0, atol=1e-5)
    source = str(Path(onnx.__file__).parent).encode()  # paths of this machine are nobody's business
    assert all(source not in path.read_bytes() for path in tmp_path.iterdir())
    session = onnxruntime.InferenceSession(tmp_path / "step.onnx")
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    assert shapes["key_0"] == [1, "context_tokens", 2, 16] and shapes["velocity"] == [1, "region_tokens", 4]
    assert shapes["positions"] == ["region_tokens", 3]


def make_least_step() -> tuple[TargetPass, Tensors]:
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    flux = FluxTransformer2DModel(
        in_channels=12,
        out_channels=4,
        num_layers=0,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        axes_dims_rope=(4, 6, 6),
    ).requires_grad_(False)
    inputs = {
        "noisy": torch.randn(1, 5, 4),
        "filling": torch.randn(1, 5, 8),
        "positions": torch.rand(5, 3),
        "sigma": torch.tensor([0.5]),
        "pooled": torch.randn(1, 8),
        "key_0": torch.randn(1, 9, 2, 16),
        "value_0": torch.randn(1, 9, 2, 16),
    }
    return TargetPass(TwoPass(flux), ["single_transformer_blocks.0"]).eval(), inputs


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
def test_programs_of_torch_edit_as_a2_does(pipeline: EditPipeline, tmp_path: Path, frozen: bool) -> None:
    if frozen:
        freeze(pipeline, {})
    example = build_example(pipeline, make_sample())
    assert write_programs(tmp_path, pipeline, example) < 1e-5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["context.pt2", "example.safetensors", "step.pt2"]
    source = str(Path(onnx.__file__).parent).encode()
    assert all(source not in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
def test_graphs_of_experts_edit_as_a2_does(pipeline: EditPipeline, tmp_path: Path, frozen: bool) -> None:
    if frozen:
        freeze(pipeline, {})
    example = build_example(pipeline, make_sample())
    assert write_onnx(tmp_path, pipeline, example) < 1e-4
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == ["context.onnx", "example.safetensors", "step.onnx", "weights.data"]
    parameters = sum(p.numel() * p.element_size() for p in pipeline.backbone.transformer.parameters())
    assert (tmp_path / WEIGHTS).stat().st_size < 1.2 * parameters  # both graphs share them
    context, step = (open_graph(tmp_path / f"{name}.onnx") for name in ("context", "step"))
    torch.testing.assert_close(walk(context, step, example), example.edited, rtol=0, atol=1e-3)
    assert run_snippet(example, "onnxruntime", tmp_path) < 1e-3


@pytest.mark.slow
def test_graphs_take_any_number_of_tokens(pipeline: EditPipeline, tmp_path: Path) -> None:
    example = build_example(pipeline, make_sample())
    write_onnx(tmp_path, pipeline, example)
    context, step = (open_graph(tmp_path / f"{name}.onnx") for name in ("context", "step"))
    own_context, own_step = own_passes(pipeline)
    generator = torch.Generator().manual_seed(0)
    for known, text, region in ((1, 1, 1), (40, 7, 33), (3, 20, 2)):
        sizes = {"known_tokens": known, "text_tokens": text, "region_tokens": region}
        inputs = {n: resize(n, t, sizes, generator) for n, t in example.context.items()}
        kept = own_context(inputs)
        assert get_difference(context(inputs), kept) < 1e-4
        rest = {n: resize(n, t, sizes, generator) for n, t in example.target.items()}
        assert get_difference(step({**rest, **kept}), own_step({**rest, **kept})) < 1e-4


def resize(name: str, tensor: Tensor, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
    from a2cli.exporting.functional import get_length

    shape, place = list(tensor.shape), get_length(name)
    if place is not None:
        shape[place[0]] = sizes[place[1]]
    return torch.rand(shape, generator=generator)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_nano_edits_outside_of_a2(tmp_path: Path, runtime: str) -> None:
    pipeline = EditPipeline.load("nano", device="cpu")
    example = build_example(pipeline, make_sample(256))
    write = write_onnx if runtime == "onnxruntime" else write_programs
    assert write(tmp_path, pipeline, example) < 1e-4
    assert run_snippet(example, runtime, tmp_path) < 1e-3
