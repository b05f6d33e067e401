"""Put real subjects into real photographs, under a mask, where a sentence says, or in what a box needs: two sheets.

    python examples/real_photos.py      # writes examples/real_photos.png and examples/real_photos_where.png

Each result is one `a2 edit`; outside the saved region every pixel is checked to be the photo's own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from a2cli.config.edit import EditConfig, Localize
from a2cli.engine.edit import run_edit
from a2cli.engine.sheet import Cell, SheetRow, draw_outline, save_sheet
from a2cli.images import open_photo
from a2cli.masks.read import read_mask

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Example:
    """One edit: photo, mask and reference by name; a reference without a mask is cut out automatically.

    Without a mask the place is found from the prompt, in the `way` that is named; with one, "mask" narrows it.
    """

    photo: str
    mask: str | None
    reference: str
    kind: str
    ref_mask: str | None = None
    prompt: str = ""
    way: Localize | None = None


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
# Where a sentence says, and what a box needs.
FOUND = (
    Example("flower", None, "chelsea", "found by predictor", "chelsea_head", "replace the flower with a cat"),
    Example("coffee", None, "flower", "found by predictor", None, "replace the cup with a flower"),
    Example("rocket", None, "flower", "by attention", None, "replace the rocket with a flower", "attention"),
    Example(
        "china", None, "coffee", "by attention", "coffee_cup", "replace the castle with a cup", "attention"
    ),
)
BOXED = (
    Example("flower", "box:145,70,455,380", "chelsea", "box", "chelsea_head"),
    Example("coffee", "box:150,15,440,340", "flower", "box"),
    Example("astronaut", "box:285,335,512,512", "flower", "box"),
    Example("rocket", "box:290,60,400,400", "coffee", "box", "coffee_cup"),
)


def get_photo(name: str) -> Path:
    return HERE / "photos" / f"{name}.jpg"


def get_mask(name: str) -> str:
    return name if name.startswith("box:") else str(HERE / "masks" / f"{name}.png")


def run_example(
    example: Example, folder: Path, seed: int
) -> tuple[EditConfig, np.ndarray, np.ndarray, float]:
    """Edit, and check that nothing outside the region moved: the settings, the result, its region (H, W), seconds."""
    source, result, region = get_photo(example.photo), folder / "result.png", folder / "region.png"
    config = EditConfig(
        sources=(str(source),),
        refs=(str(get_photo(example.reference)),),
        mask=get_mask(example.mask) if example.mask else None,
        ref_mask=get_mask(example.ref_mask) if example.ref_mask else None,
        prompt=example.prompt,
        localize=example.way,
        out=str(result),
        save_region=str(region),
        seed=seed,
    )
    (edited,) = run_edit(config)
    before, after = open_photo(source).rgb, open_photo(result).rgb
    changed = open_photo(region).rgb[..., 0] > 0
    if not np.array_equal(before[~changed], after[~changed]):
        raise SystemExit(f"{example.photo}: pixels outside the region changed")
    return config, after, changed, edited.seconds


def draw_row(example: Example, folder: Path, seed: int) -> SheetRow:
    """One edit: photo with its mask or the region that was found, reference, result."""
    config, after, changed, seconds = run_example(example, folder, seed)
    before = open_photo(config.sources[0]).rgb
    mask = read_mask(config.mask, before.shape[:2]) > 0.5 if config.mask else changed
    cells = [
        Cell("photo and mask" if config.mask else "photo and what was found", draw_outline(before, mask)),
        Cell("reference", open_photo(config.refs[0]).rgb),
        Cell("result", after, f"{seconds:.1f} s"),
    ]
    words = f'"{example.prompt}", ' if example.prompt else f"{example.photo} + {example.reference}, "
    return SheetRow(words + example.kind, cells)


def draw_pair(example: Example, folder: Path, seed: int) -> SheetRow:
    """One box, repainted whole and narrowed to what the edit needs (region hold)."""
    config, whole, _, _ = run_example(example, folder, seed)
    _, held, kept, _ = run_example(replace(example, way="mask"), folder, seed)
    before = open_photo(config.sources[0]).rgb
    box = read_mask(config.mask or "", before.shape[:2]) > 0.5
    cells = [
        Cell("photo and box", draw_outline(before, box)),
        Cell("the whole box", whole),
        Cell("--localize mask", held, f"{100 * (kept & box).sum() / box.sum():.0f} % of the box edited"),
    ]
    return SheetRow(f"{example.photo} + {example.reference}, {example.kind}", cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the two sheets")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        masked, found = (
            [draw_row(e, Path(folder), options.seed) for e in part] for part in (EXAMPLES, FOUND)
        )
        boxed = [draw_pair(example, Path(folder), options.seed) for example in BOXED]
    for name, rows, title in (
        ("real_photos.png", masked, "Real photographs, embedded model nano"),
        (
            "real_photos_where.png",
            found + boxed,
            "Where a sentence says, and what a box needs: embedded model nano",
        ),
    ):
        save_sheet(options.out / name, rows, cell=260, title=title)
        print(options.out / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
