"""Which masks and references belong to a photo: one for all, or of a folder those of its path or its name."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator

from a2cli.batch.job import Item
from a2cli.batch.lists import is_picture
from a2cli.batch.manifest import get_inside
from a2cli.config.edit import EditConfig
from a2cli.engine.outputs import get_file_name
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name

NUMBERED = re.compile(r"(.+)\.(\d{1,9})", re.ASCII)  # cat.2, the second reference of cat


class Pairs:
    """The pictures of a folder, found by the photo they belong to.

    A photo `a/cat.jpg` has the picture `a/cat.png` (or `a/cat.jpg.png`), else `cat.png`. With `several` it also has
    `cat.2.png` and all in a folder `cat/`. Names are compared without their suffix, whichever Unicode form they have.
    Raises `ConfigError` for a folder without pictures.
    """

    def __init__(self, folder: str, what: str, *, several: bool = False) -> None:
        self.folder, self.what = folder, what
        self._asked, self._hits = 0, 0
        # Key of a photo -> names below the folder; of most there is one, which needs no list.
        self._names: dict[str, str | list[str]] = {}
        for name in _list_pictures(folder):
            key = _get_key(os.path.splitext(name)[0])
            self._add(key, name)
            if several:
                if match := NUMBERED.fullmatch(key):
                    self._add(match[1], name)
                if parent := os.path.dirname(key):
                    self._add(parent, name)
        if not self._names:
            raise ConfigError(
                f"{show_name(folder)}: no pictures in this folder", hint=f"name the folder with the {what}s"
            )

    def get_one(self, inside: str) -> str:
        """The picture of a photo, by its path in its own folder; `DataError` for none, and for more than one."""
        names = self._find(inside)
        if len(names) > 1:
            raise self._refuse_two(inside, names)
        return os.path.join(self.folder, names[0])

    def get_several(self, inside: str) -> list[tuple[str, str]]:
        """The pictures of a photo in the order of their labels, each after its own; "" is that of the photo's name.

        `DataError` for none, and for two with one label.
        """
        found: dict[str, str] = {}
        stem = _get_key(os.path.splitext(os.path.basename(inside))[0])
        for name in self._find(inside):
            label = self._get_label(name, stem, _get_key(os.path.basename(inside)))
            if label in found:
                raise self._refuse_two(inside, [found[label], name])
            found[label] = name
        return [(label, os.path.join(self.folder, found[label])) for label in sorted(found, key=_get_rank)]

    def check_found(self) -> None:
        """`ConfigError` where photos were looked for and none has a picture here."""
        if self._asked and not self._hits:
            raise ConfigError(
                f"{show_name(self.folder)}: no {self.what} for any photo",
                hint="photo.jpg has photo.png there; a folder of photos is mirrored or laid flat",
            )

    def _get_label(self, name: str, *own: str) -> str:
        key = _get_key(os.path.splitext(os.path.basename(name))[0])
        if key in own:
            return ""
        match = NUMBERED.fullmatch(key)
        return match[2] if match and match[1] in own else key

    def _find(self, inside: str) -> list[str]:
        self._asked += 1
        parts = _get_key(inside).split("/")
        for depth in range(len(parts)):
            whole = "/".join(parts[depth:])
            for key in (whole, os.path.splitext(whole)[0]):
                if (found := self._names.get(key)) is not None:
                    self._hits += 1
                    return [found] if isinstance(found, str) else found
        raise DataError(
            f"{show_name(inside)}: no {self.what} in {show_name(self.folder)}",
            hint=f"name it {show_name(os.path.splitext(inside)[0])}.png",
        )

    def _refuse_two(self, inside: str, names: list[str]) -> DataError:
        both = " and ".join(show_name(os.path.join(self.folder, name)) for name in names[:2])
        return DataError(f"{show_name(inside)}: two {self.what}s, {both}", hint="leave one of them there")

    def _add(self, key: str, name: str) -> None:
        found = self._names.get(key)
        if found is None:
            self._names[key] = name
        elif isinstance(found, str):
            self._names[key] = [found, name]
        else:
            found.append(name)


def get_labels(paths: tuple[str, ...]) -> list[str]:
    """What several references are called in outputs: by their stem, their name where stems repeat, else numbered."""
    names = [get_file_name(path) for path in paths]
    stems = [os.path.splitext(name)[0] for name in names]
    labels = [stem if stems.count(stem) == 1 else name for stem, name in zip(stems, names, strict=True)]
    return [
        label if labels.count(label) == 1 else f"{label}-{labels[: i + 1].count(label)}"
        for i, label in enumerate(labels)
    ]


def _list_pictures(root: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise ConfigError(f"{show_name(str(error.filename))}: cannot be read: {error.strerror}")

    for folder, folders, files in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        below = os.path.relpath(folder, root)
        yield from (os.path.normpath(os.path.join(below, f)) for f in sorted(files) if is_picture(f))


def _get_key(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _get_rank(label: str) -> tuple[int, int, str]:
    """The plain one first, then numbers as numbers, then names."""
    if re.fullmatch(r"\d{1,9}", label, re.ASCII):
        return 1, int(label), label
    return (2 if label else 0), 0, label


class Partners:
    """The masks and references of a command line, each one for all photos or a folder of them."""

    def __init__(self, config: EditConfig) -> None:
        own = config.sources or config.batch.manifest is not None  # else the masks are the photos
        self._mask = _open(config.mask, "mask") if own else config.mask
        self._ref_mask = _open(config.ref_mask, "reference mask")
        self._refs = [_open(ref, "reference", several=True) for ref in dict.fromkeys(config.refs)]
        files = tuple(ref for ref in self._refs if isinstance(ref, str))
        self._labels = dict(zip(files, get_labels(files), strict=True)) if len(self._refs) > 1 else {}

    def get_mask(self, item: Item) -> str | None:
        """The mask of a photo; `DataError` where its folder has none."""
        if item.mask is not None or not isinstance(self._mask, Pairs):
            return self._mask if item.mask is None else item.mask  # type: ignore[return-value]
        return self._mask.get_one(item.inside)

    def get_refs(self, item: Item) -> list[tuple[str, str]]:
        """The references of a photo, each after its label, "" for the only one; `DataError` where there are none."""
        if item.refs is not None:
            return list(zip(get_labels(item.refs) if len(item.refs) > 1 else [""], item.refs, strict=True))
        if not self._refs:
            raise DataError("no reference", hint='"ref": "cat.png", or --ref')
        found: list[tuple[str, str]] = []
        for ref in self._refs:
            if isinstance(ref, Pairs):
                found += ref.get_several(item.inside)
            elif ref is not None:
                found.append((self._labels.get(ref, ""), ref))
        return found

    def get_ref_mask(self, item: Item, ref: str) -> str | None:
        """The mask of a reference, None where it is cut out automatically."""
        if item.ref_mask is not None:
            return item.ref_mask
        return (
            self._ref_mask.get_one(get_inside(ref)) if isinstance(self._ref_mask, Pairs) else self._ref_mask
        )

    def check_found(self) -> None:
        """`ConfigError` for a folder in which nothing was found for any photo."""
        for pairs in (self._mask, self._ref_mask, *self._refs):
            if isinstance(pairs, Pairs):
                pairs.check_found()


def _open(name: str | None, what: str, *, several: bool = False) -> Pairs | str | None:
    return Pairs(name, what, several=several) if name is not None and os.path.isdir(name) else name
