"""A FLUX.1 Fill folder in miniature: every component of the real one, random weights, saved by its own class."""

from __future__ import annotations

import json
from pathlib import Path
from string import ascii_lowercase

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

LATENTS, WIDTH, TEXT, POOLED = 4, 32, 24, 16
WORDS = ["a", "red", "cup", "photo", "of"]


def build_flux_folder(folder: Path, *, redux: bool = True, seed: int = 0) -> Path:
    """Save all parts of FLUX.1 Fill (and of Redux, where asked for) under `folder`."""
    torch.manual_seed(seed)
    parts = {
        "transformer": build_transformer(),
        "vae": build_vae(),
        "text_encoder": build_clip(),
        "text_encoder_2": T5EncoderModel(
            T5Config(
                vocab_size=64, d_model=TEXT, d_kv=8, num_heads=2, d_ff=16, num_layers=1, dropout_rate=0.0
            )
        ),
        "tokenizer": build_clip_tokenizer(folder),
        "tokenizer_2": build_t5_tokenizer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }
    if redux:
        parts["image_encoder"] = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=8,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=32,
                patch_size=16,
            )
        )
        parts["image_embedder"] = ReduxImageEncoder(redux_dim=8, txt_in_features=TEXT)
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    index = {name: [type(p).__module__.split(".")[0], type(p).__name__] for name, p in parts.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxFillPipeline", **index}))
    return folder


def build_transformer() -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        in_channels=2 * 4 * LATENTS + 256,
        out_channels=4 * LATENTS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=WIDTH // 16,
        joint_attention_dim=TEXT,
        pooled_projection_dim=POOLED,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )


def build_vae() -> AutoencoderKL:
    """FLUX's layout: 8 px a latent, no quantisation convolutions; a posterior so narrow that it has one value."""
    vae = AutoencoderKL(
        latent_channels=LATENTS,
        block_out_channels=(4, 4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        layers_per_block=1,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    with torch.no_grad():
        vae.encoder.conv_out.weight[LATENTS:] = 0
        vae.encoder.conv_out.bias[LATENTS:] = -30
    return vae


def build_clip() -> nn.Module:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=64,
            hidden_size=POOLED,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=16,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )


def build_clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """Letters and one merge."""
    letters = [*ascii_lowercase, *(f"{letter}</w>" for letter in ascii_lowercase)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, "cu", "cup</w>"]
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    vocab.write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    merges.write_text("#version: 0.2\nc u\ncu p</w>\n")
    tokenizer = CLIPTokenizer(str(vocab), str(merges), model_max_length=16)
    vocab.unlink()
    merges.unlink()
    return tokenizer


def build_t5_tokenizer() -> T5TokenizerFast:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(f"▁{word}", -1.0) for word in WORDS] + [(letter, -5.0) for letter in "▁" + ascii_lowercase]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0)
