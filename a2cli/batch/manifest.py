"""A manifest: JSON lines or plain paths, one item each; what is wrong with a line costs that line alone."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from a2cli.batch.job import Item, Refusal
from a2cli.batch.lists import MADE, PICKED, get_id
from a2cli.batch.locks import FOLDER
from a2cli.batch.store import FAILURES, RESULTS
from a2cli.config.batch import BatchConfig
from a2cli.config.edit import ADDRESS, check_address
from a2cli.config.suggest import get_suggestion
from a2cli.engine.outputs import get_address_names
from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.files import show_name

KEYS = ("id", "source", "ref", "mask", "ref_mask", "prompt", "seed", "out")
RECORDS = (RESULTS, FAILURES, FOLDER)
MAX_BYTES = 1 << 28
MAX_LINE = 1 << 20
BOM = b"\xef\xbb\xbf"
MAYBE_MADE = re.compile(rb"\.(a2|mask)", re.IGNORECASE)  # no other list need be searched for what was made
PIPE_HINT = "a path inside the manifest's folder; or pipe plain paths in, as find prints them: --manifest -"


class Manifest:
    """The items of a manifest, parsed anew each time they are asked for: its bytes are all that is held.

    A line that begins with `{` is a JSON object with some of `KEYS`, any other a path; with `null` all are paths, which
    end in NUL. Paths are relative to the manifest's folder, or for stdin to the current one, and none leads out of it
    but a plain one on stdin, which the user names. `stdin` is called for the manifest "-".
    Raises `ConfigError` for a file that cannot be read and for what is no manifest at all.
    """

    def __init__(self, config: BatchConfig, stdin: Callable[[], bytes], *, allow_urls: bool = False) -> None:
        assert config.manifest is not None
        # A named pipe is bash's <(...), its paths are relative to where the command runs.
        self.piped = config.manifest == "-" or (
            os.path.exists(config.manifest) and not os.path.isfile(config.manifest)
        )
        self.shown = "stdin" if config.manifest == "-" else show_name(config.manifest)
        self.root = "" if self.piped else os.path.dirname(config.manifest)
        self._allow_urls, self._null = allow_urls, config.null
        data = stdin() if config.manifest == "-" else _load(config.manifest)
        self._data = data.removeprefix(BOM)
        self._check()
        self._stems = self._list_stems() if MAYBE_MADE.search(self._data) else frozenset()

    def __iter__(self) -> Iterator[Item | Refusal]:
        for number, line in self._list_lines():
            if self._is_record(line):
                yield self._parse_record(number, line)
            elif not self._is_made(path := os.fsdecode(line)):
                yield self._parse_path(number, path)

    def count_made(self) -> int:
        """How many plain paths are left out: outputs `*.a2.png` and masks `*.mask.png` with their photo in the list."""
        if not self._stems:
            return 0
        lines = (line for _, line in self._list_lines() if not self._is_record(line))
        return sum(self._is_made(os.fsdecode(line)) for line in lines)

    def _check(self) -> None:
        if not self._data.strip(b"\0\r\n \t"):
            raise ConfigError(f"{self.shown}: the manifest is empty", hint="JSON lines, or paths, one a line")
        if not self._null and b"\0" in self._data:
            raise ConfigError(
                f"{self.shown}: neither JSON lines in UTF-8 nor paths, one a line",
                hint="a list separated by NUL needs --null",
            )
        start = self._data.lstrip()[:80]
        if not self._null and start[:1] == b"[" and start[1:].lstrip()[:1] in (b"{", b"]"):
            raise ConfigError(f"{self.shown}: a JSON array", hint="write one object a line, no brackets")

    def _list_lines(self) -> Iterator[tuple[int, bytes]]:
        """Every line that is not empty after its number, counted from 1."""
        mark = b"\0" if self._null else b"\n"
        start, number = 0, 0
        while start < len(self._data):
            end = self._data.find(mark, start)
            end = len(self._data) if end < 0 else end
            line = self._data[start:end]
            start, number = end + 1, number + 1
            if not self._null:
                line = line.removesuffix(b"\r")
            if line if self._null else line.strip():
                yield number, line

    def _is_record(self, line: bytes) -> bool:
        return not self._null and line.lstrip()[:1] == b"{"

    def _list_stems(self) -> frozenset[int]:
        """The paths of the list without suffix, hashed: of an output's photo nothing else is asked."""
        paths = (os.fsdecode(line) for _, line in self._list_lines() if not self._is_record(line))
        return frozenset(hash(os.path.splitext(path)[0]) for path in paths if not MADE.search(path))

    def _is_made(self, path: str) -> bool:
        if not self._stems:
            return False
        stem = MADE.sub("", path)
        if stem != path:
            return hash(stem) in self._stems or hash(os.path.splitext(stem)[0]) in self._stems
        stem = PICKED.sub("", path)
        return stem != path and hash(stem) in self._stems

    def _parse_path(self, number: int, path: str) -> Item | Refusal:
        path = "./-" if path == "-" else path
        try:
            if ADDRESS.match(path):
                check_address(path, self._allow_urls)
            elif not self.piped:
                _check_inside(path, "the path")
        except A2Error as error:
            return Refusal(get_id(path), f"line {number}: {error}", number)
        where = path if ADDRESS.match(path) else os.path.join(self.root, path)
        root = None if self.piped else self.root
        return Item(get_id(path), where, get_inside(path), line=number, root=root)

    def _parse_record(self, number: int, line: bytes) -> Item | Refusal:
        id = f"line {number}"
        try:
            if len(line) > MAX_LINE:
                raise DataError(f"more than {MAX_LINE >> 20} MiB")
            value = _parse_object(line)
            found = _get_text(value, "id")
            id = found or id
            return self._build_item(value, found, number)
        except A2Error as error:
            return Refusal(id, f"line {number}: {error}", number)

    def _build_item(self, value: dict[str, Any], id: str | None, number: int) -> Item:
        for key in value:
            if key not in KEYS:
                raise DataError(f"unknown key {show_name(key)!r}", hint=get_suggestion(key.lower(), KEYS))
        given = {key: _get_text(value, key) for key in ("source", "mask", "ref_mask", "prompt", "out")}
        inputs = {key: self._place(key, given[key]) for key in ("source", "mask", "ref_mask")}
        if (out := given["out"]) is not None:
            if ADDRESS.match(out) or out == "-":
                raise DataError(f"out: {show_name(out)} is no file", hint="a path below -o")
            _check_inside(out, "out")
            if os.path.normpath(out).split("/")[0] in RECORDS:
                raise DataError(f"out: {show_name(out)}: there the batch keeps its records")
        own = given["source"] or given["mask"]
        name = get_id(own) if own else f"line {number}"
        return Item(
            id or (f"{name}+{out}" if out else name),
            inputs["source"],
            get_inside(own) if own else f"line-{number}",
            refs=self._get_refs(value),
            mask=inputs["mask"],
            ref_mask=inputs["ref_mask"],
            prompt=given["prompt"],
            seed=_get_seed(value),
            out=out,
            line=number,
            root=self.root,
            named=id is not None,
        )

    def _get_refs(self, value: dict[str, Any]) -> tuple[str, ...] | None:
        refs = value.get("ref")
        if not isinstance(refs, list):
            ref = self._place("ref", _get_text(value, "ref"))
            return None if ref is None else (ref,)
        texts = [_get_text({"ref": ref}, "ref") for ref in refs]
        if not texts or None in texts:
            raise DataError("ref: no list of paths", hint='"ref": ["a.png", "b.png"]')
        placed = (self._place("ref", text) for text in texts)
        return tuple(dict.fromkeys(path for path in placed if path is not None))

    def _place(self, key: str, path: str | None) -> str | None:
        """A path of a record as seen from here; `DataError` for one that leads elsewhere."""
        if path is None or (key in ("mask", "ref_mask") and path.lower().startswith("box:")):
            return path
        if ADDRESS.match(path):
            check_address(path, self._allow_urls)
            return path
        if path == "-":
            raise DataError(f"{key}: a manifest names files, not stdin", hint="name a file")
        _check_inside(path, key)
        return os.path.join(self.root, path)


