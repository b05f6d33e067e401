#!/usr/bin/env python3
"""How much of a bare training loop's speed is left in `a2 train`?

Experts on the embedded model. Both sides run the same forward, backward and optimizer step on the same modules; the
bare loop takes batches that lie in memory. `a2 train` also clips, checks for NaN, averages weights, writes its log, and
is timed twice: on batches in memory too, which shows what the loop itself costs, and on those its loader process
makes meanwhile (synthesis, masks drawn anew, registration, crops), which on a small machine takes cores from the step.
Rounds of a loop and the bare one take turns in one process; ratios are those of the medians.

    python examples/benchmarks/train_speed.py [--threads N] [--rounds N] [--steps N] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2cli.config.load import load_config
from a2cli.masks.augment import roughen
from a2cli.training.config import TrainConfig
from a2cli.training.run import build_objective
from a2cli.training.trainer import Trainer, uses_half

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "train" / "nano-mot.yaml"


def run_bare(trainer: Trainer, batches: list[dict[str, Any]], steps: int) -> float:
    """Samples a second of forward, backward and step on batches in memory."""
    began = time.perf_counter()
    for number in range(steps):
        batch = batches[number % len(batches)]
        loss, _ = trainer.wrapped(
            trainer.objective.loss, batch, trainer.objective.count(batch), batch["samples"]
        )
        loss.backward()
        for optimizer in trainer.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return steps * trainer.batch / (time.perf_counter() - began)


def measure(rounds: int, steps: int, *, loader: bool) -> dict[str, Any]:
    """Rates of `a2 train` and the bare loop in turn, in samples a second."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(TrainConfig, CONFIG, [f"output_dir={folder}/run", "model.path=null"])
        total = steps * rounds + 4
        config = replace(config, steps=total, save_every=total, log_every=1, trackers=())
        trainer = Trainer(config, build_objective(config))
        batches = list(islice(trainer._load_batches(), 4))
        if not loader:
            trainer._load_batches = lambda: cycle(batches)  # type: ignore[method-assign]
        bare: list[float] = []
        trained: list[float] = []
        run_bare(trainer, batches, 2)

        def turn(step: int, total: int, row: dict[str, Any]) -> None:
            nonlocal began
            if step > 4 and (step - 4) % steps == 0:
                trained.append(steps * trainer.batch / (time.perf_counter() - began))
            if step >= 4 and (step - 4) % steps == 0 and step < total:
                bare.append(run_bare(trainer, batches, steps))
                began = time.perf_counter()

        began = time.perf_counter()
        trainer.train(turn)
    return {
        "bare_samples_per_s": statistics.median(bare),
        "train_samples_per_s": statistics.median(trained),
        "ratio": statistics.median(trained) / statistics.median(bare),
        "rounds": [{"bare": b, "train": t} for b, t in zip(bare, trained, strict=True)],
    }


def get_mask_seconds(count: int = 100) -> float:
    """Seconds of one rough mask at 1024 x 1024, an object of about 400 px."""
    rows, columns = np.mgrid[:1024, :1024]
    mask = (rows - 512) ** 2 / 200**2 + (columns - 500) ** 2 / 230**2 < 1
    began = time.perf_counter()
    for number in range(count):
        roughen(mask, np.random.default_rng(number))
    return (time.perf_counter() - began) / count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=0, help="compute threads (default: all cores)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps a round")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = load_config(TrainConfig, CONFIG)
    result: dict[str, Any] = {
        "config": CONFIG.name,
        "precision": "bf16" if uses_half(config) else "fp32",
        "threads": torch.get_num_threads(),
        "memory": measure(arguments.rounds, arguments.steps, loader=False),
        "loader": measure(arguments.rounds, arguments.steps, loader=True),
    }
    rate = result["loader"]["train_samples_per_s"]
    result["rough_mask_share"] = get_mask_seconds() * rate
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['config']}, {result['precision']}, compute threads: {result['threads']}; samples/s")
    for name, words in (("memory", "batches in memory"), ("loader", "its own loader process")):
        row = result[name]
        print(
            f"a2 train, {words:<24}{row['train_samples_per_s']:7.2f}   bare {row['bare_samples_per_s']:7.2f}"
            f"   {row['ratio']:.1%}"
        )
    print(f"a rough mask at 1024 x 1024 takes {result['rough_mask_share']:.2%} of a sample's time")


if __name__ == "__main__":
    main()
