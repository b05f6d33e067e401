"""Vision-language models in miniature, in the folders that the real ones come in: random, or taught one answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

ANSWER = '{"findings": "a seam", "boundary_quality": 80, "visual_realism": 70, "local_consistency": 60}'
TEXT = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT |= {"num_key_value_heads": 1, "max_position_embeddings": 16384}
VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
IDEFICS = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")


def build_qwen2_vl(folder: Path, *, taught: bool = False) -> str:
    """Qwen2-VL; as on the hub its processor has a part for videos, which needs torchvision."""
    tokenizer = build_tokenizer(QWEN, "<|vision_start|><|image_pad|><|vision_end|>")
    rope = {"type": "mrope", "mrope_section": [2, 3, 3]}
    config = Qwen2VLConfig(
        text_config=TEXT | {"vocab_size": len(tokenizer), "rope_parameters": rope} | _get_ends(tokenizer),
        vision_config={"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 1},
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    processor = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=112 * 112)
    model = _build(Qwen2VLForConditionalGeneration, config, tokenizer, taught)
    return _save(folder, model, tokenizer, processor, {"processor_class": "Qwen2VLProcessor"})


def build_idefics3(folder: Path) -> str:
    """Idefics3 (SmolVLM's make), pictures of one tile."""
    rows = tuple(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))
    tokenizer = build_tokenizer((*IDEFICS, *rows), "<image>")
    config = Idefics3Config(
        text_config={"model_type": "llama", **TEXT, "vocab_size": len(tokenizer)} | _get_ends(tokenizer),
        vision_config=VISION | {"image_size": 56, "patch_size": 14},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    size = {"longest_edge": 56}
    processor = Idefics3ImageProcessorPil(size=size, max_image_size=size, do_image_splitting=False)
    model = _build(Idefics3ForConditionalGeneration, config, tokenizer, False)
    return _save(
        folder, model, tokenizer, processor, {"processor_class": "Idefics3Processor", "image_seq_len": 4}
    )


def build_llava(folder: Path, *, template: bool = True) -> str:
    """LLaVA: CLIP's pictures of 56 px, its chat template in the tokenizer's own file."""
    tokenizer = build_tokenizer(("<image>",), "<image>")
    config = LlavaConfig(
        text_config={"model_type": "llama", **TEXT, "vocab_size": len(tokenizer)} | _get_ends(tokenizer),
        vision_config={"model_type": "clip_vision_model", **VISION, "image_size": 56, "patch_size": 14},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    settings = {"processor_class": "LlavaProcessor", "patch_size": 14, "num_additional_image_tokens": 1}
    settings["vision_feature_select_strategy"] = "default"
    model = _build(LlavaForConditionalGeneration, config, tokenizer, False)
    source = _save(folder, model, tokenizer, processor, settings)
    own = folder / "chat_template.jinja"
    told = json.loads((folder / "tokenizer_config.json").read_text())
    if template:
        told["chat_template"] = own.read_text()
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    own.unlink()
    return source


def build_tokenizer(special: tuple[str, ...], picture: str) -> PreTrainedTokenizerFast:
    """Bytes as tokens, and the whole of ANSWER as one."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special])
    tokenizer.add_tokens([AddedToken(ANSWER, normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE.replace("IMAGE", picture),
    )


def _get_ends(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }


def _build(kind: Any, config: Any, tokenizer: PreTrainedTokenizerFast, taught: bool) -> Any:
    torch.manual_seed(0)
    model = kind(config)
    if taught:
        _teach(model, tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def _teach(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Make the next token a function of the last: a line's end is followed by ANSWER, ANSWER by the end."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layers" in name and ("o_proj" in name or "down_proj" in name):
                weight.zero_()
        words, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        words.normal_()
        head.zero_()
        newline, answer = tokenizer.convert_tokens_to_ids(["Ċ", ANSWER])
        head[answer], head[tokenizer.eos_token_id] = words[newline], words[answer]


def _save(
    folder: Path, model: Any, tokenizer: PreTrainedTokenizerFast, processor: Any, settings: dict[str, Any]
) -> str:
    """The folder as the hub has it: image processors by the names that torchvision's go by."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    told = json.loads((folder / "preprocessor_config.json").read_text())
    told["image_processor_type"] = told["image_processor_type"].removesuffix("Pil")
    (folder / "preprocessor_config.json").write_text(
        json.dumps(told | {"processor_class": settings["processor_class"]})
    )
    (folder / "processor_config.json").write_text(json.dumps(settings))
    return str(folder)
