"""The memory a training run asks of a GPU, part by part, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from a2cli.backbones.base import Quantize
from a2cli.backbones.loading import check_folder
from a2cli.backbones.quantize import QUANTIZED_PARTS, get_quantizable, get_quantized_bytes
from a2cli.context.layout import PATCH
from a2cli.engine.memory import ALLOWANCE
from a2cli.errors import BackboneError, ConfigError
from a2cli.lora.config import LoraConfig
from a2cli.mot.config import MotConfig
from a2cli.training.activations import Compute, StepShape, inject_adapter, trace_step

Architecture = Mapping[str, Mapping[str, Any]]
GIB = 1 << 30

# The published configurations of FLUX.1 Fill's components, as their folders' config.json state them.
FLUX_FILL: Architecture = {
    "transformer": {
        "in_channels": 384,
        "out_channels": 64,
        "num_layers": 19,
        "num_single_layers": 38,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 768,
        "guidance_embeds": True,
    },
    "vae": {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": 16,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    "text_encoder": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    },
    "text_encoder_2": {
        "vocab_size": 32128,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "feed_forward_proj": "gated-gelu",
    },
}
# What FLUX.1 Redux adds: a SigLIP tower for the reference, and its projection to text width.
REDUX: Architecture = {
    "image_encoder": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 384,
        "patch_size": 14,
    },
    "image_embedder": {"redux_dim": 1152, "txt_in_features": 4096},
}
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")


@dataclass(frozen=True)
class RunShape:
    """What of a run decides its memory.

    resolution, reference: sides in px of the working crop and of the reference (None: the same). batch_size:
    samples a process sees at once. text_tokens: the prompt's; the image encoder's come on top. dtype: of the
    frozen base. autocast: whether the step runs under bf16 autocast. cached_text, cached_images: encoders are
    dropped once all is encoded.
    """

    adapter: MotConfig | LoraConfig
    resolution: int
    batch_size: int = 1
    noise_draws: int = 1
    reference: int | None = None
    text_tokens: int = 512
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    quantize: Quantize | None = None
    optimizer: Literal["adamw", "adamw8bit", "muon"] = "adamw"
    ema: bool = False
    autocast: bool = True
    gradient_checkpointing: bool = False
    gradient_accumulation: int = 1
    cached_text: bool = False
    cached_images: bool = False


@dataclass(frozen=True)
class Budget:
    """Bytes of one process, by part, at the peak of a training step.

    `activations` is all a step holds besides the kept keys and values (`context_cache`) and one set of
    gradients: saved tensors, recomputed blocks, gradients on their way, temporaries.
    """

    transformer: int
    text_encoders: int
    image_encoder: int
    vae: int
    adapter: int
    gradients: int
    optimizer: int
    ema: int
    context_cache: int
    activations: int
    allowance: int = ALLOWANCE

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(asdict(self).values())

    def format(self) -> str:
        """Lay out the parts that are there as a table in GiB, the sum below."""
        rows = [(name.replace("_", " "), size) for name, size in asdict(self).items() if size]
        return "\n".join(f"{name:<14} {size / GIB:7.2f} GiB" for name, size in [*rows, ("total", self.total)])


def get_budget(run: RunShape, architecture: Architecture = FLUX_FILL) -> Budget:
    """Work out the memory of a run on a frozen base; allocates next to nothing, takes seconds.

    Raises `ConfigError` for a size the model cannot take, `BackboneError` for a component that cannot be built.
    """
    models = {name: _build(name, options) for name, options in architecture.items()}
    options = dict(models["transformer"].config)
    shape = _get_shape(run, models)
    size = {name: get_weight_bytes(name, model, run) for name, model in models.items()}
    _, trained = inject_adapter(models["transformer"], run.adapter)
    weights = 4 * sum(parameter.numel() for parameter in trained.values())
    accumulate = run.gradient_accumulation > 1
    compute = Compute(
        getattr(torch, run.dtype), run.quantize, run.autocast, run.gradient_checkpointing, accumulate
    )
    step = trace_step(options, run.adapter, shape, compute)
    made = 0 if accumulate else weights  # gradients the step itself makes
    text = 0 if run.cached_text else sum(size.get(name, 0) for name in TEXT_ENCODERS)
    tower = 0 if run.cached_images else size.get("image_encoder", 0)
    return Budget(
        transformer=size["transformer"],
        text_encoders=text,
        image_encoder=tower + size.get("image_embedder", 0),
        vae=size["vae"],
        adapter=weights,
        gradients=weights,
        optimizer=get_optimizer_bytes(
            {name: tuple(parameter.shape) for name, parameter in trained.items()}, run.optimizer
        ),
        ema=weights if run.ema else 0,
        context_cache=step.cache,
        activations=max(0, step.peak - made - step.cache),
    )


def _get_shape(run: RunShape, models: Mapping[str, Any]) -> StepShape:
    token_px = PATCH * 2 ** (len(models["vae"].config.block_out_channels) - 1)
    for name, px in (("resolution", run.resolution), ("reference", run.reference or run.resolution)):
        if px < token_px or px % token_px:
            raise ConfigError(f"{name}: {px}", hint=f"a multiple of {token_px}, a token's side")
    text = run.text_tokens
    if "image_encoder" in models:
        tower = models["image_encoder"].config
        text += (tower.image_size // tower.patch_size) ** 2
    return StepShape(
        side=run.resolution // token_px,
        reference=(run.reference or run.resolution) // token_px,
        text=text,
        batch_size=run.batch_size,
        noise_draws=run.noise_draws,
    )


def get_weight_bytes(name: str, model: nn.Module, run: RunShape) -> int:
    """Get the bytes of a component's weights as `run` loads them."""
    itemsize = getattr(torch, run.dtype).itemsize
    total = sum(p.numel() for p in model.parameters()) * itemsize
    if run.quantize is not None and name in QUANTIZED_PARTS:
        for linear in get_quantizable(model).values():
            packed = get_quantized_bytes((linear.out_features, linear.in_features), run.quantize)
            total += packed - linear.weight.numel() * itemsize
    return total


