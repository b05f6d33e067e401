"""Time what an item costs in a batch against an `a2 edit` process of its own: same photos, same model, same pictures.

    python examples/benchmarks/batch_cost.py                     # nano, a table
    python examples/benchmarks/batch_cost.py --json              # the same, machine-readable

Both sides are whole commands, from the start of the interpreter to its end: `a2 edit PHOTO` once a photo, and
`a2 edit FOLDER` once, which writes its records besides. Rounds alternate; outputs are compared byte by byte. Seconds
an item and the median of the pairwise ratios are reported, by the clock and by processor time, which other work on the
machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BOX = "box:40,30,100,90"


def write_inputs(folder: Path, count: int, side: int) -> None:
    """`count` photos of soft noise, a round reference on white."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / "photos" / f"{i:03d}.png")
    rows, columns = np.mgrid[:64, :64]
    disc = ((rows - 31.5) ** 2 + (columns - 31.5) ** 2 < 24**2)[..., None]
    Image.fromarray(np.where(disc, (200, 60, 20), 255).astype(np.uint8)).save(folder / "ref.png")


def run_edit(folder: Path, source: str, out: str, options: list[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "a2cli",
        "edit",
        source,
        "--ref",
        "ref.png",
        "--mask",
        BOX,
        "-o",
        out,
        *options,
    ]
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def measure(run: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock and of the processors, children included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(count: int, side: int, rounds: int, options: list[str]) -> dict[str, Any]:
    """Alternate both sides; raises `AssertionError` where a picture differs."""
    alone, batch = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, count, side)
        names = sorted(path.name for path in (folder / "photos").iterdir())

        def run_alone() -> None:
            for photo in names:
                run_edit(folder, f"photos/{photo}", "alone/", options)

        for _ in range(rounds):
            alone.append(measure(run_alone))
            batch.append(measure(lambda: run_edit(folder, "photos", "batch/", options)))
        for photo in names:
            output = f"{Path(photo).stem}.a2.png"
            same = (folder / "alone" / output).read_bytes() == (folder / "batch" / output).read_bytes()
            assert same, f"{output} differs between a batch and a process of its own"
    return {
        "items": count,
        "side": side,
        "rounds": rounds,
        "alone_s": statistics.median(a[0] for a in alone) / count,
        "batch_s": statistics.median(b[0] for b in batch) / count,
        "ratio": statistics.median(b[0] / a[0] for a, b in zip(alone, batch, strict=True)),
        "alone_cpu_s": statistics.median(a[1] for a in alone) / count,
        "batch_cpu_s": statistics.median(b[1] for b in batch) / count,
        "cpu_ratio": statistics.median(b[1] / a[1] for a, b in zip(alone, batch, strict=True)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--side", type=int, default=160, help="of the photos, px")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("edit", nargs="*", help="options of a2 edit, after --")
    options = parser.parse_args()
    row = compare(options.items, options.side, options.rounds, options.edit)
    if options.json:
        json.dump({"options": options.edit, "rows": [row]}, sys.stdout, indent=1)
        print()
        return 0
    print(
        f"{row['items']} items: {row['alone_s']:.2f} s each alone, {row['batch_s']:.2f} s in a batch, "
        f"ratio {row['ratio']:.2f}; of the processors {row['alone_cpu_s']:.2f} s and {row['batch_cpu_s']:.2f} s, "
        f"ratio {row['cpu_ratio']:.2f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
