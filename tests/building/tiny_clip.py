"""CLIP and SigLIP in miniature with tokenizers of the taxonomy's own words, and pictures they are made to recognise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from a2cli.data.taxonomy import CATEGORIES, get_phrase, get_subcategories

LAYER = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
PHRASES = [get_phrase(category, name) for category in CATEGORIES for name in get_subcategories(category)]
LENGTH = 24  # tokens


def build_tokenizer(length: int = LENGTH) -> PreTrainedTokenizerFast:
    """Whole words of the captions, each an id; <s> before and </s> after."""
    words = sorted({word for phrase in PHRASES for word in phrase.lower().replace("-", " - ").split()})
    names = ["<s>", "</s>", "<unk>", "a", "photo", "of", ".", *words]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("</s>", 1), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>",
        model_max_length=length, model_input_names=["input_ids"],
    )  # fmt: skip


def build_clip(folder: Path, *, seen: Sequence[tuple[np.ndarray, str]] = ()) -> str:
    """Save a CLIP of 32 px with random weights; each picture of `seen` is made to lie on its phrase's feature.

    The picture's projection is the least-squares map from what the tower sees to the sentences' features.
    """
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    text = {**LAYER, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH, "eos_token_id": 1}
    config = CLIPConfig(
        text_config=text, vision_config={**LAYER, "image_size": 32, "patch_size": 8}, projection_dim=24
    )
    model = _scatter(CLIPModel(config))
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    if seen:
        with torch.no_grad():
            images = processor([Image.fromarray(rgb) for rgb, _ in seen], return_tensors="pt")
            states = model.vision_model(**images).pooler_output
            sentences = [f"a photo of {phrase}." for _, phrase in seen]
            tokens = tokenizer(sentences, padding=True, return_tensors="pt")
            wanted = model.get_text_features(**tokens).pooler_output
            model.visual_projection.weight.copy_((torch.linalg.pinv(states) @ wanted).T)
    return _save(folder, model, tokenizer, processor)


def build_siglip(folder: Path) -> str:
    """Save a SigLIP of 32 px with random weights."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    config = SiglipConfig(
        text_config={**LAYER, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH},
        vision_config={**LAYER, "image_size": 32, "patch_size": 8},
    )
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    return _save(folder, _scatter(SiglipModel(config)), tokenizer, processor)


def _scatter(model: Any) -> Any:
    """Wider weights, so that sentences and pictures lie apart; attention stays even, so that every word counts."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "q_proj" not in name:
                weight.normal_(0.0, 0.4)
        model.logit_scale.fill_(4.6)  # as trained ones have it
    return model.eval()


def _save(folder: Path, *parts: Any) -> str:
    for part in parts:
        part.save_pretrained(folder)
    return str(folder)
