"""Where the pictures of several edits go: the folders of the photos mirrored, never two edits into one file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from a2cli.batch.job import Item, Job
from a2cli.config.edit import ADDRESS, EditConfig
from a2cli.engine.outputs import get_base, get_output_name
from a2cli.errors import ConfigError
from a2cli.files import show_name
from a2cli.images.encode import FORMAT_SUFFIXES

MADE_SUFFIX = ".a2.png"


@dataclass(frozen=True)
class Target:
    """The files of one edit: its picture, and its maps where they are asked for."""

    out: str
    save_region: str | None
    save_attention: str | None


def get_target(config: EditConfig, item: Item, label: str, *, whole: bool, plain: bool) -> Target:
    """Name the files of an edit: NAME[.LABEL].a2.png, beside the photo or mirrored below -o; maps NAME[.LABEL].png.

    `whole` names keep apart what would get one name: they have the photo's suffix, or the id that a manifest gave.
    `plain`: the command line is of one edit, its -o and --save-region may name files.
    """
    own = item.source or item.mask or ""
    if plain:
        return Target(str(get_base(config, own)), config.save_region, config.save_attention)
    place = get_place(item, label, whole=whole, count=config.num_images)
    if config.out is not None:
        out = os.path.join(config.out, place)
    elif item.out is not None:
        out = os.path.join(item.root or "", place)
    elif ADDRESS.match(own):
        out = os.path.basename(place)
    else:
        out = os.path.normpath(os.path.join(os.path.dirname(own), os.path.basename(place)))
    maps = os.path.splitext(place)[0] if item.places else place.removesuffix(MADE_SUFFIX)
    region, attention = (
        None if folder is None else os.path.join(folder, f"{maps}.png")
        for folder in (config.save_region, config.save_attention)
    )
    return Target(out, region, attention)


def get_place(item: Item, label: str, *, whole: bool, count: int = 1) -> str:
    """An output's path below -o; a manifest's own `out` is kept, a label put before its suffix."""
    tail = f".{label}" if label else ""
    if item.out is not None and item.places:
        stem, suffix = os.path.splitext(item.out)
        return f"{stem}{tail}{suffix}"
    folder = os.path.dirname(item.inside) if item.out is None else item.out
    return os.path.join(folder, get_place_name(item, tail, whole, count))


def get_place_name(item: Item, tail: str, whole: bool, count: int) -> str:
    """An output's file name."""
    name = os.path.basename(item.inside)
    stem = os.path.splitext(name)[0]
    if whole:
        stem = f"{stem}.{item.id.replace('/', '_')}" if item.named else name
    return get_output_name(f"{stem}{tail}", count)


def check_targets(config: EditConfig) -> None:
    """`ConfigError` where -o, --save-region or --save-attention of several edits is no folder."""
    if config.out == "-":
        raise ConfigError("-o - writes one PNG, here are several edits", hint="name a folder with -o")
    for option, name in (
        ("-o", config.out),
        ("--save-region", config.save_region),
        ("--save-attention", config.save_attention),
    ):
        if name is None:
            continue
        looks = os.path.splitext(name)[1].lower() in FORMAT_SUFFIXES and not name.endswith("/")
        if not os.path.isdir(name) and (looks or os.path.lexists(name)):
            raise ConfigError(
                f"{option} {show_name(name)}: a file, several edits need a folder", hint=f"{option} folder/"
            )
    maps = [os.path.abspath(name) for name in (config.save_region, config.save_attention) if name]
    if len(set(maps)) < len(maps):
        raise ConfigError("regions and attention maps would replace each other", hint="name two folders")


class Survey:
    """Which outputs of many edits cannot be as they are named; of every path its hash alone is held.

    All edits are shown to it: `note` with the names each would have if it were alone, then, where `settle_names` says
    so, `note_final` with those that `is_taken` has led to. An edit whose id stood before counts for nothing.
    """

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._outs: set[int] = set()
        self._inputs: set[int] = set()
        self._twice: set[int] = set()
        self._taken: frozenset[int] = frozenset()
        self.repeated_ids: set[int] = set()
        self.lost: set[int] = set()

    def note(self, job: Job) -> None:
        """Take down an edit as it would be named if it were alone."""
        if _count(hash(job.id), self._ids, self.repeated_ids):
            for path in _list_outputs(job):
                _count(get_key(path), self._outs, self._twice)
            self._inputs.update(get_key(p) for p in (job.source, job.ref, job.mask, job.ref_mask) if p)

    def settle_names(self) -> bool:
        """Once all edits are known: whether some need other names, and all are to be shown again."""
        self._taken = frozenset(self._twice)
        if self._taken:
            self._ids, self._outs, self._twice = set(), set(), set()
        return bool(self._taken)

    def note_final(self, job: Job) -> None:
        """Take down an edit as it is named in the end."""
        if _count(hash(job.id), self._ids, self.repeated_ids):
            for path in _list_outputs(job):
                _count(get_key(path), self._outs, self._twice)

    def settle(self) -> None:
        """Find what is lost: outputs that two edits have, or that an edit reads; forget what only counting needed."""
        self.lost = self._twice | (self._outs & self._inputs)
        self._ids, self._outs, self._twice = set(), set(), set()
        self._inputs &= self.lost

    def is_taken(self, job: Job) -> bool:
        """Whether another edit would write one of this one's files; nobody's before the names are settled."""
        return bool(self._taken) and any(get_key(path) in self._taken for path in _list_outputs(job))

    def get_lost(self, job: Job) -> str | None:
        """The file of an edit that another one writes or reads, None where all is well."""
        if not self.lost:
            return None
        return next((path for path in _list_outputs(job) if get_key(path) in self.lost), None)

    def is_input(self, path: str) -> bool:
        """Whether an edit reads this file, which one writes."""
        return get_key(path) in self._inputs


def get_key(path: str) -> int:
    """One number for one file, however it is spelt; addresses are files of their own."""
    return hash(path if ADDRESS.match(path) else os.path.abspath(path))


def _list_outputs(job: Job) -> Iterable[str]:
    return (path for path in (job.out, job.save_region, job.save_attention) if path)


def _count(key: int, once: set[int], more: set[int]) -> bool:
    """Whether a key is new; those that are not are taken down."""
    if key in once:
        more.add(key)
        return False
    once.add(key)
    return True
