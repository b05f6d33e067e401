"""Pairs: the target is the photo and the truth, its subject is taken out and put back from the reference.

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
from a2cli.evaluation.benchmarks.reading import build_case_failure
from a2cli.evaluation.config import DataConfig
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure
from a2cli.images.read import open_photo
from a2cli.masks.read import read_mask


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
    )


def _load_case(found: Found, unpaired: bool) -> Case:
    pictures = found.load()  # checked: whole, masks of their pictures' sizes and not empty
    target, reference = (open_photo(pictures[f"{view}_image"].data).rgb for view in ("tar", "ref"))
    mask, ref_mask = (
        read_mask(pictures[f"{view}_mask"].data, rgb.shape[:2]) >= 0.5
        for view, rgb in (("tar", target), ("ref", reference))
    )
    return Case(
        id=found.texts.id,
        category=found.texts.category,
        source=target,
        mask=mask,
        hole=True,
        target=None if unpaired else target,
        ref_rgb=reference,
        ref_mask=ref_mask,
        prompt=found.texts.prompt,
    )
