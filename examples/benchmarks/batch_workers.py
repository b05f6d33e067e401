"""Time one batch on each engine: this process, N local workers, N Ray actors; the pictures must be equal.

    python examples/benchmarks/batch_workers.py                        # nano, serial and two workers, a table
    python examples/benchmarks/batch_workers.py --workers 2 4 --ray    # and on a Ray cluster of this machine
    python examples/benchmarks/batch_workers.py --json                 # the same, machine-readable

Every run is one whole command on a fresh folder, from the start of the interpreter to its end: `total_s` holds the
start of the workers and the loading of a model in each. `items_per_s` counts from the first finished item to the last,
as results.jsonl says, which is what a long batch runs at. OMP_NUM_THREADS is 1 unless it is set: workers share the
cores, and pictures are equal for equal numbers of threads. Exits 1 where a picture differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
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
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / "photos" / f"{i:05d}.png")
    rows, columns = np.mgrid[:64, :64]
    disc = ((rows - 31.5) ** 2 + (columns - 31.5) ** 2 < 24**2)[..., None]
    Image.fromarray(np.where(disc, (200, 60, 20), 255).astype(np.uint8)).save(folder / "ref.png")


def run_batch(folder: Path, out: str, options: list[str]) -> float:
    """Seconds of the whole command."""
    words = [
        sys.executable,
        "-m",
        "a2cli",
        "edit",
        "photos",
        "--ref",
        "ref.png",
        "--mask",
        BOX,
        "-o",
        f"{out}/",
    ]
    start = time.perf_counter()
    subprocess.run(
        [*words, "--quiet", *options],
        cwd=folder,
        env={"OMP_NUM_THREADS": "1", **os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def read_finished(folder: Path) -> list[float]:
    """When each item was finished, in seconds, in order."""
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return sorted(json.loads(line)["finished"] for line in lines)


def digest(folder: Path) -> str:
    """One digest of all pictures in a folder and their names."""
    sums = [f"{p.name} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in sorted(folder.glob("*.png"))]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def compare(count: int, side: int, workers: list[int], ray: bool, options: list[str]) -> list[dict[str, Any]]:
    """A row an engine, the serial one first."""
    runs = [("serial", 1, list[str]())]
    runs += [("local", n, ["--workers", str(n)]) for n in workers if n > 1]
    runs += [("ray", n, ["--workers", str(n), "--engine", "ray"]) for n in workers if ray]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, count, side)
        for engine, number, words in runs:
            out = f"{engine}-{number}"
            seconds = run_batch(folder, out, [*words, *options])
            finished = read_finished(folder / out)
            rows.append(
                {
                    "engine": engine,
                    "workers": number,
                    "items": len(finished),
                    "total_s": seconds,
                    "items_per_s": (len(finished) - 1) / max(finished[-1] - finished[0], 1e-3),
                    "digest": digest(folder / out)[:16],
                }
            )
    for row in rows:
        row["speedup"] = row["items_per_s"] / rows[0]["items_per_s"]
        row["equal"] = (row["digest"], row["items"]) == (rows[0]["digest"], count)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=48)
    parser.add_argument("--side", type=int, default=160, help="of the photos, px")
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--ray", action="store_true", help="run on a Ray cluster of this machine as well")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("edit", nargs="*", help="options of a2 edit, after --")
    options = parser.parse_args()
    if options.items < 2:
        parser.error("--items must be 2 or more")
    rows = compare(options.items, options.side, options.workers, options.ray, options.edit)
    if options.json:
        json.dump({"cores": os.cpu_count(), "options": options.edit, "rows": rows}, sys.stdout, indent=1)
        print()
    else:
        print(f"{'engine':8s} workers  items  total s  items/s  speed-up  pictures")
        for row in rows:
            same = "equal" if row["equal"] else "DIFFER"
            print(
                f"{row['engine']:8s} {row['workers']:7d} {row['items']:6d} {row['total_s']:8.1f} "
                f"{row['items_per_s']:8.2f} {row['speedup']:8.2f}x  {same}"
            )
    return 0 if all(row["equal"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
