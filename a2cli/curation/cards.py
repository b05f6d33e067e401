"""A record as the preview page shows it: as much of it as can be read, small, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from a2cli.curation.faults import Fault, check_entry
from a2cli.data.browse import Entry
from a2cli.data.instructed import list_there
from a2cli.data.provenance import Rights, parse_provenance
from a2cli.errors import A2Error
from a2cli.images.read import open_photo
from a2cli.images.thumbnail import encode_thumbnail
from a2cli.masks.read import read_mask
from a2cli.pages.outline import trace_mask


@dataclass(frozen=True)
class Picture:
    """A thumbnail: WebP `data`, its `size` (height, width), the picture's own in `full`.

    `outline` is the mask's as an SVG path in px of the thumbnail and `share` the marked part of the picture, in
    [0, 1]; "" and None where the mask cannot be read.
    """

    data: bytes
    size: tuple[int, int]
    full: tuple[int, int]
    outline: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Card:
    """A record as the page shows it; a picture is None where it cannot be read, or, in a `bare` card, has no room.

    An `instructed` one has a photo from before its edit, `source`, outlined is what it shows of the thing that the
    prompt names.
    """

    number: int
    id: str
    where: str
    split: str
    category: str
    subcategory: str
    prompt: str
    rights: Rights
    target: Picture | None
    reference: Picture | None
    source: Picture | None = None
    instructed: bool = False
    task: str = ""
    keyword: str = ""
    faults: tuple[Fault, ...] = ()
    bare: bool = False


def load_card(entry: Entry, size: int) -> Card:
    """Read a record as far as it can be read; `size` is the longest side of its thumbnails in px."""
    provenance = parse_provenance(entry.get_text("provenance"))
    instructed = "src_image" in list_there(entry.row)
    return Card(
        number=entry.number,
        id=entry.get_text("id"),
        where=entry.where,
        split=entry.split,
        category=entry.get_text("category"),
        subcategory=entry.get_text("subcategory"),
        prompt=entry.get_text("prompt"),
        rights=provenance.rights,
        target=_load_picture(entry, "tar", size),
        reference=_load_picture(entry, "ref", size),
        source=_load_picture(entry, "src", size) if instructed else None,
        instructed=instructed,
        task=entry.get_text("task"),
        keyword=entry.get_text("keyword"),
        faults=tuple(check_entry(entry)),
    )


def has_fault(card: Card) -> bool:
    """Whether anything but warnings speaks against the record."""
    return any(fault.severity == "fault" for fault in card.faults)


def is_usable(card: Card) -> bool:
    """Whether its pictures can be opened and the masks of target and reference mark something."""
    seen = all(picture and picture.share for picture in (card.target, card.reference))
    return seen and (card.source is not None or not card.instructed)


def _load_picture(entry: Entry, view: str, size: int) -> Picture | None:
    try:
        photo = open_photo(entry.reader.load_bytes(entry.row, f"{view}_image"), name="picture")
    except A2Error:
        return None
    data, small = encode_thumbnail(photo.rgb, size)
    picture = Picture(data, small, photo.size)
    if view == "src" and "src_mask" not in list_there(entry.row):
        return picture
    try:
        file = entry.reader.load_bytes(entry.row, f"{view}_mask")
        mask = read_mask(file, photo.size, hole=view == "tar") >= 0.5
    except A2Error:
        return picture
    return replace(picture, outline=trace_mask(mask, small), share=float(mask.mean()))
