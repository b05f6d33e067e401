"""Put real subjects into real photographs, under exact, scribbled and box masks, and draw one sheet.

    python examples/real_photos.py                  # writes examples/real_photos.png

Each row is one `a2 edit`; outside the saved region every pixel is checked to be the photo's own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2cli.config.edit import EditConfig
from a2cli.engine.edit import run_edit
from a2cli.engine.sheet import Cell, SheetRow, draw_outline, save_sheet
from a2cli.images import open_photo
from a2cli.masks.read import read_mask

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Example:
    """One edit: photo, mask and reference by name; a reference without a mask is cut out automatically."""

    photo: str
    mask: str
    reference: str
    kind: str
    ref_mask: str | None = None


EXAMPLES = (
    Example("coffee", "coffee_cup_opening", "flower", "exact mask"),
    Example("flower", "flower_head", "chelsea", "exact mask", "chelsea_head"),
    Example("astronaut", "astronaut_patch", "flower", "exact mask"),
    Example("flower", "flower_scribble", "chelsea", "scribble", "chelsea_head"),
    Example("china", "china_sky_scribble", "flower", "scribble"),
    Example("rocket", "box:330,120,500,290", "flower", "box"),
    Example("astronaut", "box:285,335,512,512", "chelsea", "box", "chelsea_head"),
    Example("china", "box:440,230,610,400", "coffee", "box", "coffee_cup"),
)


def get_photo(name: str) -> Path:
    return HERE / "photos" / f"{name}.jpg"


def get_mask(name: str) -> str:
    return name if name.startswith("box:") else str(HERE / "masks" / f"{name}.png")


def run_example(example: Example, folder: Path, seed: int) -> SheetRow:
    """Edit, check that nothing outside the region moved, and lay the pictures side by side."""
    source, result, region = get_photo(example.photo), folder / "result.png", folder / "region.png"
    config = EditConfig(
        sources=(str(source),),
        ref=str(get_photo(example.reference)),
        mask=get_mask(example.mask),
        ref_mask=get_mask(example.ref_mask) if example.ref_mask else None,
        out=str(result),
        save_region=str(region),
        seed=seed,
    )
    (edited,) = run_edit(config)
    before, after = open_photo(source).rgb, open_photo(result).rgb
    outside = open_photo(region).rgb[..., 0] == 0
    if not np.array_equal(before[outside], after[outside]):
        raise SystemExit(f"{example.photo}: pixels outside the region changed")
    mask = read_mask(config.mask or "", (before.shape[0], before.shape[1])) > 0.5
    cells = [
        Cell("photo and mask", draw_outline(before, mask)),
        Cell("reference", open_photo(config.ref).rgb),
        Cell("result", after, f"{edited.seconds:.1f} s"),
    ]
    return SheetRow(f"{example.photo} + {example.reference}, {example.kind}", cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "real_photos.png")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [run_example(example, Path(folder), options.seed) for example in EXAMPLES]
    save_sheet(options.out, rows, cell=260, title="Real photographs, embedded model nano")
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
