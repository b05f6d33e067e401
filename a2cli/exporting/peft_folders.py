"""Folders that peft opens: the frozen routing, and every expert by itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from a2cli.errors import CheckpointError
from a2cli.exporting.card import Written, get_base_lines, tell_limits
from a2cli.exporting.deltas import LowRank, get_expert_gates, truncate
from a2cli.exporting.source import Origin, Source, is_hub_id
from a2cli.files import write_bytes
from a2cli.lora.adapter import FORMAT, ORIGIN, WEIGHTS
from a2cli.mot.folder import convert_tensors, write_tensors

FROZEN = "merge"


def write_peft(source: Source, folder: Path) -> Written:
    """Write `merge` and `expert_0` to `expert_N-1`, each a folder for `PeftModel.from_pretrained`.

    In `merge` the gates of the frozen routing are in B; an expert's own folder has it at gate 1. An adapter without
    routing has `merge` alone. Raises CheckpointError for values that the dtype cannot hold.
    """
    write_folder(source, folder / FROZEN, source.deltas)
    if source.routing is None:
        return Written(
            tell_limits(source, "peft"),
            _tell_use(source),
        )
    assert source.origin.experts is not None
    count = source.origin.experts.num_experts
    for i in range(count):
        deltas = source.get_deltas(get_expert_gates(source.routing.gates, i))
        if source.config.rank is not None:
            deltas, _ = truncate(deltas, source.config.rank)
        write_folder(source, folder / f"expert_{i}", deltas)
    return Written(
        tell_limits(source, "peft"),
        f"{_tell_use(source)}\n`expert_0` to `expert_{count - 1}` hold one expert each at gate 1; `routing.json` says "
        "how much of it each block takes. A gate of its own for each block is not something peft has: "
        "`add_weighted_adapter` mixes whole folders.",
    )


def write_folder(source: Source, folder: Path, deltas: Mapping[str, LowRank]) -> None:
    """Write updates as one folder of peft's, with `a2_origin.json`, so that `a2 edit --adapter` takes it too."""
    folder.mkdir()
    named = {}
    for path, delta in deltas.items():
        named[f"base_model.model.{path}.lora_A.weight"] = delta.A
        named[f"base_model.model.{path}.lora_B.weight"] = delta.B
    tensors, _ = convert_tensors(named, source.dtype)
    config = build_config(deltas, source.origin.base_id)
    config.save_pretrained(str(folder))
    write_tensors(tensors, folder / WEIGHTS)
    text = json.dumps({"format": FORMAT, **_get_origin(source.origin)}, indent=2) + "\n"
    write_bytes(text.encode(), folder / ORIGIN, error=CheckpointError)


def build_config(deltas: Mapping[str, LowRank], base_id: str) -> Any:
    """Make the `peft.LoraConfig` that loads these updates at scale 1: alpha equals the rank of every linear."""
    from peft import LoraConfig

    ranks = {path: delta.rank for path, delta in deltas.items()}
    usual = Counter(ranks.values()).most_common(1)[0][0]
    # peft matches the end of a name; the anchor keeps `proj_out` from meaning every block's.
    others = {f"^{re.escape(path)}": rank for path, rank in ranks.items() if rank != usual}
    return LoraConfig(
        r=usual,
        lora_alpha=usual,
        rank_pattern=others,
        alpha_pattern=dict(others),
        target_modules=get_targets(ranks),
        base_model_name_or_path=base_id if is_hub_id(base_id) else None,  # which peft looks up
        inference_mode=True,
        bias="none",
    )


def get_targets(paths: Mapping[str, int]) -> list[str] | str:
    """Name linears for peft: a list, or one expression where a name is also the end of another's."""
    ends = {path.split(".", i)[-1] for path in paths for i in range(1, path.count(".") + 1)}
    if ends & set(paths):
        return "|".join(re.escape(path) for path in sorted(paths))
    return list(paths)


def _get_origin(origin: Origin) -> dict[str, Any]:
    known = {"backbone": origin.backbone, "base_id": origin.base_id, "base_hash": origin.base_hash}
    return {**{name: value for name, value in known.items() if value}, "recipe": origin.recipe}


def _tell_use(source: Source) -> str:
    return f"""```python
from diffusers import FluxTransformer2DModel
from peft import PeftModel

{get_base_lines(source)}
transformer = FluxTransformer2DModel.from_pretrained(BASE, subfolder="transformer")
transformer = PeftModel.from_pretrained(transformer, "{FROZEN}")
```

`a2 edit --adapter {FROZEN}` takes the folder as well, and edits as a2 does.
"""