def get_optimizer_bytes(shapes: Mapping[str, tuple[int, ...]], optimizer: str) -> int:
    """Get the bytes of the optimizer's state for float32 parameters by name.

    adamw: two moments. adamw8bit: a byte each and a scale for 256, for tensors of 4096 numbers and more. muon: one
    moment for the matrices of blocks, adamw's two for the rest.
    """
    total = 0
    for name, shape in shapes.items():
        count = torch.Size(shape).numel()
        if optimizer == "adamw8bit" and count >= 4096:
            total += 2 * (count + 4 * -(-count // 256))
        elif optimizer == "muon" and len(shape) in (2, 4) and "block" in name:
            total += 4 * count
        else:
            total += 8 * count
    return total


def _build(name: str, options: Mapping[str, Any]) -> Any:
    """Make a component without memory for its weights."""
    import diffusers
    import transformers
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    classes: dict[str, Any] = {
        "transformer": diffusers.FluxTransformer2DModel,
        "vae": diffusers.AutoencoderKL,
        "text_encoder": transformers.CLIPTextModel,
        "text_encoder_2": transformers.T5EncoderModel,
        "image_encoder": transformers.SiglipVisionModel,
        "image_embedder": ReduxImageEncoder,
    }
    cls = classes[name]
    try:
        with torch.device("meta"):
            if hasattr(cls, "load_config"):  # diffusers
                return cls.from_config(dict(options))
            return cls(cls.config_class.from_dict(dict(options)))
    except (TypeError, ValueError, KeyError) as error:
        raise BackboneError(f"{name} cannot be built: {error}") from error


def load_architecture(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the configurations of a model folder's components.

    Raises `BackboneError` for a folder that is none, or that lacks its transformer's or autoencoder's.
    """
    check_folder(folder)
    architecture = {}
    for name in (*FLUX_FILL, *REDUX):
        path = folder / name / "config.json"
        if path.is_file():
            architecture[name] = json.loads(path.read_text(encoding="utf-8"))
        elif name in ("transformer", "vae"):
            raise BackboneError(f"{path}: not there")
    return architecture
