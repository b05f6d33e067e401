"""Time what recording attention costs: the same run with and without a recorder, rounds alternating in one process.

    python examples/benchmarks/localize_speed.py             # nano and FLUX width, a table
    python examples/benchmarks/localize_speed.py --json      # the same, machine-readable

nano: whole edits of the embedded model, 4 steps, the middle third of its blocks recorded in both passes. FLUX width:
one double and one single block of random weights, 3072 wide, both recorded, 512 text, 1024 photo and 1024 reference
tokens, a quarter of the photo as target; in float32 and under bfloat16 autocast. Outputs with and without are compared
bit by bit first. Medians of processor time, and the median of the pairwise ratios, are reported; one thread by default.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a2cli.context import Condition, TwoPass, recording
from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.images.cutout import Cutout
from a2cli.localize import AttentionRecorder, Layout, RecordPlan
from a2cli.quiet import quieten_libraries

PROMPT = "replace the red cup"
ROWS = tuple(range(12, 19))  # of "red cup", byte by byte
Run = Callable[[], Tensor]
Recorded = Callable[[], AbstractContextManager[Any]]


def build_nano(size: int, steps: int) -> tuple[Run, Recorded, dict[str, Any]]:
    """An edit on the embedded model at `size` px, its recorder, and what is recorded."""
    pipeline = EditPipeline.load("nano")
    backbone = pipeline.backbone
    backbone.traits = replace(backbone.traits, resolution=size, context=10.0)
    rng = np.random.default_rng(0)
    photo, mask = rng.integers(0, 256, (size, size, 3), dtype=np.uint8), np.zeros((size, size), np.float32)
    mask[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    subject = Cutout(photo, np.ones_like(mask))
    seen: list[Condition] = []
    build = backbone.build_condition
    backbone.build_condition = lambda *a: seen.append(build(*a)) or seen[-1]  # type: ignore[method-assign,func-returns-value]

    def run() -> Tensor:
        options = EditOptions(prompt=PROMPT, steps=steps)
        return torch.from_numpy(pipeline.generate(photo, mask, subject, options)[0])

    run()
    known = seen[0]
    layout = Layout(known.text.shape[1], int(known.visible[0].sum()), known.reference.shape[1])
    names = [block.name for block in backbone.get_blocks()]
    third = names[len(names) // 3 : len(names) - len(names) // 3]
    plan = RecordPlan(tuple(third), tuple(row for row in ROWS if row < layout.text))
    what = {"width": "nano", "size": size, "steps": steps, "blocks": len(third), "rows": len(plan.text_rows)}
    what |= {"context": layout.length, "target": int((~known.visible[0]).sum())}
    return run, lambda: recording(pipeline.two_pass, AttentionRecorder(plan, layout)), what


def build_flux(layout: Layout, heads: int, *, half: bool, steps: int) -> tuple[Run, Recorded, dict[str, Any]]:
    """Both passes through one double and one single block of random weights, 128 wide a head."""
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=24,
        out_channels=8,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=128,
        num_attention_heads=heads,
        joint_attention_dim=64,
        pooled_projection_dim=64,
        guidance_embeds=True,
    ).eval()
    side = round(layout.photo**0.5)
    visible = torch.ones(1, side, side, dtype=torch.bool)
    visible[:, side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = False
    visible = visible.flatten(1)
    condition = Condition(
        masked=torch.randn(1, side * side, 8),
        mask=torch.zeros(1, side * side, 8),
        visible=visible,
        reference=torch.randn(1, layout.reference, 8),
        text=torch.randn(1, layout.text, 64),
        pooled=torch.randn(1, 64),
        grid=(side, side),
        ref_grid=(1, layout.reference),
    )
    two_pass, region = TwoPass(transformer, guidance=30.0), condition.get_region()
    noisy = torch.randn(1, len(region), 8)

    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            cache = two_pass.encode_context(condition)
            for sigma in torch.linspace(1, 0.1, steps):
                velocity = two_pass.predict_velocity(noisy, sigma, condition, cache, region)
        return velocity

    known = replace(layout, photo=int(visible.sum()))
    plan = RecordPlan(("transformer_blocks.0", "single_transformer_blocks.0"), tuple(range(4, 8)))
    what = {"width": 128 * heads, "dtype": "bfloat16 autocast" if half else "float32", "steps": steps}
    what |= {"blocks": 2, "rows": 4, "context": known.length, "target": len(region)}
    return run, lambda: recording(two_pass, AttentionRecorder(plan, known)), what


@torch.no_grad()
def measure(run: Run, recorded: Recorded, what: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Processor seconds with and without, and how much longer recording takes, as a share."""
    with recorded():
        watched = run()
    if not torch.equal(watched, run()):
        raise SystemExit("recording changed the output")
    pairs = []
    for number in range(rounds):
        times = {}
        for on in (False, True) if number % 2 else (True, False):
            start = time.process_time()
            with recorded() if on else nullcontext():
                run()
            times[on] = time.process_time() - start
        pairs.append((times[False], times[True]))
    return {
        **what,
        "plain_s": statistics.median(plain for plain, _ in pairs),
        "recorded_s": statistics.median(on for _, on in pairs),
        "overhead": statistics.median(on / plain for plain, on in pairs) - 1,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="side of nano's working crop, px")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--heads", type=int, default=24, help="of the wide blocks, 128 wide each")
    parser.add_argument(
        "--tokens", type=int, nargs=3, default=[512, 1024, 1024], help="text, photo, reference"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    quieten_libraries()
    torch.set_num_threads(options.threads)
    layout = Layout(*options.tokens)
    rows = [measure(*build_nano(options.size, options.steps), 5 * options.rounds)]
    for half in (False, True):
        wide = build_flux(layout, options.heads, half=half, steps=options.steps)
        rows.append(measure(*wide, options.rounds))
    report = {
        "torch": torch.__version__,
        "device": "cpu",
        "threads": options.threads,
        "rounds": options.rounds,
    }
    if options.json:
        json.dump({**report, "rows": rows}, sys.stdout, indent=1)
        print()
        return 0
    for row in rows:
        print(
            f"{row['width']!s:>5} {row.get('dtype', 'float32'):17s} {row['rows']} rows of {row['blocks']} blocks, "
            f"{row['context']} + {row['target']} tokens, {row['steps']} steps: {row['plain_s']:.3f} s, "
            f"recorded {row['recorded_s']:.3f} s, overhead {row['overhead']:+.1%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
