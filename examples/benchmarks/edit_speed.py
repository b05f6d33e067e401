"""Time an edit against the diptych that peers run: same weights, same resolution, same steps, one process.

    python examples/benchmarks/edit_speed.py                     # nano's transformer, a table
    python examples/benchmarks/edit_speed.py --json              # the same, machine-readable

a2 encodes what is known once and denoises the tokens under the mask. The other side is diffusers' own
`FluxFillPipeline` on a canvas of twice the width, reference left and photo right, as InsertAnything lays it out:
every token is recomputed at every step, and its autoencoder keeps the memory layout diffusers loads it in. Both sides
use the embedded model's transformer, autoencoder and number of text tokens, and both times are whole edits, encoding
and decoding included; ours runs the experts as well. Rounds alternate; medians and the median of the pairwise ratios
are reported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.images.cutout import Cutout


def build_inputs(size: int, share: float) -> tuple[np.ndarray, np.ndarray, Cutout]:
    """A photo that is the working crop itself, a centred square mask of `share`, a round subject."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    side, mask = round(size * share**0.5), np.zeros((size, size), np.float32)
    start = (
        (size - side) // 2 // 16 * 16
    )  # on the token grid, so that the share of tokens is the share of pixels
    mask[start : start + side, start : start + side] = 1
    rows, columns = np.mgrid[:size, :size]
    disc = ((rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (size / 3) ** 2).astype(np.float32)
    return photo, mask, Cutout(photo, disc)


def build_ours(pipeline: EditPipeline, size: int, share: float, steps: int) -> Callable[[], Any]:
    """A whole a2 edit as a function of nothing; the crop is the whole photo."""
    photo, mask, subject = build_inputs(size, share)
    pipeline.backbone.traits = replace(pipeline.backbone.traits, resolution=size, context=10.0)
    return lambda: pipeline.generate(photo, mask, subject, EditOptions(prompt="animals", steps=steps))


def build_theirs(pipeline: EditPipeline, size: int, share: float, steps: int) -> Callable[[], Any]:
    """The diptych through `FluxFillPipeline` on a fresh copy of the same weights, diffusers' own attention."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxFillPipeline

    from a2cli.backbones.registry import load_backbone_class

    backbone = load_backbone_class("nano").load()
    backbone.vae.to(memory_format=torch.contiguous_format)  # as diffusers loads it
    photo, mask, subject = build_inputs(size, share)
    text, pooled = backbone.encode_text(["animals"])
    tokens = pipeline.backbone.build_condition(
        torch.zeros(1, 3, size, size), torch.zeros(1, 1, size, size), torch.zeros(1, 3, size, size), [""]
    ).text.shape[1]
    text = text.repeat(1, -(-tokens // text.shape[1]), 1)[:, :tokens]
    diptych = FluxFillPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=backbone.vae,
        transformer=backbone.transformer,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
    )
    diptych.set_progress_bar_config(disable=True)
    canvas = Image.fromarray(np.hstack([subject.rgb, photo]))
    hole = Image.fromarray(np.hstack([np.zeros_like(mask), mask]).astype(np.uint8) * 255)

    def run() -> Any:
        return diptych(
            image=canvas,
            mask_image=hole,
            prompt_embeds=text,
            pooled_prompt_embeds=pooled,
            height=size,
            width=2 * size,
            num_inference_steps=steps,
            generator=torch.Generator().manual_seed(0),
        ).images[0]

    return run


@torch.no_grad()
def measure(size: int, share: float, steps: int, rounds: int) -> dict[str, Any]:
    """Alternate both sides; seconds and the pairwise ratio ours / theirs."""
    pipeline = EditPipeline.load("nano")
    ours = build_ours(pipeline, size, share, steps)
    theirs = build_theirs(pipeline, size, share, steps)
    ours(), theirs()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        times.append((middle - start, time.perf_counter() - middle))
    return {
        "resolution": size,
        "mask_share": share,
        "steps": steps,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "a2_s": statistics.median(a for a, _ in times),
        "diptych_s": statistics.median(b for _, b in times),
        "ratio": statistics.median(a / b for a, b in times),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resolution", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--mask-share", type=float, default=0.2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(size, options.mask_share, options.steps, options.rounds) for size in options.resolution]
    if options.json:
        json.dump({"torch": torch.__version__, "device": "cpu", "rows": rows}, sys.stdout, indent=1)
        print()
        return 0
    for row in rows:
        print(
            f"{row['resolution']:4d} px, mask {row['mask_share']:.0%}, {row['steps']} steps: "
            f"a2 {row['a2_s']:.3f} s, diptych {row['diptych_s']:.3f} s, ratio {row['ratio']:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
