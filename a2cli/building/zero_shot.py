"""Names for subjects from their looks: a CLIP-like model asked for every subcategory of the taxonomy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from a2cli.building.records import View
from a2cli.data.taxonomy import CATEGORIES, Label, get_phrase, get_subcategories
from a2cli.errors import BackboneError, DataError
from a2cli.files import show_name
from a2cli.metrics.models import (
    get_device,
    get_model_name,
    load_model,
    load_processor,
    name_failure,
    name_view,
)

BATCH = 64  # sentences at a time
MANY = 0.9  # of the sentences that a tokenizer must spell differently
MARGIN = 0.1  # of a box's longer side, left around it


def load_zero_shot(model: str, device: str) -> ZeroShot:
    """Open a model of two towers (CLIP, SigLIP; folder or hub id) with its tokenizer and its image processor.

    Raises what `load_model` raises, and `BackboneError` for a model that does not compare words and pictures.
    """
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    device = get_device(device)
    # A classifier's weights may lack the pooler; they are to be refused for what they are.
    loaded = load_model(AutoModel, model, device, spare=("pooler.",))
    if not (hasattr(loaded, "get_text_features") and hasattr(loaded, "get_image_features")):
        raise BackboneError(
            f"{show_name(model)}: {type(loaded).__name__} does not compare words and pictures",
            hint="name a CLIP or SigLIP model",
        )
    tokenizer = load_processor(AutoTokenizer.from_pretrained, model)
    processor = load_processor(AutoImageProcessor.from_pretrained, model, backend="pil")
    return ZeroShot(loaded, tokenizer, processor, model, device)


@dataclass(frozen=True)
class ZeroShot:
    """A loaded model that says which of the taxonomy's subcategories a picture shows.

    Each stands as "a photo of a sofa." (Radford et al. 2021, 3.1.4), portraits with their trait in words; the sentence
    whose feature lies closest to the picture's, by their cosine, wins.
    """

    model: Any
    tokenizer: Any
    processor: Any
    source: str
    device: str

    @property
    def name(self) -> str:
        return get_model_name(self.model, self.source)

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """Every subcategory, in the taxonomy's order."""
        return tuple(Label(c, s) for c in CATEGORIES for s in get_subcategories(c))

    @cached_property
    def text_features(self) -> np.ndarray:
        """Of each label's sentence its feature: (N, d) float32 of length 1, computed once."""
        import torch

        sentences = [f"a photo of {get_phrase(label.category, label.subcategory)}." for label in self.labels]
        features = []
        spelt: set[tuple[int, ...]] = set()
        with torch.inference_mode(), name_failure(self.source, verb="does not read words"):
            for start in range(0, len(sentences), BATCH):
                tokens = self.tokenizer(
                    sentences[start : start + BATCH],
                    truncation=True,
                    return_tensors="pt",
                    **self._get_padding(),
                )
                features.append(self.model.get_text_features(**tokens.to(self.device)).pooler_output)
                spelt.update(tuple(ids) for ids in tokens["input_ids"].tolist())
        if len(spelt) < MANY * len(
            sentences
        ):  # transformers makes an empty tokenizer where the files are missing
            raise BackboneError(
                f"{show_name(self.source)}: its tokenizer does not know the words of the taxonomy",
                hint="the folder needs its tokenizer.json",
            )
        return self._normalise(torch.cat(features))

    def name_subject(self, view: View, category: str = "") -> tuple[Label, float]:
        """The subcategory that a view shows, of `category` alone where it is said, and how sure that is.

        Looked at is the subject alone on grey where its mask is known, else its best box with a margin, else the whole
        picture. Sureness is the softmax of the model's scaled cosines over the labels asked for, in [0, 1]. Raises
        `DataError` naming the view.
        """
        import torch

        with name_view(view.name):
            inputs = self.processor(Image.fromarray(get_crop(view)), return_tensors="pt").to(self.device)
            with torch.inference_mode():
                feature = self._normalise(self.model.get_image_features(**inputs).pooler_output)[0]
        asked = [i for i, label in enumerate(self.labels) if category in ("", label.category)]
        cosines = self.text_features[asked].astype(np.float64) @ feature.astype(np.float64)
        if not np.isfinite(cosines).all():
            raise DataError(f"{show_name(view.name)}: {self.name} gives no finite feature for it")
        logits = cosines * float(self.model.logit_scale.exp())
        odds = np.exp(logits - logits.max())
        best = int(logits.argmax())
        return self.labels[asked[best]], float(odds[best] / odds.sum())

    def _get_padding(self) -> dict[str, Any]:
        """SigLIP was trained on sentences padded to its full length; others ignore what follows the end."""
        length = self.model.config.text_config.max_position_embeddings
        kind = "max_length" if self.model.config.model_type.startswith("siglip") else "longest"
        return {"padding": kind, "max_length": length}

    @staticmethod
    def _normalise(features: Any) -> np.ndarray:
        values: np.ndarray = features.float().cpu().numpy()
        return values / np.linalg.norm(values, axis=-1, keepdims=True)


def get_crop(view: View) -> np.ndarray:
    """What of a view a model is shown: (h, w, 3) uint8. An empty mask counts as none."""
    if view.mask is not None and view.mask.any():
        from a2cli.building.judge.vision_embedding import isolate

        return isolate(view.rgb, view.mask)
    if not view.boxes:
        return view.rgb
    box, (height, width) = view.boxes[0], view.rgb.shape[:2]
    room = MARGIN * max(box.x1 - box.x0, box.y1 - box.y0)
    x0, x1 = max(0, int(box.x0 - room)), min(width, int(np.ceil(box.x1 + room)))
    y0, y1 = max(0, int(box.y0 - room)), min(height, int(np.ceil(box.y1 + room)))
    return view.rgb[y0:y1, x0:x1] if x1 > x0 and y1 > y0 else view.rgb
