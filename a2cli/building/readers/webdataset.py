"""WebDataset shards: in a .tar archive, members of one name up to the first dot are a sample."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from a2cli.building.config import InputConfig
from a2cli.building.readers.about import About, get_text, parse_about, parse_object
from a2cli.building.readers.parts import Blob, Part, build_chunks, build_input
from a2cli.building.readers.rejects import Unfit, build_reject
from a2cli.building.readers.sidecars import load_small
from a2cli.building.readers.tar import list_members
from a2cli.building.readers.videos import list_clips
from a2cli.building.readers.walk import (
    VIDEOS,
    check_file,
    get_ids,
    get_suffix,
    join_names,
    keep_number_free,
    walk,
)
from a2cli.building.records import Input, Reject, Role
from a2cli.errors import DataError
from a2cli.files import show_name

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
TEXT_SUFFIXES = frozenset({".json", ".txt", ".cls"})
SIDES: dict[str, Role] = {"ref": "reference", "reference": "reference", "tar": "target", "target": "target"}
# What stands between a sample's key and the suffix: "", "0", "view3", "ref"; of a mask "mask", "ref_mask".
VIEW = re.compile(r"(?:image|img|view|frame)?[_-]?\d*|" + "|".join(SIDES))
MASK = re.compile(r"(?:(?P<view>.+)[._-])?mask")


@dataclass
class Sample:
    """The members of one key: what stands between it and the suffix, to place."""

    key: str
    pictures: dict[str, Blob] = field(default_factory=dict)
    masks: dict[str, Blob] = field(default_factory=dict)
    texts: dict[str, Blob] = field(default_factory=dict)
    video: Blob | None = None
    problem: Unfit | None = None

    def add(self, rest: str, blob: Blob | Unfit) -> None:
        """Take the member whose name after the key is `rest` (".ref.jpg"); others than ours are passed over."""
        view, dot, end = rest.lower().rpartition(".")
        view, suffix = view.strip("."), dot + end
        if isinstance(blob, Unfit):
            self.problem = self.problem or blob
        elif suffix in VIDEOS:
            self.video = self.video or blob
        elif suffix in TEXT_SUFFIXES:
            self.texts.setdefault(suffix, blob)
        elif suffix in SUFFIXES and (found := MASK.fullmatch(view)):
            self._put(self.masks, found["view"] or "", blob)
        elif suffix in SUFFIXES and VIEW.fullmatch(view):
            self._put(self.pictures, view, blob)

    def _put(self, there: dict[str, Blob], view: str, blob: Blob) -> None:
        if view in there:
            message = f"{blob.name}: a second picture of this name beside {there[view].name}"
            self.problem = self.problem or Unfit("bad record", message, hint="number them, as in KEY.0.jpg")
        there[view] = blob


def list_webdataset(path: Path, root: Path, config: InputConfig) -> Iterator[Input | Reject]:
    """The samples of an archive, of all archives below a folder, or of those that a pattern (`shards/*.tar`) fits.

    A video makes clips, several pictures views of one object, and `ref` and `tar` the two ends of a pair. `json`, `txt`
    and `cls` tell of the sample. Of a damaged archive the samples before the damage are listed.
    """
    for id, shown, place in _find_archives(path, root):
        if isinstance(place, Unfit):
            yield build_reject(id, place)
        elif isinstance(place, Reject):
            yield place
        else:
            yield from _list_archive(id, shown, place, root, config)


def _find_archives(path: Path, root: Path) -> Iterator[tuple[str, str, Path | Unfit | Reject]]:
    """Ids, names for messages, and places."""
    if path.is_file():
        yield show_name(path.stem), show_name(path.name), Path(os.path.realpath(path))
        return
    if not path.is_dir():
        yield from _match_archives(path, root)
        return
    for folder in walk(path):
        if isinstance(folder, Reject):
            yield folder.id, folder.id, folder
            continue
        names = [name for name in folder.files if get_suffix(name) == ".tar"]
        ids = get_ids(folder.label, names)
        for name in names:
            yield ids[name], folder.get_name(name), folder.bad.get(name) or folder.path / name


def _match_archives(pattern: Path, root: Path) -> Iterator[tuple[str, str, Path | Unfit]]:
    found = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True))
    names = [str(file.relative_to(root)) for file in found if file.suffix == ".tar"]
    if not names:
        raise DataError(f"{show_name(str(pattern))}: no archive has such a name", hint="check the path")
    ids = get_ids("", names)
    for name in names:
        try:
            check_file(str(root / name), root, show_name(name))
            yield ids[name], show_name(name), root / name
        except Unfit as error:
            yield ids[name], show_name(name), error


def _list_archive(
    id: str, shown: str, path: Path, root: Path, config: InputConfig
) -> Iterator[Input | Reject]:
    sample: Sample | None = None
    seen: set[str] = set()
    try:
        for name, blob in list_members(path, shown):
            folder, base = os.path.split(name)
            key, dot, rest = base.partition(".")
            key = join_names(folder, key)
            if sample is not None and key != sample.key:
                yield from _list_sample(id, sample, seen, config, root)
                sample = None
            sample = sample or Sample(key)
            sample.add(dot + rest, blob)
    except Unfit as error:
        last = (
            f" (its last sample, {show_name(sample.key)}, may lack a part and is left out)" if sample else ""
        )
        yield build_reject(f"{id}.tar", Unfit(error.reason, error.message + last, hint=error.hint))
        return
    if sample is not None:
        yield from _list_sample(id, sample, seen, config, root)


def _list_sample(
    archive: str, sample: Sample, seen: set[str], config: InputConfig, root: Path
) -> Iterator[Input | Reject]:
    id = keep_number_free(join_names(archive, show_name(sample.key)))
    again = id in seen
    while id in seen:
        id += "~"
    seen.add(id)
    try:
        if sample.problem:
            raise sample.problem
        if not sample.pictures and sample.video is None:
            return
        if again:
            raise Unfit(
                "bad record", f"{id}: this key comes twice, apart", hint="pack a sample's files together"
            )
        about = _load_about(sample)
        if sample.video is not None:
            yield from list_clips(id, sample.video, about, config, "webdataset", root)
            return
        parts = _get_parts(sample, about)
        paired = {part.role for part in parts} - {""}
        yield from (
            [build_input(id, parts, about, config, "webdataset")]
            if paired
            else build_chunks(id, parts, about, config, "webdataset")
        )
    except Unfit as error:
        yield build_reject(id, error)


def _get_parts(sample: Sample, about: About) -> list[Part]:
    names = sorted(sample.pictures, key=lambda view: (SIDES.get(view, ""), len(view), view))
    if about.boxes and len(names) > 1:
        raise Unfit("bad record", f"{show_name(sample.key)}: boxes, but {len(names)} pictures")
    if lost := sorted(set(sample.masks) - set(names)):
        raise Unfit("no partner", f"{sample.masks[lost[0]].name}: a mask without its picture")
    return [
        Part(sample.pictures[name], sample.masks.get(name), about.boxes, SIDES.get(name, ""))
        for name in names
    ]


def _load_about(sample: Sample) -> About:
    """What `json` tells; where it says nothing, `txt` is the prompt and a word in `cls` the subcategory."""
    value = {}
    where = show_name(sample.key)
    if blob := sample.texts.get(".json"):
        value, where = parse_object(load_small(blob), blob.name, nan=True), blob.name
    about = parse_about(value, where, strict=False)
    told = {}
    for suffix, key in ((".txt", "prompt"), (".cls", "subcategory")):
        blob = sample.texts.get(suffix)
        if blob is not None and not getattr(about, key):
            text = load_small(blob).decode("utf-8-sig", "replace").strip()
            if not (key == "subcategory" and text.lstrip("-").isdigit()):
                told[key] = get_text({key: text}, key, blob.name)
    return About(**{**vars(about), **told})
