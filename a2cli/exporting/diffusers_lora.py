"""One file that diffusers' `load_lora_weights` opens."""

from __future__ import annotations

import json
from pathlib import Path

from a2cli.exporting.card import Written, get_base_lines, get_parts_left_out, tell_limits
from a2cli.exporting.peft_folders import build_config
from a2cli.exporting.source import Source
from a2cli.mot.folder import convert_tensors, write_tensors

FILE = "pytorch_lora_weights.safetensors"
PREFIX = "transformer"


def write_diffusers(source: Source, folder: Path) -> Written:
    """Write the frozen updates under diffusers' names. Raises CheckpointError for values the dtype cannot hold."""
    named = {}
    for path, delta in source.deltas.items():
        named[f"{PREFIX}.{path}.lora_A.weight"] = delta.A
        named[f"{PREFIX}.{path}.lora_B.weight"] = delta.B
    tensors, _ = convert_tensors(named, source.dtype)
    # Ranks differ from block to block. Said outright, since what a release makes of a bare file has changed.
    config = build_config(source.deltas, source.origin.base_id).to_dict()
    said = {
        f"{PREFIX}.{name}": sorted(value) if isinstance(value, set) else value
        for name, value in config.items()
        if name in ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules")
    }
    # One key only: safetensors writes several in an order that changes from process to process.
    write_tensors(tensors, folder / FILE, {"lora_adapter_metadata": json.dumps(said, sort_keys=True)})
    return Written(
        tell_limits(source, "diffusers"),
        f"""```python
from diffusers import FluxFillPipeline

{get_base_lines(source)}
pipe = FluxFillPipeline.from_pretrained(BASE{get_parts_left_out(source)})
pipe.load_lora_weights(".", weight_name="{FILE}")
```
""",
    )
