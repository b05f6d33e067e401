"""How the threshold lambda trades how much is edited against how little: EditMGT's figure 4 for any model.

    python examples/localize/lambda_sweep.py -o sweep          # the embedded model on 8 synthesised photos
    python examples/localize/lambda_sweep.py -n 50 --data DIR --backbone flux-fill -o sweep

In every photo the thing is looked for that its sentence names, without a second, closer look. The map is cut at each
lambda, grown, and edited. Writes lambda_sweep.csv, one line a lambda with means over the photos, and lambda_sweep.svg:
the share of the photo that is edited, the mean absolute difference (L1) to the photo in grey levels, and the overlap
with the thing.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2cli.config.localize import LocalizeOptions, check_threshold
from a2cli.data.records import Pair
from a2cli.engine.calibrate import SYNTH, CalibrateConfig, list_pairs
from a2cli.engine.localize import localize
from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.errors import A2Error, DataError
from a2cli.files import make_folder, write_bytes
from a2cli.images.cutout import Cutout
from a2cli.masks.morph import get_iou
from a2cli.pages.plots import STYLE, Series, line_chart

SIZE = (960, 300)  # px of one chart


@dataclass(frozen=True)
class Point:
    """Means over photos at one lambda: edited share of the photo, L1 to it in grey levels, IoU with the thing."""

    threshold: float
    edited: float
    l1: float
    iou: float
    photos: int


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default=SYNTH, help="folder of instruction pairs, or synth")
    parser.add_argument("-n", "--pairs", type=int, default=8)
    parser.add_argument("--lambdas", type=float, nargs="+", default=[i / 10 for i in range(1, 10)])
    parser.add_argument("--backbone", default="nano")
    parser.add_argument("--model")
    parser.add_argument("--adapter", action="append")
    parser.add_argument("--steps", type=int)
    parser.add_argument("-o", "--out", type=Path, default=Path("lambda_sweep"))
    given = parser.parse_args(argv)
    try:
        for threshold in given.lambdas:
            check_threshold(threshold)
        points = sweep(given)
        make_folder(given.out)
        write_bytes(write_table(points).encode(), given.out / "lambda_sweep.csv")
        write_bytes(draw(points).encode(), given.out / "lambda_sweep.svg")
    except A2Error as error:
        print(f"lambda_sweep: {error}", file=sys.stderr)
        return error.exit_code
    print(given.out / "lambda_sweep.svg")
    return 0


def sweep(given: argparse.Namespace) -> list[Point]:
    """Edit every pair's photo at every lambda."""
    pipeline = EditPipeline.load(given.backbone, model=given.model, adapter=given.adapter)
    pairs = list(list_pairs(CalibrateConfig(given.data, pairs=given.pairs, split="test")))
    points = []
    for threshold in sorted(given.lambdas):
        results = []
        for number, pair in enumerate(pairs):
            try:
                results.append(
                    edit(pipeline, pair, threshold, EditOptions(pair.prompt, given.steps, seed=number))
                )
            except A2Error as error:
                print(f"{pair.id}: left out: {error}", file=sys.stderr)
        if not results:
            raise DataError(f"{given.data}: no pair could be used", hint="see the lines above")
        means = np.mean(results, axis=0)
        points.append(Point(threshold, *(float(mean) for mean in means), photos=len(results)))
        print(f"lambda {threshold:.2f}: {100 * means[0]:.1f} % edited, L1 {means[1]:.2f}", file=sys.stderr)
    return points


def edit(
    pipeline: EditPipeline, pair: Pair, threshold: float, options: EditOptions
) -> tuple[float, float, float]:
    """One photo at one lambda: edited share, L1, IoU of the region with the thing."""
    assert pair.src_rgb is not None and pair.src_mask is not None
    keyword = pair.keyword if pair.keyword and pair.keyword in pair.prompt else None
    # One look: a closer one would go elsewhere at each lambda.
    looking = LocalizeOptions(way="attention", threshold=threshold, keyword=keyword, refine=False)
    found = localize(pipeline, pair.src_rgb, pair.prompt, options=looking)
    if not found.mask.any():
        return 0.0, 0.0, 0.0
    mask = found.mask.astype(np.float32)
    subject = Cutout(pair.ref_rgb, pair.ref_mask.astype(np.float32))
    picture = np.rint(pipeline.generate(pair.src_rgb, mask, subject, options, region=mask)[0])
    difference = np.abs(picture - pair.src_rgb).mean(-1) * found.mask
    return float(found.share), float(difference.mean()), get_iou(found.region, pair.src_mask)


def write_table(points: Sequence[Point]) -> str:
    """The figures as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["lambda", "edited_share", "l1", "iou", "photos"])
    for p in points:
        table.writerow([p.threshold, f"{p.edited:.6f}", f"{p.l1:.4f}", f"{p.iou:.4f}", p.photos])
    return text.getvalue()


def draw(points: Sequence[Point]) -> str:
    """Two charts below each other, as one SVG file."""
    x = np.array([100 * p.threshold for p in points])
    label = f"threshold lambda, % of the map's range ({points[0].photos} photos)"
    shares = [
        Series("edited share of the photo, %", x, np.array([100 * p.edited for p in points])),
        Series("IoU with the named thing, %", x, np.array([100 * p.iou for p in points])),
    ]
    l1 = [Series("L1 to the photo, grey levels", x, np.array([p.l1 for p in points]))]
    charts = [
        line_chart(lines, title=title, x_label=label, x_end=100, smoothed=False, size=SIZE)
        for lines, title in (
            (shares, "How much is edited"),
            (l1, "How far the photo changes: L1, grey levels"),
        )
    ]
    width, height = SIZE
    placed = "".join(
        f'<g transform="translate(0 {i * (height + 24)})">{chart}</g>' for i, chart in enumerate(charts)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {width + 16} {2 * height + 40}" width="{width}" '
        f'height="{2 * height + 40}"><style>{STYLE} :root {{ background: var(--ground); }}</style>{placed}</svg>\n'
    )


if __name__ == "__main__":
    sys.exit(main())
