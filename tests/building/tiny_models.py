"""Detectors, segmenters and encoders in miniature: random weights in the folders that the real ones come in."""

from __future__ import annotations

from pathlib import Path
from string import ascii_lowercase

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertTokenizerFast,
    BitImageProcessorPil,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    Sam2Config,
    Sam2Model,
    SamConfig,
    SamImageProcessorPil,
    SamModel,
    SamProcessor,
    SwinConfig,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

# Grounding DINO looks for these ids of BERT's vocabulary: they part the phrases of a query.
SPECIAL = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
WORDS = ("cat", "dog", "car", "sports", "chair", "person", "red", "animal", "vehicle", "tree", "dress")
SAM_SIDE, SAM2_SIDE = 64, 128


def build_grounding_dino(folder: Path, *, seed: int = 0) -> str:
    """Save Grounding DINO with a Swin and a BERT of one small layer a stage; pictures of 64 px at the short side."""
    torch.manual_seed(seed)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=BertConfig(
            vocab_size=1100,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
        ),
        num_queries=12,
        encoder_layers=1,
        decoder_layers=2,  # one shares its box head with nobody, which transformers refuses
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        d_model=32,
        max_text_len=48,
        disable_custom_kernels=True,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 107})
    GroundingDinoProcessor(images, build_bert_tokenizer()).save_pretrained(folder)
    return str(folder)


def build_bert_tokenizer() -> BertTokenizerFast:
    """A BERT tokenizer of a few words and every letter, the special tokens at BERT's own ids."""
    rest = iter((*WORDS, *ascii_lowercase, *(f"##{c}" for c in ascii_lowercase), ",", "-"))
    vocabulary = {SPECIAL[i] if i in SPECIAL else next(rest, f"[unused{i}]"): i for i in range(1100)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    return BertTokenizerFast(tokenizer_object=tokenizer)


def build_sam(folder: Path, *, seed: int = 0) -> str:
    """Save SAM: pictures of 64 px at the long side, an embedding of 8 x 8."""
    torch.manual_seed(seed)
    vision = {
        "hidden_size": 16,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SAM_SIDE,
        "patch_size": 8,
        "window_size": 4,
        "global_attn_indexes": [1],
        "num_pos_feats": 8,
        "mlp_dim": 16,
        "initializer_range": 0.3,
    }
    prompt = {"hidden_size": 16, "image_size": SAM_SIDE, "patch_size": 8, "mask_input_channels": 4}
    decoder = {
        "hidden_size": 16,
        "mlp_dim": 16,
        "num_attention_heads": 2,
        "iou_head_depth": 2,
        "iou_head_hidden_dim": 16,
    }
    config = SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder, initializer_range=0.3
    )
    model = SamModel(config)
    head = model.mask_decoder.iou_prediction_head.proj_out
    with torch.no_grad():  # scores near 0.7, as of a trained model: none of them is nonsense
        head.weight.mul_(0.02)
        head.bias.fill_(0.7)
    model.save_pretrained(folder)
    processor = SamImageProcessorPil(
        size={"longest_edge": SAM_SIDE},
        pad_size={"height": SAM_SIDE, "width": SAM_SIDE},
        mask_size={"longest_edge": 32},
        mask_pad_size={"height": 32, "width": 32},
    )
    SamProcessor(processor).save_pretrained(folder)
    return str(folder)


def build_sam2(folder: Path, *, seed: int = 0) -> str:
    """Save SAM 2's image model: squares of 128 px, an embedding of 8 x 8."""
    torch.manual_seed(seed)
    hiera = {
        "hidden_size": 8,
        "image_size": [SAM2_SIDE, SAM2_SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [8, 4, 4, 4],
        "window_positional_embedding_background_size": [4, 4],
        "global_attention_blocks": [3],  # not the first of a stage, which pools
        "model_type": "sam2_hiera_det_model",
    }
    vision = {
        "backbone_config": hiera,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
        "model_type": "sam2_vision_model",
    }
    prompt = {"hidden_size": 32, "image_size": SAM2_SIDE, "patch_size": 16, "mask_input_channels": 4}
    decoder = {
        "hidden_size": 32,
        "mlp_dim": 16,
        "num_attention_heads": 2,
        "iou_head_depth": 2,
        "iou_head_hidden_dim": 16,
    }
    config = Sam2Config(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder, initializer_range=0.2
    )
    Sam2Model(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        '{"image_processor_type": "Sam2ImageProcessorFast", "resample": 2, "do_resize": true, "do_rescale": true,'
        ' "do_normalize": true, "rescale_factor": 0.00392156862745098, "image_mean": [0.485, 0.456, 0.406],'
        f' "image_std": [0.229, 0.224, 0.225], "size": {{"height": {SAM2_SIDE}, "width": {SAM2_SIDE}}}}}'
    )
    return str(folder)


def build_dinov2(folder: Path, *, seed: int = 0) -> str:
    """Save DINOv2: 28 px cut from the middle of 32, patches of 14."""
    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        initializer_range=0.3,
    )
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}, resample=3
    ).save_pretrained(folder)
    return str(folder)


def build_clip(folder: Path, *, seed: int = 0) -> str:
    """Save CLIP, both towers, without a tokenizer: 32 px, patches of 16, features of 12."""
    torch.manual_seed(seed)
    layer = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**layer, "vocab_size": 99, "max_position_embeddings": 16},
        vision_config={**layer, "image_size": 32, "patch_size": 16},
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder
    )
    return str(folder)


def build_vit(folder: Path, *, seed: int = 0) -> str:
    """Save a ViT as a classifier: its weights hold a head that nobody asks for and no pooler."""
    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        initializer_range=0.3,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)
