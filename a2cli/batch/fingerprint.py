"""What an output depends on, in one digest: the bytes of its inputs, the settings that show, the weights.

Two runs with one fingerprint make the same picture, so the second need not be made. A setting counts unless it is named
in UNSEEN: one that is added later and forgotten here costs an edit, never a stale picture.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from a2cli.config.edit import ADDRESS, EditConfig

# Places and names, which count by what lies there; how it is told and run.
UNSEEN = {
    *("sources", "refs", "mask", "ref_mask", "out", "save_region", "save_attention", "make_folders", "batch"),
    *("model", "adapter", "expects", "device", "max_pixels", "allow_urls", "json", "quiet", "dry_run"),
}
UNSEEN_OF_MEMORY = ("vram", "offload")  # where weights lie changes no picture, in how many bits they lie does
INPUTS = ("source", "ref", "mask", "ref_mask")
KEPT = 64  # digests of files that recur, as one reference for all does
_PART = 1 << 20

Digest = dict[str, Any]


class Digests:
    """Digests of input files; one that recurs and has not changed is read once."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, int], str] = OrderedDict()

    def get_inputs(self, config: EditConfig, known: Mapping[str, Any] | None = None) -> dict[str, Digest]:
        """The inputs of one edit by role: `size` in bytes, `mtime_ns` and `sha256`; `text` where an input is no file.

        known: what an earlier run found; a file of the same size and time is taken to hold the same bytes.
        """
        names = (*(config.sources or (None,)), *config.refs, config.mask, config.ref_mask)
        found = {}
        for role, name in zip(INPUTS, names, strict=True):
            if name is not None:
                found[role] = self._get(name, (known or {}).get(role))
        return found

    def _get(self, name: str, known: Any) -> Digest:
        if name == "-" or ADDRESS.match(name) or name.lower().startswith("box:"):
            return {"text": name}
        try:
            state = os.stat(name)
            if not stat.S_ISREG(state.st_mode):
                return {"text": ""}  # a pipe can be read once, and by the edit
            if isinstance(known, dict) and (known.get("size"), known.get("mtime_ns")) == (
                state.st_size,
                state.st_mtime_ns,
            ):
                return known
            key = (os.path.abspath(name), state.st_size, state.st_mtime_ns)
            digest = self._known.pop(key, None) or hash_file(name)
        except OSError:
            return {"text": ""}  # the edit itself says what is wrong with it
        self._known[key] = digest
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "sha256": digest}


def get_fingerprint(config: EditConfig, inputs: Mapping[str, Digest], weights: str) -> str:
    """The digest of one edit, 32 hex digits: settings, `inputs` of `Digests.get_inputs`, `hash_model`'s `weights`."""
    settings = {name: value for name, value in asdict(config).items() if name not in UNSEEN}
    if "memory" in settings:
        settings["memory"] = {k: v for k, v in settings["memory"].items() if k not in UNSEEN_OF_MEMORY}
    content = {role: digest.get("sha256") or digest.get("text", "") for role, digest in inputs.items()}
    suffix = Path(config.out or "").suffix.lower()  # the format is part of the picture
    record = [settings, content, suffix, weights]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:32]


def hash_model(config: EditConfig) -> str:
    """The digest of model and adapters, without loading them; a name stands for what is not on this disk.

    Raises `BackboneError` for an unknown backbone, and what `choose_adapters` raises.
    """
    from a2cli.backbones.loading import hash_weights
    from a2cli.backbones.registry import load_backbone_class
    from a2cli.engine.adapters import choose_adapters

    source = config.model or getattr(load_backbone_class(config.backbone), "default_model", None) or ""
    folder = Path(source).expanduser()
    parts = [config.backbone]
    if folder.is_dir():
        for place in sorted({folder, *(path.parent for path in folder.rglob("*.safetensors"))}):
            parts.append(f"{place.relative_to(folder)} {hash_weights(place)}")
        parts += [f"{p.relative_to(folder)} {hash_file(p)}" for p in sorted(folder.rglob("*.json"))]
    else:
        parts.append(source)
    adapters = choose_adapters(config.adapter, backbone=config.backbone, model=config.model)
    for kind, name in adapters.folders.items():
        settings = Path(name) / "adapter_config.json"
        parts.append(f"{kind} {hash_weights(Path(name))} {hash_file(settings) if settings.is_file() else ''}")
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def hash_file(path: str | Path) -> str:
    """The sha256 of a regular file, hex. Raises `OSError`."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_PART):
            digest.update(part)
    return digest.hexdigest()
