"""Encodings kept on disk by the content of what they encode: what a frozen encoder says never changes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from a2cli.errors import BackboneError, CheckpointError
from a2cli.files import make_folder, write_bytes

TEXT, PICTURES = ("text",), ("image", "reference", "target")
_SAMPLED = 256  # numbers of each tensor that go into the digest of an encoder


class EncodingCache:
    """A folder of encodings, one file each, below the digest of the encoders that made them.

    The name of a file is the digest of its input, so a picture or prompt that changes is encoded anew, and
    encodings of other weights lie in another folder and are never read; so do those of other `settings` (all that
    changes what the same weights say: precision, lengths, scales). `kinds` are remembered, others computed.
    """

    def __init__(
        self, folder: Path, encoders: dict[str, nn.Module], kinds: Iterable[str], settings: str = ""
    ) -> None:
        self.kinds = frozenset(kinds)
        self.folder = folder / get_encoder_digest(encoders, settings)
        self.hits = self.misses = 0
        self.device = torch.device("cpu")  # where what is remembered is put
        self.closed = frozenset[str]()
        stale = [p.name for p in folder.glob("*") if p.is_dir() and p != self.folder]
        if stale:
            logging.getLogger("a2cli").warning(
                f"{folder}: {len(stale)} stale cache(s), made by other encoders, not used: {', '.join(sorted(stale))}"
                " (delete them if nobody needs them)"
            )

    def recall(
        self, kind: str, inputs: Any, compute: Callable[[Any], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """What `compute(inputs)` gives; rows known from disk are not computed.

        inputs: a list of prompts or a tensor (B, ...). Raises BackboneError for an unknown row of a kind whose
        encoder was let go (`close`).
        """
        if kind not in self.kinds:
            return compute(inputs)
        keys = [get_key(kind, row) for row in inputs]
        rows = [self._load(key) for key in keys]
        missing = [i for i, row in enumerate(rows) if row is None]
        self.hits, self.misses = self.hits + len(rows) - len(missing), self.misses + len(missing)
        if missing and kind in self.closed:
            raise BackboneError(
                f"{self.folder}: no {kind} encoding {keys[missing[0]]}, and its encoder is gone"
            )
        if missing:
            some = [inputs[i] for i in missing]
            with torch.no_grad():
                made = compute(some if isinstance(inputs, list) else torch.stack(some))
            for place, i in enumerate(missing):
                rows[i] = tuple(part[place].detach() for part in made)
                self._store(keys[i], rows[i] or ())
        known = [row for row in rows if row is not None]
        return tuple(
            torch.stack([part.to(self.device) for part in parts]) for parts in zip(*known, strict=True)
        )

    def close(self, kinds: Iterable[str]) -> None:
        """Say that the encoders of these kinds are gone: what is not known from now on is an error."""
        self.closed |= frozenset(kinds)

    def _load(self, key: str) -> tuple[Tensor, ...] | None:
        path = self._get_path(key)
        try:
            tensors = load_file(path)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError):
            return None  # a damaged file is made again
        return tuple(tensors[str(i)] for i in range(len(tensors)))

    def _store(self, key: str, parts: Sequence[Tensor]) -> None:
        path = self._get_path(key)
        make_folder(path.parent, error=CheckpointError)
        data = save({str(i): part.cpu().contiguous() for i, part in enumerate(parts)})
        write_bytes(data, path, error=CheckpointError)

    def _get_path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def get_key(kind: str, row: str | Tensor) -> str:
    """The digest of one prompt or one picture, hex."""
    digest = hashlib.sha256(kind.encode() + b"\0")
    if isinstance(row, str):
        digest.update(row.encode())
    else:
        digest.update(f"{row.dtype}{tuple(row.shape)}".encode())
        digest.update(row.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:40]


def get_encoder_digest(encoders: dict[str, nn.Module], settings: str = "") -> str:
    """A digest of encoders by their tensors' names, shapes, types and some of their values, and of `settings`, hex.

    Two trainings of one architecture differ in nearly every value, so a sample of each tensor tells them apart.
    """
    digest = hashlib.sha256(settings.encode())
    for part, module in sorted(encoders.items()):
        for name, whole in sorted(module.state_dict().items()):
            for tensor in _get_plain(whole):
                digest.update(f"{part}.{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
                flat = tensor.detach().flatten()
                sample = flat[:: max(1, flat.numel() // _SAMPLED)].cpu().contiguous()
                digest.update(sample.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _get_plain(tensor: Tensor) -> list[Tensor]:
    """The plain tensors a tensor of fewer bits is made of; a plain one itself."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor]
    return [part for name in tensor.__tensor_flatten__()[0] for part in _get_plain(getattr(tensor, name))]