def check_file(path: str | None, root: str) -> None:
    """`DataError` for a path that a link leads out of `root`, and for one that is there but no regular file."""
    if path is None or ADDRESS.match(path) or path.lower().startswith("box:"):
        return
    if not f"{os.path.realpath(path)}/".startswith(_get_top(root, os.getcwd())):
        raise DataError(
            f"{show_name(path)}: a link leads out of {show_name(root or '.')}", hint="name the file itself"
        )
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # what is missing is for the edit to tell
        return
    if not stat.S_ISREG(mode):
        raise DataError(f"{show_name(path)}: not a regular file", hint="name a picture; find has -type f")


@lru_cache(maxsize=64)
def _get_top(root: str, here: str) -> str:
    return f"{os.path.realpath(os.path.join(here, root)).rstrip('/')}/"


def get_inside(path: str) -> str:
    """A path of a list as it is mirrored into -o: what leads above the current folder is left out, as tar does."""
    if ADDRESS.match(path):
        return "/".join(get_address_names(path))
    parts = os.path.normpath(path).split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "photo"


def _check_inside(path: str, key: str) -> None:
    """`DataError` for a path that does not stay below where it starts."""
    if "\0" in path:
        raise DataError(f"{key}: {show_name(path)} is no path")
    if path.startswith("/") or ".." in path.split("/"):
        kind = "an absolute path" if path.startswith("/") else "'..'"
        hint = PIPE_HINT if key == "the path" else "a path inside the manifest's folder"
        raise DataError(
            f"{key}: {show_name(path)}: {kind} is not followed",
            hint="a path below -o" if key == "out" else hint,
        )


def _parse_object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode(), object_pairs_hook=_build_object, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8", hint="save the manifest as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", hint="one object a line") from error
    assert isinstance(value, dict)  # it begins with a brace
    return value


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice")
    return value


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _get_text(value: dict[str, Any], key: str) -> str | None:
    """The text under a key, None where there is none or null; a whole number is an id as well."""
    found = value.get(key)
    if key == "id" and isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if found is None:
        return None
    if not isinstance(found, str):
        raise DataError(f"{key}: not text", hint=f'"{key}": "..."')
    try:
        found.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise DataError(f"{key}: no valid Unicode") from error
    if not found.strip() and key != "prompt":
        raise DataError(f"{key}: it is empty", hint="leave the key out")
    return found


def _get_seed(value: dict[str, Any]) -> int | None:
    seed = value.get("seed")
    if seed is None:
        return None
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise DataError(f"seed: {show_name(repr(seed))[:40]} is no seed", hint="a whole number, 0 or more")
    return seed


def _load(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # a pipe too, as bash makes of <(...)
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{show_name(path)}: the manifest cannot be read: {cause}", hint="check the path"
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{show_name(path)}: more than {MAX_BYTES >> 20} MiB", hint="divide it")
    return data
