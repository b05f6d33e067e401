"""Edit one real photograph with the embedded model and draw a before/after sheet: what `make demo` runs."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    from a2cli.config.edit import EditConfig
    from a2cli.engine.edit import run_edit
    from a2cli.engine.sheet import Cell, SheetRow, draw_outline, save_sheet
    from a2cli.images import open_photo
    from a2cli.masks.read import read_mask

    folder = HERE.parent / "demo"
    folder.mkdir(exist_ok=True)
    photo, reference = HERE / "photos" / "coffee.jpg", HERE / "photos" / "flower.jpg"
    mask = HERE / "masks" / "coffee_cup_opening.png"
    result, sheet = folder / "coffee.a2.png", folder / "before_after.png"
    config = EditConfig(sources=(str(photo),), refs=(str(reference),), mask=str(mask), out=str(result))
    (edited,) = run_edit(config)
    before = open_photo(photo).rgb
    outlined = draw_outline(before, read_mask(mask, before.shape[:2]) > 0.5)
    cells = [
        Cell("photo and mask", outlined),
        Cell("reference", open_photo(reference).rgb),
        Cell("result", open_photo(result).rgb, f"{edited.seconds:.1f} s"),
    ]
    save_sheet(sheet, [SheetRow("a flower in the cup", cells)], cell=320, title="a2, embedded model nano")
    print(f"result        {result}")
    print(f"before/after  {sheet}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
