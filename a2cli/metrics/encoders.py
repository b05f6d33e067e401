"""What pictures and sentences look like to CLIP, DINOv2 and DINO, by transformers, in float32 on every device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from a2cli.errors import BackboneError
from a2cli.files import show_name
from a2cli.metrics.measure import Weights
from a2cli.metrics.models import (
    REMEDY,
    check_source,
    get_model_name,
    get_reach,
    load_model,
    load_processor,
    name_failure,
)
from a2cli.metrics.precision import run_exactly
from a2cli.metrics.weights import hash_tensors

Network = Literal["clip", "dinov2", "dino"]
NETWORKS: tuple[Network, ...] = get_args(Network)
LONGEST = 64  # times as long as wide: of longer pictures only the middle is resized
DINO_EDGE = 256 / 224  # of a side: the shorter edge before the middle is cut out
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def find_source(weights: Weights, network: Network) -> str:
    """The folder or hub id of a network: what `weights.folder` holds goes before the single name."""
    if weights.folder is not None:
        inside = Path(weights.folder).expanduser() / network
        if inside.is_dir():
            return str(inside)
    return str(getattr(weights, network))


def open_encoder(network: Network, weights: Weights, device: str, *, words: bool = False) -> Encoder:
    """Open a network on `device` (resolved); with `words` CLIP's tokenizer too.

    Raises what `load_model` raises, and `BackboneError` for a model of another kind or a tokenizer without words; where
    nothing is found, the remedy names the folder that would be looked in.
    """
    import transformers

    source = find_source(weights, network)
    remedy = f"put config.json, model.safetensors and what goes with them into DIR/{network}; --weights DIR"
    classes: dict[Network, tuple[Any, dict[str, Any]]] = {
        "clip": (transformers.CLIPModel, {}),
        "dinov2": (transformers.Dinov2Model, {}),
        "dino": (transformers.ViTModel, {"add_pooling_layer": False}),
    }
    cls, options = classes[network]
    try:
        _check_kind(source, cls.config_class.model_type)
        model = load_model(cls, source, device, **options)
        processor = build_dino_processor(model) if network == "dino" else _load_processor(source)
        tokenizer = _load_tokenizer(source) if words else None
    except BackboneError as error:
        hint = remedy if error.hint in ("", REMEDY) else error.hint
        raise BackboneError(error.message, hint=hint) from error
    name = (
        f"transformers {transformers.__version__} {get_model_name(model, source)}, float32,"
        f" weights sha256:{hash_tensors(model.state_dict())}, {describe_processor(processor)}"
    )
    return Encoder(network, model, processor, tokenizer, device, name)


@dataclass(frozen=True)
class Encoder:
    """An open network. `name` goes on record: class, source, hash of the weights, how pictures are resized.

    Pictures and sentences run one by one, so that features never depend on company.
    """

    network: Network
    model: Any
    processor: Any
    tokenizer: Any
    device: str
    name: str

    def look(self, view: np.ndarray) -> np.ndarray:
        """The feature of a picture, (h, w, 3) uint8 -> (d,) float32 of any length, which need not be finite.

        CLIP's is the projected one, DINOv2's and DINO's the class token after the last norm.
        """
        if getattr(self.processor, "do_center_crop", False):
            view = cut_middle(view)
        pixels = self.processor(Image.fromarray(view), return_tensors="pt")[
            "pixel_values"
        ]  # (1, 3, side, side)
        with run_exactly():
            if self.network == "clip":
                feature = self.model.get_image_features(pixel_values=pixels.to(self.device)).pooler_output
            else:
                feature = self.model(pixel_values=pixels.to(self.device)).last_hidden_state[:, 0]
        values: np.ndarray = feature[0].cpu().numpy()
        return values

    def read(self, sentence: str) -> np.ndarray:
        """CLIP's feature of a sentence, (d,) float32; what goes beyond the model's 77 tokens is cut off."""
        length = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(sentence, truncation=True, max_length=length, return_tensors="pt")
        with run_exactly():
            feature = self.model.get_text_features(**tokens.to(self.device)).pooler_output
        values: np.ndarray = feature[0].cpu().numpy()
        return values


def cut_middle(view: np.ndarray) -> np.ndarray:
    """The middle of a picture more than LONGEST times as long as wide, else all of it: (H, W, 3) -> (h, w, 3).

    Processors resize the whole and then keep the middle square alone: 1 x 4096 pixels would become 200 million. The
    square stays the same to half of its own pixels.
    """
    height, width = view.shape[:2]
    rows = max((height - LONGEST * width) // 2, 0)
    columns = max((width - LONGEST * height) // 2, 0)
    return np.ascontiguousarray(view[rows : height - rows, columns : width - columns])


def build_dino_processor(model: Any) -> Any:
    """DINO's own preparation, as MagicBrush's too: the shorter edge to 256, bicubic, and of that the middle 224.

    The folder's file, a default of transformers, would stretch pictures to 224 x 224, bilinear. Source: Caron et al.,
    2021, as published with the evaluation of nearest neighbours.
    """
    from transformers import BitImageProcessorPil

    side = int(model.config.image_size)
    return BitImageProcessorPil(
        size={"shortest_edge": round(side * DINO_EDGE)},
        crop_size={"height": side, "width": side},
        resample=Image.Resampling.BICUBIC,
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
    )


def describe_processor(processor: Any) -> str:
    """What a processor does: "shorter edge 256 bicubic, middle 224 x 224, mean 0.485 ..., deviation 0.229 ..."."""
    size, way = processor.size, Image.Resampling(processor.resample).name.lower()
    edge = f"shorter edge {size.shortest_edge}" if size.shortest_edge else f"{size.width} x {size.height}"
    steps = [f"{edge} {way}"]
    if getattr(processor, "do_center_crop", False):
        steps.append(f"middle {processor.crop_size.width} x {processor.crop_size.height}")
    if processor.do_normalize:
        for word, values in (("mean", processor.image_mean), ("deviation", processor.image_std)):
            steps.append(f"{word} {' '.join(f'{value:.4g}' for value in values)}")
    return ", ".join(steps)


def _check_kind(source: str, wanted: str) -> None:
    """Refuse a model of another kind by its config.json, before its tensors are missed."""
    from transformers import PreTrainedConfig

    check_source(source)
    with name_failure(source):
        config, _ = PreTrainedConfig.get_config_dict(source, **get_reach(source))
    if (kind := config.get("model_type")) != wanted:
        raise BackboneError(f"{show_name(source)}: a model of kind {kind}, not {wanted}")


def _load_processor(source: str) -> Any:
    from transformers import AutoImageProcessor

    return load_processor(AutoImageProcessor.from_pretrained, source, backend="pil")


def _load_tokenizer(source: str) -> Any:
    """CLIP's tokenizer; transformers makes an empty one where the files are missing, which is refused."""
    from transformers import AutoTokenizer

    tokenizer = load_processor(AutoTokenizer.from_pretrained, source)
    if tokenizer("cat")["input_ids"] == tokenizer("dog")["input_ids"]:
        raise BackboneError(f"{show_name(source)}: its tokenizer knows no words: no tokenizer.json")
    return tokenizer
