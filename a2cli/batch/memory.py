"""An edit that runs out of memory: told from other failures, and tried once more with less."""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass, replace

from a2cli.config.edit import EditConfig
from a2cli.engine.edit import Editor
from a2cli.engine.working import choose_smaller

# torch.OutOfMemoryError is a RuntimeError; what cuBLAS, cuDNN, MPS and the CPU allocator say.
_WORDS = re.compile(r"out of memory|CUBLAS_STATUS_ALLOC_FAILED|can't allocate memory|not enough memory", re.I)


@dataclass(frozen=True)
class Relief:
    """What an edit is tried with once more: another editor, or the same on a smaller crop; `words` say which."""

    editor: Editor
    words: str
    working: int | None = None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, says that memory ran out, the GPU's or the machine's."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or (isinstance(seen, RuntimeError) and _WORDS.search(str(seen))):
            return True
        seen = seen.__cause__
    return False


def free_memory() -> None:
    """Give back what nothing uses any more; call it where no traceback holds tensors."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def get_relief(config: EditConfig, editor: Editor) -> Relief | None:
    """The one thing to try: weights kept off the GPU, which changes no pixel, else a smaller crop; None: neither."""
    if (lighter := _offload(config)) is not None:
        editor.unload()
        free_memory()
        return Relief(Editor(lighter), "with parts kept in main memory (--offload model)")
    traits = editor.load().backbone.traits
    side = choose_smaller(traits)
    return None if side is None else Relief(editor, f"at {side} px instead of {traits.resolution} px", side)


def _offload(config: EditConfig) -> EditConfig | None:
    """The settings with whole parts kept off the GPU; None where there is none, or memory was seen to already."""
    import torch

    memory = config.memory
    on_gpu = config.device.startswith("cuda") or (config.device == "auto" and torch.cuda.is_available())
    if not on_gpu or memory.offload is not None or memory.vram is not None:
        return None
    return replace(config, memory=replace(memory, offload="model"))
