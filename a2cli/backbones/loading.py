"""Opening diffusers folders without trusting them: safetensors only, no code, every tensor accounted for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from a2cli.errors import BackboneError, CheckpointError

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


_SUBFOLDERS = ("transformer", "vae", "text_encoder*", "tokenizer*", "scheduler", "image_encoder", "image_embedder")
_CHUNK, _CHUNKS = 1 << 20, 32


def fetch_folder(source: str) -> Path:
    """Find the local folder of a model: a path as it is, a hub id through the hub's cache.

    Raises `BackboneError` when the hub cannot deliver it, and what `check_folder` raises.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if source.startswith((".", "/", "~")) or source.count("/") != 1:
            raise BackboneError(f"{source}: no such model folder")
        from huggingface_hub import snapshot_download

        patterns = [f"{name}/{kind}" for name in _SUBFOLDERS for kind in ("*.json", "*.txt", "*.model", "*.safetensors")]
        try:
            folder = Path(snapshot_download(source, allow_patterns=["*.json", *patterns]))
        except Exception as error:  # the hub client's errors have no common base but Exception
            cause = str(error).strip().splitlines()[0]
            raise BackboneError(f"{source}: the hub does not deliver it: {cause}", hint="--model FOLDER works offline") from error
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
                file.seek(max(0, i * (size - _CHUNK) // max(1, _CHUNKS - 1)) if size > _CHUNK * _CHUNKS else i * _CHUNK)
                digest.update(file.read(_CHUNK))
    return digest.hexdigest()


def check_folder(folder: Path) -> None:
    """Refuse a model folder that holds pickled weights or asks for its own code; raises `BackboneError`."""
    if not folder.is_dir():
        raise BackboneError(f"{folder}: no such model folder")
    for path in sorted(folder.rglob("*")):
        if path.suffix in _PICKLES:
            raise BackboneError(f"{path}: pickled weights are never opened", hint="convert them to safetensors")
        if path.suffix == ".py":
            raise BackboneError(f"{path}: model folders with code of their own are refused")
        if path.name in ("config.json", "model_index.json"):
            _check_config(path)


def _check_config(path: Path) -> None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise BackboneError(f"{path}: not a model configuration: {error}") from error
    if not isinstance(config, dict) or "auto_map" in config:
        raise BackboneError(f"{path}: asks for code of its own, which is refused")


def load_component(cls: Any, model: str, subfolder: str, **options: Any) -> Any:
    """Load one component through `from_pretrained`, strictly.

    Raises `CheckpointError` naming the tensor when one is missing, extra, of another shape or not finite, and
    `BackboneError` when the component cannot be found.
    """
    from safetensors import SafetensorError

    where = f"{model}/{subfolder}"
    options = {"use_safetensors": True, "output_loading_info": True, **options}
    try:
        component, info = cls.from_pretrained(model, subfolder=subfolder, **options)
    except SafetensorError as error:
        raise CheckpointError(f"{where}: damaged weights: {error}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise BackboneError(f"{where}: cannot be loaded: {str(error).splitlines()[0]}") from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(kind):
            first = sorted(str(k) for k in info[kind])[0]
            raise CheckpointError(f"{where}: {kind.replace('_', ' ')}: {first}")
    for name, tensor in component.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{where}: tensor {name} holds NaN or infinite values")
    return component.eval().requires_grad_(False)
