"""Time the making of masks on one core: dilation by a disc in three exact ways, then whole rough masks and boxes.

    python examples/benchmarks/mask_speed.py             # 1024 x 1024, an object of about 400 px, a table
    python examples/benchmarks/mask_speed.py --json      # the same, machine-readable

The three ways give the same bits, which is checked first: a2's own, a distance transform of the object's
surroundings, and a structuring element on them (`cv2.dilate`), whose cost grows with the square of the radius. Rounds
alternate; medians are reported.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from a2cli.masks.augment import box_of, get_object_size, roughen
from a2cli.masks.morph import dilate_disc, grow_box, require_bounding_box

Way = Callable[[np.ndarray, int], np.ndarray]


def draw_object(size: int, across: int, seed: int) -> np.ndarray:
    """A lump of about `across` px with a wavy outline in the middle of a mask, bool (size, size)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] - size / 2
    angle, radius = np.arctan2(rows, columns), np.full((size, size), across / 2)
    for waves in range(2, 12):
        swing = across * 0.12 / waves * rng.normal()
        radius += swing * np.cos(waves * angle + rng.uniform(0, 2 * math.pi))
    lump: np.ndarray = np.hypot(rows, columns) <= radius
    return lump


def dilate_by_transform(mask: np.ndarray, radius: int) -> np.ndarray:
    window = grow_box(require_bounding_box(mask), radius, mask.shape)
    distance = cv2.distanceTransform(np.uint8(~mask[window]), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    dilated = np.zeros_like(mask)
    dilated[window] = distance < math.sqrt(radius * radius + 0.5)
    return dilated


def dilate_by_element(mask: np.ndarray, radius: int) -> np.ndarray:
    window = grow_box(require_bounding_box(mask), radius, mask.shape)
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (rows**2 + columns**2 <= radius**2).astype(np.uint8)
    dilated = np.zeros_like(mask)
    dilated[window] = cv2.dilate(mask[window].astype(np.uint8), disc).astype(bool)
    return dilated


WAYS: dict[str, Way] = {"a2": dilate_disc, "transform": dilate_by_transform, "element": dilate_by_element}


def measure_dilation(masks: Sequence[np.ndarray], radius: int, rounds: int) -> dict[str, Any]:
    """Milliseconds a mask for each way, and how much longer than a2's the others take."""
    for mask in masks:
        reference = dilate_disc(mask, radius)
        if not all(np.array_equal(way(mask, radius), reference) for way in WAYS.values()):
            raise SystemExit(f"radius {radius}: the three ways differ")
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for mask in masks:
            for name, way in WAYS.items():
                start = time.perf_counter()
                way(mask, radius)
                times[name].append(time.perf_counter() - start)
    row: dict[str, Any] = {f"{name}_ms": statistics.median(taken) * 1e3 for name, taken in times.items()}
    for name in ("transform", "element"):
        row[f"{name}_ratio"] = row[f"{name}_ms"] / row["a2_ms"]
    return {"radius": radius, **row}


def measure_stage(masks: Sequence[np.ndarray], stage: str, rounds: int) -> dict[str, Any]:
    """Milliseconds a mask, median and worst, and masks a second, strengths drawn anew every time."""
    times = []
    for seed in range(rounds):
        for mask in masks:
            rng = np.random.default_rng(seed)
            start = time.perf_counter()
            rough = roughen(mask, rng)
            if stage == "box":
                box_of(rough)
            times.append(time.perf_counter() - start)
    return {
        "stage": stage,
        "ms": statistics.median(times) * 1e3,
        "worst_ms": max(times) * 1e3,
        "masks_per_s": len(times) / sum(times),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="side of the masks, px")
    parser.add_argument("--object", type=int, default=400, help="size of the object, px")
    parser.add_argument("--radii", type=int, nargs="+", default=[8, 32, 96])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    masks = [draw_object(options.size, options.object, seed) for seed in range(8)]
    report = {
        "size": options.size,
        "object": statistics.fmean(get_object_size(mask) for mask in masks),
        "rounds": options.rounds,
        "opencv": cv2.__version__,
        "dilation": [measure_dilation(masks, radius, options.rounds) for radius in options.radii],
        "stages": [measure_stage(masks, stage, 4 * options.rounds) for stage in ("rough", "box")],
    }
    if options.json:
        json.dump(report, sys.stdout, indent=1)
        print()
        return 0
    print(f"{options.size} x {options.size}, object of {report['object']:.0f} px, one core")
    print("radius        a2  transform    element   (ms a mask)")
    for row in report["dilation"]:
        print(
            f"{row['radius']:6d} {row['a2_ms']:9.2f} {row['transform_ms']:10.2f} {row['element_ms']:10.2f}   "
            f"x {row['transform_ratio']:.1f}, x {row['element_ratio']:.1f}"
        )
    for row in report["stages"]:
        print(
            f"{row['stage']:6s} {row['ms']:9.2f} ms a mask, worst {row['worst_ms']:.1f}; "
            f"{row['masks_per_s']:.0f} masks/s a core"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
