"""Time `a2 dataset synth`: pairs a second with one process and with more, from nothing to shards on disk.

    python examples/benchmarks/synth_speed.py            # 200 pairs of 256 px with 1 and 2 processes, a table
    python examples/benchmarks/synth_speed.py --json     # the same, machine-readable

Every run writes a fresh folder; fonts and photographs are read before, so that starting costs do not count as speed.
That all runs wrote the same bytes is checked. The parts (drawing a pair, PNG, parquet) are timed in one process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2

from a2cli.data.calls import calling
from a2cli.data.shards import build_row, encode_rows
from a2cli.data.synth import SynthConfig, synthesise
from a2cli.data.synth_run import write_synthesised


def measure_run(
    config: SynthConfig, pairs: int, workers: int, rounds: int
) -> tuple[dict[str, Any], set[str]]:
    """Pairs a second, median over rounds, and the digests of what was written."""
    times, digests = [], set()
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            write_synthesised(Path(folder), pairs, config=config, workers=workers)
            times.append(time.perf_counter() - start)
            shards = sorted(Path(folder).glob("*.parquet"))
            digests.add(hashlib.sha256(b"".join(shard.read_bytes() for shard in shards)).hexdigest())
            size = sum(shard.stat().st_size for shard in shards)
    seconds = statistics.median(times)
    return {
        "workers": workers,
        "pairs_per_s": pairs / seconds,
        "seconds_per_1000": 1000 * seconds / pairs,
        "kB_per_pair": size / pairs / 1e3,
    }, digests


def measure_parts(config: SynthConfig, pairs: int) -> dict[str, float]:
    """Milliseconds a pair: drawing it, encoding its four PNG, its share of a parquet file."""
    marks = [time.perf_counter()]
    made = [synthesise(index, seed=0, config=config) for index in range(pairs)]
    marks.append(time.perf_counter())
    rows = [build_row(pair, "train") for pair in made]
    marks.append(time.perf_counter())
    with calling("parquet"):
        encode_rows(rows)
    marks.append(time.perf_counter())
    names = ("pair_ms", "png_ms", "parquet_ms")
    return {name: (marks[i + 1] - marks[i]) / pairs * 1e3 for i, name in enumerate(names)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--size", type=int, default=256, help="side of the pictures, px")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    config = SynthConfig(size=options.size, occlusion=0.25, shadow=0.6, distractors=0.4, captions=True)
    measure_parts(config, min(options.pairs, 16))  # fonts, photographs and libraries are loaded now
    runs, digests = [], set()
    for workers in options.workers:
        run, written = measure_run(config, options.pairs, workers, options.rounds)
        runs.append(run)
        digests |= written
    if len(digests) != 1:
        raise SystemExit("the runs wrote different bytes")
    report = {
        "size": options.size,
        "pairs": options.pairs,
        "rounds": options.rounds,
        "cores": os.cpu_count(),
        "opencv": cv2.__version__,
        "runs": runs,
        "parts": measure_parts(config, min(options.pairs, 100)),
    }
    if options.json:
        json.dump(report, sys.stdout, indent=1)
        print()
        return 0
    print(f"{options.pairs} pairs of {options.size} px, {os.cpu_count()} cores")
    print("processes   pairs/s   s a 1000   kB a pair")
    for run in runs:
        print(
            f"{run['workers']:9d} {run['pairs_per_s']:9.1f} {run['seconds_per_1000']:10.1f} {run['kB_per_pair']:11.0f}"
        )
    print(
        "one process, ms a pair: "
        + ", ".join(f"{name[:-3]} {ms:.1f}" for name, ms in report["parts"].items())
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
