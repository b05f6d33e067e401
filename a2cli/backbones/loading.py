"""Opening diffusers folders without trusting them: safetensors only, no code, every tensor accounted for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from a2cli.errors import BackboneError, CheckpointError
from a2cli.files import PICKLE_SUFFIXES, walk_folder

_SUBFOLDERS = (
    "transformer",
    "vae",
    "text_encoder*",
    "tokenizer*",
    "scheduler",
    "image_encoder",
    "image_embedder",
)
_CHUNK, _CHUNKS = 1 << 20, 32
_FLOATS = {"F64", "F32", "F16", "BF16"}


def fetch_folder(source: str) -> Path:
    """Find the local folder of a model: a path as it is, a hub id through the hub's cache.

    Raises `BackboneError` when the hub cannot deliver it, and what `check_folder` raises.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if source.startswith((".", "/", "~")) or source.count("/") != 1:
            raise BackboneError(f"{source}: no such model folder")
        from huggingface_hub import snapshot_download

        patterns = [
            f"{name}/{kind}"
            for name in _SUBFOLDERS
            for kind in ("*.json", "*.txt", "*.model", "*.safetensors")
        ]
        try:
            folder = Path(snapshot_download(source, allow_patterns=["*.json", *patterns]))
        except Exception as error:  # the hub client's errors have no common base but Exception
            cause = _get_first_line(error)
            raise BackboneError(
                f"{source}: the hub does not deliver it: {cause}", hint="--model FOLDER works offline"
            ) from error
    check_folder(folder)
    return folder


def hash_weights(folder: Path) -> str:
    """Digest a folder's safetensors files as they lie on disk, hex sha256.

    Small files count whole; of large ones the header and 32 evenly spaced MiB, which any other training run
    would have changed.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with open(path, "rb") as file:
            for i in range(_CHUNKS):
                file.seek(
                    max(0, i * (size - _CHUNK) // max(1, _CHUNKS - 1))
                    if size > _CHUNK * _CHUNKS
                    else i * _CHUNK
                )
                digest.update(file.read(_CHUNK))
    return digest.hexdigest()


def check_folder(folder: Path) -> None:
    """Refuse a model folder that holds pickled weights or asks for its own code; raises `BackboneError`."""
    if not folder.is_dir():
        raise BackboneError(f"{folder}: no such model folder")
    for path in walk_folder(folder):
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise BackboneError(
                f"{path}: pickled weights are never opened", hint="convert them to safetensors"
            )
        if path.suffix.lower() == ".py":
            raise BackboneError(f"{path}: model folders with code of their own are refused")
        if path.name.endswith("config.json") or path.name == "model_index.json":
            _check_config(path)


def _check_config(path: Path) -> None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise BackboneError(f"{path}: not a model configuration: {error}") from error
    if not isinstance(config, dict):
        raise BackboneError(f"{path}: not a model configuration")
    if "auto_map" in config:
        raise BackboneError(f"{path}: asks for code of its own, which is refused")


def load_component(cls: Any, model: str, subfolder: str, **options: Any) -> Any:
    """Load one component through `from_pretrained`, strictly.

    Raises `CheckpointError` naming the file when it is damaged, and the tensor when one is missing, extra, of
    another shape, not floating or not finite; `BackboneError` when the component cannot be found.
    """
    where = Path(model) / subfolder
    layout = _read_layout(where)
    options = {"use_safetensors": True, "output_loading_info": True, **options}
    with _as_backbone_error(where):
        try:
            component, info = cls.from_pretrained(model, subfolder=subfolder, **options)
        except (OSError, ValueError, RuntimeError):
            _check_shapes(cls, where, layout)
            raise
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(kind):
            first = sorted(str(k) for k in info[kind])[0]
            raise CheckpointError(f"{where}: {kind.replace('_', ' ')}: {first}")
    for name, tensor in component.state_dict().items():
        if not tensor.is_floating_point():
            continue
        path, dtype, _ = layout.get(name, (where, "F32", ()))
        if dtype not in _FLOATS:
            raise CheckpointError(f"{path}: tensor {name} is {dtype}, not floating")
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinite values")
    return component.eval().requires_grad_(False)


def load_tokenizer(model: str, subfolder: str) -> Any:
    """Load a tokenizer; raises `BackboneError` naming its folder when it cannot be found or read."""
    from transformers import AutoTokenizer

    with _as_backbone_error(Path(model) / subfolder):
        return AutoTokenizer.from_pretrained(model, subfolder=subfolder)


@contextmanager
def _as_backbone_error(where: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise BackboneError(f"{where}: cannot be loaded: {_get_first_line(error)}") from error


def _get_first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _read_layout(where: Path) -> dict[str, tuple[Path, str, tuple[int, ...]]]:
    """Read the headers of a component's weights: tensor name -> file, dtype, shape."""
    from safetensors import SafetensorError, safe_open

    layout = {}
    for path in sorted(where.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118, it is no mapping
                    part = file.get_slice(name)
                    layout[name] = (path, part.get_dtype(), tuple(part.get_shape()))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: damaged weights: {error}") from error
    return layout


def _check_shapes(cls: Any, where: Path, layout: dict[str, tuple[Path, str, tuple[int, ...]]]) -> None:
    """Name the first tensor whose shape is not the one the component's configuration asks for."""
    import torch

    with torch.device("meta"):
        if hasattr(cls, "load_config"):  # diffusers
            skeleton = cls.from_config(cls.load_config(where))
        else:
            skeleton = cls(cls.config_class.from_pretrained(where))
    for name, tensor in skeleton.state_dict().items():
        path, _, shape = layout.get(name, (where, "", tuple(tensor.shape)))
        if shape != tuple(tensor.shape):
            raise CheckpointError(f"{path}: tensor {name} has shape {shape}, not {tuple(tensor.shape)}")
