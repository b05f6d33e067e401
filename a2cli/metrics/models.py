"""Opening transformers models, for metrics and for building: safetensors only, no code, every failure one line.

A model is named by a folder or a hub id. It runs in evaluation mode on pictures of a batch of one, so that an item
alone equals the item in company. Weights stay float32: boxes and prompts are coordinates of up to 1333 pixels, which
bfloat16 (8 bits) and float16 (11 bits) round by pixels. Where a large encoder dominates, on CUDA, `lower_precision`
lets that part alone run in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from a2cli.backbones.loading import check_folder
from a2cli.errors import A2Error, BackboneError, CheckpointError, DataError
from a2cli.files import show_name
from a2cli.quiet import loading_quietly

REMEDY = "name a folder with its config.json and model.safetensors, or a hub id that can be reached"


def get_device(device: str) -> str:
    """Resolve "auto" to CUDA, else the CPU. Raises `BackboneError` for a device there is not."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BackboneError(f"device {device}: {_get_first_line(error)}", hint="use cpu, or auto") from error
    return device


def lower_precision(device: str) -> AbstractContextManager[Any]:
    """bfloat16 for the matrix products inside the block on CUDA; elsewhere nothing changes."""
    import torch

    return torch.autocast("cuda", torch.bfloat16) if device.startswith("cuda") else nullcontext()


def load_model(cls: Any, source: str, device: str, *, spare: tuple[str, ...] = (), **options: Any) -> Any:
    """Load a model with `from_pretrained`, in float32, frozen, on `device` (resolved).

    `spare` are the beginnings of names that the weights may lack because nothing uses them; `options` go to the
    model's constructor. Tensors that the model has no place for are ignored. Raises `BackboneError` when the model
    cannot be found, is pickled or asks for code of its own; `CheckpointError` naming the tensor that is missing, of
    another shape or not finite, or the damaged file.
    """
    import torch

    check_source(source)
    reach = get_reach(source)
    with name_failure(source), loading_quietly("transformers"):
        model, info = cls.from_pretrained(
            source,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            dtype=torch.float32,
            adapter_kwargs=dict(reach),  # they are looked for by a call of their own
            **reach,
            **options,
        )
    shown = show_name(source)
    missing = [key for key in info["missing_keys"] if not key.startswith(spare)]
    if missing:
        raise CheckpointError(f"{shown}: tensor {min(missing)} is missing", hint=REMEDY)
    for name, found, wanted in sorted(info["mismatched_keys"]):
        raise CheckpointError(f"{shown}: tensor {name} has shape {tuple(found)}, not {tuple(wanted)}")
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not name.startswith(spare) and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{shown}: tensor {name} holds NaN or infinite values")
    with name_failure(source):  # of the device's memory
        return model.eval().requires_grad_(False).to(device)


def load_processor(load: Callable[..., Any], source: str, **options: Any) -> Any:
    """Call an image processor's or a tokenizer's `from_pretrained` (`load`); failures as in `load_model`."""
    with name_failure(source), loading_quietly("transformers"):
        return load(source, **get_reach(source), **options)


def check_source(source: str) -> None:
    """Refuse a model before a byte of its weights is opened: no such folder, pickles, code of its own."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        check_folder(folder)
        return
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise BackboneError(f"{show_name(source)}: no such model folder", hint=REMEDY)
    from transformers import PreTrainedConfig

    with name_failure(source), loading_quietly("transformers"):
        config, _ = PreTrainedConfig.get_config_dict(source, **get_reach(source))
    if "auto_map" in config:
        raise BackboneError(f"{show_name(source)}: asks for code of its own, which is refused")


def get_reach(source: str) -> dict[str, bool]:
    """What tells `from_pretrained` to look at the hub's cache alone, where the hub does not answer.

    The hub's client asks six times for each file that it lacks, 23 s in all, before it says so.
    """
    from huggingface_hub import constants, is_offline_mode

    if Path(source).expanduser().is_dir():
        return {}
    there = not is_offline_mode() and _does_answer(constants.ENDPOINT)
    return {} if there else {"local_files_only": True}


@cache
def _does_answer(endpoint: str) -> bool:
    """Whether a server says anything at all; asked once, for HF_HUB_ETAG_TIMEOUT seconds at most."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(endpoint, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:  # of the client's many: no name, no route, no answer, a proxy that refuses
        return False
    return True


def get_model_name(model: Any, source: str) -> str:
    """What provenance calls a model: its class, its hub id with the commit or its folder's name.

    "SamModel facebook/sam-vit-base@70009d56".
    """
    from huggingface_hub import try_to_load_from_cache

    folder = Path(source).expanduser()
    if folder.is_dir():
        return f"{type(model).__name__} {show_name(folder.resolve().name)}"
    config = try_to_load_from_cache(source, "config.json")  # in a folder called as the commit
    commit = f"@{Path(config).parent.name[:8]}" if isinstance(config, str) else ""
    return f"{type(model).__name__} {show_name(source)}{commit}"


@contextmanager
def name_failure(source: str, *, verb: str = "cannot be loaded", hint: str = REMEDY) -> Iterator[None]:
    """Turn whatever a loader raises into a `BackboneError` of one line, or a `CheckpointError` for damaged weights."""
    try:
        yield
    except A2Error:
        raise
    except (
        Exception
    ) as error:  # hub client, JSON, safetensors and transformers have no common base but Exception
        _find_damage(Path(source).expanduser())
        raise BackboneError(f"{show_name(source)}: {verb}: {_get_first_line(error)}", hint=hint) from error


@contextmanager
def name_view(name: str) -> Iterator[None]:
    """Turn a model's failure on one picture (out of memory, a picture one pixel high) into a `DataError` naming it."""
    try:
        yield
    except (RuntimeError, ValueError, ZeroDivisionError) as error:
        raise DataError(
            f"{show_name(name)}: the model fails on it: {_get_first_line(error)}",
            hint="a smaller max_side, or another picture",
        ) from error


def _find_damage(folder: Path) -> None:
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{show_name(str(path))}: damaged weights: {error}") from error


def _get_first_line(error: Exception) -> str:
    return show_name((str(error).strip() or type(error).__name__).splitlines()[0])
