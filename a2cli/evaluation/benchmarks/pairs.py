"""Pairs: the target is the photo and the truth, its subject is taken out and put back from the reference.

Of a pair with a photo from before the edit (src_image) that photo is edited, as its prompt asks, and nothing is taken
out of it; the target is the truth, and where the two differ (tar_mask) the exact mask.

Whatever `a2 dataset convert` reads (AnyInsertion and VITON-HD among it). An unpaired VITON-HD record shows a person in
another garment than the reference: there is no truth then, and the person's photo is the source alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from a2cli.curation.layouts.detect import READERS, check_layout, detect_layout
from a2cli.curation.layouts.records import Failure, Found, get_stem
from a2cli.curation.layouts.viton_hd import read_viton_hd
from a2cli.data.provenance import parse_provenance
from a2cli.data.records import Pair
from a2cli.evaluation.benchmarks.reading import build_case_failure
from a2cli.evaluation.config import DataConfig
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure
from a2cli.images.read import open_photo
from a2cli.masks.read import read_mask

VIEWS = ("ref", "tar", "src")
IMAGES = tuple(f"{view}_image" for view in VIEWS)


def list_pairs(config: DataConfig, name: str, split: str | None) -> Iterator[CaseEntry | CaseFailure]:
    """The pairs of a data set in its order; `name` is the benchmark. Raises as the layouts' readers do."""
    layout = detect_layout(config.path) if name == "pairs" else name
    if layout == "viton-hd":
        listed = read_viton_hd(config.path, split, unpaired=config.unpaired)
    else:
        check_layout(config.path, layout)
        listed = READERS[layout](config.path, split)
    for item in listed:
        if isinstance(item, Failure):
            yield build_case_failure(item)
        else:
            yield _build_entry(item, config.unpaired, list_try_on_names(item) if layout == "viton-hd" else ())


def list_try_on_names(found: Found) -> tuple[str, ...]:
    """How try-on tools call the edit of a VITON-HD record: PERSON, or PERSON_GARMENT, in the split's folder."""
    person, _, garment = found.texts.id.partition("+")
    return person, f"{person}_{garment or person.rpartition('/')[2]}"


def build_case(pair: Pair, *, unpaired: bool = False) -> Case:
    """A pair as it is edited and measured; an `unpaired` one has another thing for a reference, and no truth."""
    edits = pair.src_rgb is not None
    return Case(
        id=pair.id,
        category=pair.category,
        source=pair.tar_rgb if pair.src_rgb is None else pair.src_rgb,
        mask=pair.tar_mask,
        hole=not edits,
        target=None if unpaired else pair.tar_rgb,
        ref_rgb=pair.ref_rgb,
        ref_mask=pair.ref_mask,
        prompt=pair.prompt,
        task=pair.task,
        keyword=pair.keyword,
        named=pair.src_mask,
    )


def _build_entry(found: Found, unpaired: bool, aliases: tuple[str, ...]) -> CaseEntry:
    texts = found.texts
    return CaseEntry(
        id=texts.id,
        stem=get_stem(texts.id),
        category=texts.category,
        subcategory=texts.subcategory,
        prompt=texts.prompt,
        load=partial(_load_case, found, unpaired),
        group=parse_provenance(texts.provenance).group,
        aliases=aliases,
        task=texts.task,
    )


def _load_case(found: Found, unpaired: bool) -> Case:
    texts = found.texts
    pictures = found.load()  # checked: whole, masks of their pictures' sizes and not empty
    rgb = {name: open_photo(pictures[name].data).rgb for name in IMAGES if name in pictures}
    masks = {
        f"{view}_mask": read_mask(pictures[f"{view}_mask"].data, rgb[f"{view}_image"].shape[:2]) >= 0.5
        for view in VIEWS
        if f"{view}_mask" in pictures
    }
    pair = Pair(
        id=texts.id,
        category=texts.category,
        subcategory=texts.subcategory,
        prompt=texts.prompt,
        ref_rgb=rgb["ref_image"],
        ref_mask=masks["ref_mask"],
        tar_rgb=rgb["tar_image"],
        tar_mask=masks["tar_mask"],
        src_rgb=rgb.get("src_image"),
        src_mask=masks.get("src_mask"),
        task=texts.task,
        keyword=texts.keyword,
    )
    return build_case(pair, unpaired=unpaired)
