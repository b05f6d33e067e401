"""Plain low-rank adapters in peft's own format, on the linears a backbone lists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from a2cli.errors import CheckpointError, ConfigError
from a2cli.files import PICKLE_SUFFIXES, replace_folder, write_bytes
from a2cli.lora.config import LoraConfig
from a2cli.mot.folder import read_tensors, write_tensors
from a2cli.mot.inject import is_target
from a2cli.mot.state import copy_state
from a2cli.types import BlockSpec

WEIGHTS, CONFIG, ORIGIN = "adapter_model.safetensors", "adapter_config.json", "a2_origin.json"
FORMAT = "a2-lora"


class LoraAdapter:
    """A low-rank adapter inside a transformer; made by `inject_lora` or `load_lora`.

    `recipe`: how it was trained, as its folder says; empty for one made here or elsewhere.
    """

    def __init__(self, model: Any, recipe: Mapping[str, Any] | None = None) -> None:
        self._model = model  # peft's wrapper around the transformer, whose linears it replaced in place
        self.recipe = dict(recipe or {})

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters under the names of the adapter's file."""
        return {
            name.replace(".default.", "."): parameter
            for name, parameter in self._model.named_parameters()
            if parameter.requires_grad
        }

    def save(self, folder: Path, tensors: Mapping[str, Tensor], origin: Mapping[str, Any]) -> None:
        """Write a folder peft loads, with `a2_origin.json` beside it saying what base it belongs to.

        tensors: the parameters' values by their names. A reader sees the old folder or the new one. Raises
        CheckpointError naming a tensor that holds NaN, or when the disk refuses.
        """
        for name, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                raise CheckpointError(f"tensor {name} holds NaN or infinite values; not saved")
        with replace_folder(folder) as beside:
            config = self._model.peft_config["default"]
            inference, config.inference_mode = config.inference_mode, True
            config.save_pretrained(str(beside))
            config.inference_mode = inference
            write_tensors({k: v.cpu().contiguous() for k, v in tensors.items()}, beside / WEIGHTS)
            text = json.dumps({"format": FORMAT, **origin}, indent=2) + "\n"
            write_bytes(text.encode(), beside / ORIGIN, error=CheckpointError)


def inject_lora(transformer: nn.Module, blocks: Sequence[BlockSpec], config: LoraConfig) -> LoraAdapter:
    """Give every targeted linear of the listed blocks a low-rank adapter; the base is frozen.

    The output does not change by a bit until a B is no longer zero. Raises ConfigError when no linear is meant.
    """
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    names = [f"{b.name}.{path}" for b in blocks for path in b.linears if is_target(path, config.targets)]
    if not names:
        raise ConfigError(f"no linear for targets {config.targets!r}")
    transformer.requires_grad_(False)
    options = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=names,
        bias="none",
    )
    return LoraAdapter(get_peft_model(transformer, options, autocast_adapter_dtype=True))


def is_lora(folder: str | Path) -> bool:
    """Whether a folder holds an adapter in peft's format."""
    try:
        return "peft_type" in json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def load_lora(
    transformer: nn.Module, folder: str | Path, *, base_hash: str, dtype: torch.dtype = torch.float32
) -> LoraAdapter:
    """Put an adapter of peft's format into a transformer, for inference.

    base_hash: that of this transformer's backbone; an adapter that states another is refused, one that states
    none (made elsewhere) is taken. Raises CheckpointError for pickled weights, a damaged file, and tensors that
    are missing, unknown, of another shape or not finite.
    """
    from peft import LoraConfig as PeftConfig
    from peft import PeftModel, get_peft_model_state_dict

    folder = Path(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in PICKLE_SUFFIXES)
        cause = f"{pickles[0]} is pickled, which is never opened" if pickles else f"no {WEIGHTS} there"
        raise CheckpointError(f"{folder}: {cause}", hint="use safetensors")
    origin = read_origin(folder)
    if origin.get("base_hash", base_hash) != base_hash:
        raise CheckpointError(
            f"{folder}: made for base {origin['base_hash'][:16]}; this one has {base_hash[:16]}",
            hint="use the model it was trained on",
        )
    tensors = read_tensors(weights)
    try:
        config = PeftConfig.from_pretrained(str(folder))
        model = PeftModel(transformer, config, low_cpu_mem_usage=False)
    except (ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{folder / CONFIG}: does not fit this model: {reason}") from error
    try:
        # "auto" asks the hub for the base's vocabulary.
        copy_state(get_peft_model_state_dict(model, save_embedding_layers=False), tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{weights}: {error.message}") from error
    for module in model.modules():
        for part in ("lora_A", "lora_B"):
            if hasattr(module, part):
                getattr(module, part).to(dtype)
    model.requires_grad_(False).eval()
    return LoraAdapter(model, origin.get("recipe"))


def read_origin(folder: Path) -> dict[str, Any]:
    """Read what base an adapter says it belongs to, and its recipe; {} for one made elsewhere."""
    path = folder / ORIGIN
    if not path.is_file():
        return {}
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"base_hash": str, "backbone": str, "base_id": str, "recipe": dict}
        if not isinstance(origin, dict) or any(
            not isinstance(origin.get(key, kind()), kind) for key, kind in kinds.items()
        ):
            raise ValueError("not what a2 writes")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    return origin
