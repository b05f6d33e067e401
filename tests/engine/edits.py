"""What the tests of `a2 edit` share: a tiny model of random weights, a scene, and the command line in process."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from pictures import encode, make_scene
from PIL import Image

from a2cli.backbones.flux import NanoBackbone
from a2cli.cli import main
from a2cli.engine.pipeline import EditPipeline
from a2cli.training.config import ModelConfig
from a2cli.training.nano import build_or_load_nano, save_nano

ARCHITECTURE: dict[str, Any] = {
    "traits": {"resolution": 64, "token_px": 16, "context": 1.5, "steps": 2, "guidance": 1.0, "shift": 1.0},
    "transformer": {
        "in_channels": 288,  # 16 noisy + 16 hole-filled + 256 mask bits a token
        "out_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 32,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
        "guidance_embeds": False,
        "axes_dims_rope": [8, 12, 12],
    },
    "vae": {
        "latent_channels": 4,
        "block_out_channels": [8, 8, 8, 8],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "sample_size": 64,
        "mid_block_add_attention": False,
        "scaling_factor": 1.0,
        "shift_factor": 0.0,
        "force_upcast": False,
    },
    "text_encoder_2": {
        "vocab_size": 384,
        "d_model": 32,
        "d_kv": 16,
        "num_heads": 2,
        "d_ff": 32,
        "num_layers": 1,
    },
    "image_encoder": {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    },
    "image_embedder": {"redux_dim": 32, "txt_in_features": 32},
}


def build_tiny(empty: Path) -> NanoBackbone:
    """A nano of random weights; every parameter of its transformer is moved off its silent start."""
    backbone = build_or_load_nano(ModelConfig("base", str(empty), ARCHITECTURE), seed=0)
    with torch.no_grad():
        for parameter in backbone.transformer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return backbone


def save_tiny(folder: Path) -> Path:
    """Write the tiny model as a folder that `--model` takes."""
    empty = folder / "empty"
    empty.mkdir()
    save_nano(build_tiny(empty), folder / "tiny nano")
    return folder / "tiny nano"


def make_pipeline(model: Path) -> EditPipeline:
    """The tiny model alone, on the CPU."""
    return EditPipeline.load("nano", model=str(model), adapter="none", device="cpu")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.decode().splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class Studio:
    """A folder with a photo, a reference and a mask, and `a2 edit` run there on the tiny model."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        capture: pytest.CaptureFixture[bytes],
        patch: pytest.MonkeyPatch,
    ) -> None:
        self.folder, self.model, self._capture, self._patch = folder, model, capture, patch
        patch.chdir(folder)
        self.scene = make_scene()
        self.photo = self.write("photo.png", encode(self.scene, "PNG"))
        self.ref = self.write("cat.png", encode(make_reference(), "PNG"))
        self.marked = np.zeros(self.scene.shape[:2], bool)
        self.marked[12:26, 20:38] = True
        self.mask = self.write("mask.png", encode_mask(self.marked))

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def list_files(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))

    def run(self, *arguments: object, stdin: bytes | Path | None = None) -> Done:
        """Run `a2 edit ARGUMENTS`; `stdin` bytes stand for `-`, a path for a redirected file."""
        stream: IO[str] | None = None
        if isinstance(stdin, Path):
            stream = stdin.open()
        elif stdin is not None:
            stream = io.TextIOWrapper(io.BytesIO(stdin))
        with self._patch.context() as patch:
            if stream is not None:
                patch.setattr(sys, "stdin", stream)
            self._capture.readouterr()
            code = main(["edit", *(str(a) for a in arguments)])
        if stream is not None:
            stream.close()
        out, err = self._capture.readouterr()
        return Done(code, out, err.decode())

    def edit(self, *arguments: object, stdin: bytes | Path | None = None) -> Done:
        """The same with the tiny model and the usual reference."""
        return self.run(
            "--ref", self.ref, "--model", self.model, "--adapter", "none", *arguments, stdin=stdin
        )


def make_reference() -> np.ndarray:
    """(48, 40, 3) uint8: a striped ellipse on white, which the automatic cut-out finds."""
    rows, columns = np.mgrid[0:48, 0:40]
    inside = ((rows - 23.5) / 18) ** 2 + ((columns - 19.5) / 13) ** 2 < 1
    stripes = np.where((rows // 4 % 2 == 0)[..., None], (210, 60, 20), (20, 60, 150))
    return np.where(inside[..., None], stripes, 255).astype(np.uint8)


def encode_mask(marked: np.ndarray) -> bytes:
    """(H, W) bool -> a grey PNG, white where True."""
    return encode(marked.astype(np.uint8) * 255, "PNG")


def read_pixels(path: Path | bytes) -> np.ndarray:
    """Samples as Pillow gives them, palettes expanded."""
    image = Image.open(io.BytesIO(path) if isinstance(path, bytes) else path)
    return np.asarray(image.convert("RGB") if image.mode == "P" else image)


def read_region(path: Path) -> np.ndarray:
    """A saved region as (H, W) bool."""
    return np.asarray(Image.open(path)) > 0
