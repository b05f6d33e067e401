"""Out of memory is told from other failures; the one thing to try is the gentlest there is."""

from __future__ import annotations

import pytest
import torch
from batches import Catalogue

from a2cli.batch.memory import free_memory, get_relief, is_out_of_memory
from a2cli.config.memory import MemoryConfig
from a2cli.engine.edit import Editor
from a2cli.engine.working import working_at
from a2cli.errors import BackboneError


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.OutOfMemoryError("HIP out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("the name is out of memory.png"), False),
    ],
)
def test_out_of_memory_is_told_from_other_failures(error: Exception, wanted: bool) -> None:
    assert is_out_of_memory(error) is wanted
    wrapped = BackboneError("cannot be loaded")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped) is wanted


def test_a_real_allocation_that_fails_is_out_of_memory() -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(1 << 60, dtype=torch.float32)
    assert is_out_of_memory(caught.value)
    free_memory()


def test_a_gpu_is_relieved_first_and_a_crop_made_smaller_otherwise(catalogue: Catalogue) -> None:
    on_cpu = catalogue.build()
    editor = Editor(on_cpu)
    relief = get_relief(on_cpu, editor)
    assert relief is not None and relief.editor is editor and relief.working == 32
    on_gpu = catalogue.build(device="cuda")
    relief = get_relief(on_gpu, Editor(on_gpu))
    assert relief is not None and relief.working is None and "--offload model" in relief.words
    for memory in (MemoryConfig(offload="model"), MemoryConfig(offload="none"), MemoryConfig(vram=10**9)):
        seen_to = catalogue.build(device="cuda", memory=memory)
        relief = get_relief(seen_to, editor)  # its pipeline is loaded already: no GPU is asked for
        assert relief is not None and relief.working == 32


def test_there_is_an_end_to_smaller(catalogue: Catalogue) -> None:
    config = catalogue.build()
    editor = Editor(config)
    pipeline = editor.load()
    with working_at(pipeline, 32):
        assert pipeline.backbone.traits.resolution == 32 and get_relief(config, editor) is None
    assert pipeline.backbone.traits.resolution == 64
