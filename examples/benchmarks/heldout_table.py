"""Edit held-out pairs and print how well: nano beside mean colour, Telea inpainting and the scaled reference.

    python examples/benchmarks/heldout_table.py                      # 200 pairs, fine, rough and box masks
    python examples/benchmarks/heldout_table.py --json > table.json  # the same, every number, per category
    python examples/benchmarks/heldout_table.py --sheet sheet.png    # look at one pair of each category

The error is taken against the pair's own target inside the given mask; under rough and box masks that
includes the ground around the subject. The row `truth` is the target itself: what a perfect edit would score
in the measures that compare with the reference.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from a2cli.data.synth import get_heldout_pairs
from a2cli.engine.heldout import TRUTH, UNITS, EditedPair, Editor, HeldoutConfig, evaluate_pairs
from a2cli.engine.sheet import Cell, SheetRow, draw_outline, save_sheet
from a2cli.errors import A2Error
from a2cli.masks.curriculum import STAGES
from a2cli.metrics.pixel import masked_mae

PHOTOS = Path(__file__).resolve().parents[1] / "photos"


def build_editor(options: argparse.Namespace) -> Editor:
    """Load the backbone once; return it as a function of one pair."""
    from a2cli.engine.pipeline import EditPipeline

    pipeline = EditPipeline.load(
        options.backbone, model=options.model, adapter=options.adapter, device=options.device
    )

    def edit(
        source: np.ndarray,
        mask: np.ndarray,
        ref_rgb: np.ndarray,
        ref_mask: np.ndarray,
        category: str,
        seed: int,
    ) -> np.ndarray:
        return pipeline.edit(source, mask, ref_rgb, ref_mask, prompt=category, steps=options.steps, seed=seed)

    return edit


def draw_row(edited: EditedPair) -> SheetRow:
    """One line of the sheet: source with the mask's outline, reference, every result."""
    pair = edited.pair
    cells = [
        Cell("source and mask", draw_outline(edited.source, edited.mask)),
        Cell("reference", pair.ref_rgb),
    ]
    for method, image in edited.results.items():
        note = "" if method == TRUTH else f"error {masked_mae(image, pair.tar_rgb, edited.mask):.3f}"
        cells.append(Cell(method, image, note))
    return SheetRow(f"{pair.category}: {pair.subcategory}, {edited.protocol} mask", cells)


def build_table(report: dict[str, Any]) -> Table:
    """The report as one table, a line for each protocol and method."""
    table = Table(title=f"{next(iter(report['protocols'].values()))['n']} held-out pairs")
    for name in ("mask", "method", "error", "/ paste", "histogram", "patches", "seam", "outside"):
        table.add_column(name, justify="left" if name in ("mask", "method") else "right")
    for protocol, part in report["protocols"].items():
        table.add_section()
        for method, row in part["methods"].items():
            measures = [f"{row[m]:.3f}" if m in row else "" for m in ("histogram", "patches")]
            table.add_row(
                protocol,
                method,
                f"{row['mae']:.3f} ± {row['mae_se']:.3f}",
                f"{row['ratio_to_paste']:.2f} ± {row['ratio_to_paste_se']:.2f}",
                *measures,
                f"{row['seam']:.1f}" if "seam" in row else "",
                f"{100 * row['changed_outside']:.1f} %",
            )
    table.caption = "\n".join(f"{name}: {UNITS[name]}" for name in ("mae", "histogram", "patches", "seam"))
    return table


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--per-category", type=int, default=25, help="pairs of each of the 8 categories")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument(
        "--photos", type=Path, default=PHOTOS, help="folder of photographs beside the bundled"
    )
    parser.add_argument("--pairs-seed", type=int, default=2026, help="seed of the held-out pairs")
    parser.add_argument("--seed", type=int, default=0, help="seed of rough masks and of the editor's noise")
    parser.add_argument("--protocols", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--backbone", default="nano")
    parser.add_argument("--model", help="folder of the model; default: the one the backbone ships with")
    parser.add_argument("--adapter", help="adapter folder, or none; default: the one the backbone ships with")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, help="sampling steps; default: the backbone's own")
    parser.add_argument("--baselines-only", action="store_true", help="run no model")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON on stdout")
    parser.add_argument("--sheet", type=Path, help="save a PNG of the first pair of each category here")
    return parser.parse_args()


def main() -> int:
    options = read_options()
    errors = Console(stderr=True)
    pairs = get_heldout_pairs(
        options.per_category, size=options.size, seed=options.pairs_seed, photos=str(options.photos)
    )
    editors = {} if options.baselines_only else {options.backbone: build_editor(options)}
    config = HeldoutConfig(protocols=tuple(options.protocols), seed=options.seed)
    shown = {pair.category: pair.id for pair in reversed(pairs)}.values()
    rows: list[SheetRow] = []
    start = time.perf_counter()
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task("editing", total=len(pairs) * len(config.protocols))

        def on_edit(edited: EditedPair) -> None:
            progress.advance(task)
            if options.sheet and edited.pair.id in shown:
                rows.append(draw_row(edited))

        report = evaluate_pairs(pairs, editors, config, on_edit=on_edit)
    report["run"] = {
        "pairs": {
            "per_category": options.per_category,
            "size": options.size,
            "seed": options.pairs_seed,
            "photos": options.photos.name,
        },
        "backbone": None if options.baselines_only else options.backbone,
        "model": options.model,
        "adapter": options.adapter,
        "steps": options.steps,
        "seconds": round(time.perf_counter() - start, 1),
    }
    if options.sheet:
        save_sheet(options.sheet, rows, cell=160, title="Held-out pairs")
    (errors if options.json else Console()).print(build_table(report))
    if options.json:
        json.dump(report, sys.stdout, indent=1)
        print()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except A2Error as error:
        print(f"heldout_table: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
