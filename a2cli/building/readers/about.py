"""What is said of a picture or video beside it: in a JSON file, a table's row or a manifest's line."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from a2cli.building.config import InputConfig
from a2cli.building.readers.rejects import Unfit
from a2cli.config.suggest import get_suggestion
from a2cli.data.provenance import Rights
from a2cli.files import show_name

Rect = tuple[float, float, float, float]
RIGHTS = ("source", "author", "licence", "permission")
TEXTS = ("category", "subcategory", "prompt", "group", *RIGHTS)
KEYS = (*TEXTS, "boxes")
ALIASES = {"license": "licence", "text": "prompt", "caption": "prompt", "url": "source"}
# Likeness from which a foreign key is taken for a misspelt one of ours: a plain word, one for an alias, a compound.
NEAR, NEAR_ALIAS, NEAR_COMPOUND = 0.76, 0.85, 0.9
SHORT = 4  # letters of an alias that too many other words are like
FOREIGN = frozenset({"captions", "categories", "resource", "resources"})  # other data sets' keys
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class About:
    """Texts, "" where nothing is said; `boxes` in pixels of the picture."""

    category: str = ""
    subcategory: str = ""
    prompt: str = ""
    group: str = ""
    rights: Rights = field(default_factory=Rights)
    boxes: tuple[Rect, ...] = ()


def parse_object(data: bytes | str, where: str, *, nan: bool = False) -> dict[str, Any]:
    """The JSON object in UTF-8 bytes, a byte order mark allowed; a key twice and (unless `nan`) NaN are refused.

    Raises `Unfit` ("bad record") naming `where`.
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=_build_object, parse_constant=None if nan else _refuse)
    except (ValueError, RecursionError) as error:
        raise Unfit("bad record", f"{where}: not JSON: {error}", hint="write one object in UTF-8") from error
    if not isinstance(value, dict):
        raise Unfit("bad record", f"{where}: not a JSON object", hint='write {"category": ...}')
    return value


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice")
    return value


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")


def parse_about(value: Mapping[str, Any], where: str, *, strict: bool, others: Collection[str] = ()) -> About:
    """What an object says, `others` being keys that its reader looks at itself.

    `strict` refuses every other key; else foreign ones are passed over, but not those that look like one of ours
    misspelt. Raises `Unfit` ("bad record") naming `where` and the key.
    """
    known = (*KEYS, *others, "license") if strict else (*KEYS, *others, *ALIASES)
    for key in value:
        if key not in known and (strict or is_near(key, (*KEYS, *others))):
            shown = show_name(key)
            raise Unfit(
                "bad record", f"{where}: unknown key {shown!r}", hint=get_suggestion(key.lower(), known)
            )
    texts = {key: get_text(value, key, where) for key in TEXTS}
    for alias, key in ALIASES.items():
        if not texts[key] and alias in value and alias not in others:
            texts[key] = get_text(value, alias, where)
    rights = Rights(**{key: texts.pop(key) for key in RIGHTS})
    return About(**texts, rights=rights, boxes=parse_boxes(value.get("boxes"), where))


@lru_cache(maxsize=4096)  # a table asks of the same keys in every row
def is_near(key: str, known: tuple[str, ...]) -> bool:
    """Whether a key looks like one of `known`, or of the aliases, misspelt: "licens", "box", but not "category_id"."""
    word = key.lower()
    if word in FOREIGN:
        return False
    if not {word, f"{word}s", f"{word}es"}.isdisjoint(known):
        return True
    plain = re.fullmatch(r".[a-z]*", key) is not None
    names = {
        **{alias: NEAR_ALIAS if plain else NEAR_COMPOUND for alias in ALIASES if len(alias) > SHORT},
        **dict.fromkeys(known, NEAR if plain else NEAR_COMPOUND),
    }
    return any(difflib.SequenceMatcher(None, name, word).ratio() >= least for name, least in names.items())


def get_text(value: Mapping[str, Any], key: str, where: str) -> str:
    """The text under a key, "" for none; whole numbers become text. Raises `Unfit` for anything else."""
    found = value.get(key)
    if found is None:
        return ""
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if not isinstance(found, str):
        raise Unfit("bad record", f"{where}: {key} is no text", hint='write "..."')
    try:
        found.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise Unfit("bad record", f"{where}: {key} is no valid Unicode") from error
    return found.strip()


def parse_boxes(value: Any, where: str) -> tuple[Rect, ...]:
    """Boxes [[x0, y0, x1, y1], ...] in pixels, x0 < x1, y0 < y1. Raises `Unfit` ("bad record")."""
    if value is None:
        return ()
    boxes = []
    for box in value if isinstance(value, list | tuple) else [value]:
        numbers = [n for n in box if isinstance(n, int | float)] if isinstance(box, list | tuple) else []
        if len(numbers) != 4 or len(box) != 4 or not all(abs(n) < 1e9 for n in numbers):
            raise Unfit(
                "bad record", f"{where}: boxes: not four numbers each", hint="[[x0, y0, x1, y1], ...]"
            )
        x0, y0, x1, y1 = (float(n) for n in numbers)
        if not (x0 < x1 and y0 < y1):
            raise Unfit(
                "bad record", f"{where}: boxes: an empty box", hint="[[x0, y0, x1, y1], ...], x0 < x1"
            )
        boxes.append((x0, y0, x1, y1))
    return tuple(boxes)


def fill_about(about: About, config: InputConfig) -> About:
    """What is said of one, and for the rest what is known of all its source holds."""
    rights = Rights(**{key: getattr(about.rights, key) or getattr(config, key) for key in RIGHTS})
    texts = {
        key: getattr(about, key) or getattr(config, key) for key in ("category", "subcategory", "prompt")
    }
    if about.category and not about.subcategory:
        texts["subcategory"] = ""  # the source's own belongs to its own category
    return replace(about, **texts, rights=rights)
