"""One picture from an OpenAI-compatible images API: asked for within a budget, tried a few times, kept for good."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from a2cli.building.config import GenerateConfig
from a2cli.errors import DataError
from a2cli.files import make_folder, write_bytes
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.images.write import build_photo, encode_png
from a2cli.remote import access
from a2cli.remote.budget import Budget
from a2cli.remote.calls import CallError, Place, fail, get_error, post, try_often

FIRST_WAIT_S = 1.0  # doubled from try to try
MOST_WAIT_S = 60.0  # also for a server's Retry-After
MOST_BYTES = 128 << 20  # of an answer
SPENT, REFUSED = "generator budget spent", "generator refuses"
SILENT, NONSENSE = "generator does not answer", "generator answers nonsense"
REASONS = {"silent": SILENT, "refused": REFUSED, "nonsense": NONSENSE}
KEPT = ".image"

Endpoint = Literal["images/generations", "images/edits"]


@dataclass(frozen=True)
class Ask:
    """What is asked for: `item` tells two items of one prompt apart; `rgb` (H, W, 3) uint8 is the picture to edit."""

    endpoint: Endpoint
    item: str
    prompt: str
    rgb: np.ndarray | None = None


@dataclass(frozen=True)
class Failure:
    """Why there is no picture: a phrase to be counted, a line of detail, whether it may have been paid all the same."""

    reason: str
    detail: str
    paid: bool = False

    @property
    def broken(self) -> bool:
        """Whether the generator failed, rather than declined."""
        return self.reason in (SILENT, NONSENSE)


class ImageClient:
    """Asks for pictures and keeps the answers in `cache`: DIGEST.image as it came, DIGEST.asked until it came.

    The budget counts both: pictures that came, and those that were asked for and may have been paid. It holds over
    all processes that share the folder. A picture that is tried again, now or in a rerun, counts once.
    """

    def __init__(self, config: GenerateConfig, cache: Path) -> None:
        self.config = config
        self.cache = cache
        self._wants_format = not config.model.startswith("gpt-image")  # these refuse the word

    def ask(self, ask: Ask) -> Photo | Failure:
        """The picture that was asked for, from the cache where it is there. Raises `ConfigError` without a key."""
        kept = self.cache / f"{self.get_digest(ask)}{KEPT}"
        photo = self._open_kept(kept)
        if photo is not None:
            return photo
        key = load_key(self.config)
        make_folder(self.cache)
        if not self._take(kept):
            return Failure(SPENT, f"{self.config.budget} pictures were asked for; raise generate.budget")
        place = Place(self.config.url, key, self.config.timeout_s, MOST_BYTES)
        try:
            data, photo = try_often(
                lambda _: self._ask_once(ask, place),
                self.config.retries,
                first_wait_s=FIRST_WAIT_S,
                most_wait_s=MOST_WAIT_S,
            )
        except CallError as error:
            if not error.fault.paid:
                self._get_budget().give_back(kept.stem)
            return Failure(REASONS[error.fault.cause], error.fault.detail, error.fault.paid)
        write_bytes(data, kept)
        self._get_budget().give_back(kept.stem)
        return photo

    def get_digest(self, ask: Ask) -> str:
        """What an answer is kept under: everything that was asked, and of whom."""
        facts = [self.config.url.rstrip("/"), ask.endpoint, self.config.model, self.config.size]
        digest = hashlib.sha256(json.dumps([*facts, ask.prompt, ask.item]).encode())
        if ask.rgb is not None:
            digest.update(json.dumps(ask.rgb.shape).encode() + np.ascontiguousarray(ask.rgb).tobytes())
        return digest.hexdigest()

    def _open_kept(self, kept: Path) -> Photo | None:
        try:
            return open_photo(kept) if kept.exists() else None
        except DataError:
            return None  # damaged: asked for again

    def _get_budget(self) -> Budget:
        return Budget(self.cache, self.config.budget, KEPT)

    def _take(self, kept: Path) -> bool:
        """Count a picture against the budget, before it is asked for; False where nothing is left."""
        return self._get_budget().take(kept.stem)

    def _ask_once(self, ask: Ask, place: Place) -> tuple[bytes, Photo]:
        reply = post(place, ask.endpoint, **self._get_body(ask))
        if reply.status != 200:
            error = get_error(place, reply)
            if reply.status == 400 and self._wants_format and "response_format" in error.fault.detail:
                self._wants_format = False
                return self._ask_once(ask, place)
            raise error
        data = _decode(reply.body)
        try:
            photo = open_photo(data, name=f"{place.host}'s answer")
        except DataError as error:
            raise fail(error.message) from error
        wanted = re.fullmatch(r"(\d+)x(\d+)", self.config.size)
        if wanted and photo.size != (int(wanted[2]), int(wanted[1])):
            found = f"{photo.size[1]}x{photo.size[0]}"
            raise fail(f"a picture of {found} instead of {self.config.size}")
        return data, photo

    def _get_body(self, ask: Ask) -> dict[str, Any]:
        fields = {"model": self.config.model, "prompt": ask.prompt, "n": 1, "size": self.config.size}
        if self._wants_format:
            fields["response_format"] = "b64_json"
        if ask.rgb is None:
            return {"json": fields}
        picture = encode_png(build_photo(ask.rgb), ask.rgb)
        return {"data": fields, "files": {"image": ("image.png", picture, "image/png")}}


def load_key(config: GenerateConfig) -> str:
    """The API's key, as `access.load_key` finds it."""
    return access.load_key(config.url, config.key_variable, "generate.url")


def count_asked(cache: Path) -> int:
    """How many pictures of a budget a cache's folder accounts for; 0 where there is none."""
    return Budget(cache, 0, KEPT).count()


def _decode(body: bytes) -> bytes:
    """The picture in an answer's JSON, `{"data": [{"b64_json": ...}]}`. An address instead is never followed."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise fail("an answer that is not JSON") from error
    try:
        first = value["data"][0]
        text = first.get("b64_json")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise fail("an answer without a picture") from error
    if not isinstance(text, str) or not text:
        if first.get("url"):
            raise fail("an address instead of a picture, which is not followed", again=False)
        raise fail("an answer without a picture")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise fail("a picture that is not base64") from error
