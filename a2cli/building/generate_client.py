"""One picture from an OpenAI-compatible images API: asked for within a budget, tried a few times, kept for good."""

from __future__ import annotations

import base64
import binascii
import email.utils
import fcntl
import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from a2cli.building.config import GenerateConfig
from a2cli.building.generate_access import get_auth, get_host, is_loopback, load_key
from a2cli.errors import DataError
from a2cli.files import make_folder, show_name, write_bytes
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.images.write import build_photo, encode_png

FIRST_WAIT_S = 1.0  # doubled from try to try
MOST_WAIT_S = 60.0  # also for a server's Retry-After
MOST_BYTES = 128 << 20  # of an answer
BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
SPENT, REFUSED = "generator budget spent", "generator refuses"
SILENT, NONSENSE = "generator does not answer", "generator answers nonsense"

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


class _Failed(Exception):
    """One try without a picture; `again`: another may do better, not before `wait_s` if the server says so."""

    def __init__(self, failure: Failure, *, again: bool, wait_s: float = 0.0) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.again = again
        self.wait_s = wait_s


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
        kept = self.cache / f"{self.get_digest(ask)}.image"
        photo = self._open_kept(kept)
        if photo is not None:
            return photo
        key = load_key(self.config)
        make_folder(self.cache)
        if not self._take(kept):
            return Failure(SPENT, f"{self.config.budget} pictures were asked for; raise generate.budget")
        answer = self._try(ask, key)
        if isinstance(answer, Failure):
            if not answer.paid:
                self._give_back(kept)
            return answer
        write_bytes(answer[0], kept)
        self._give_back(kept)
        return answer[1]

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

    def _take(self, kept: Path) -> bool:
        """Count a picture against the budget, before it is asked for; False where nothing is left."""
        try:
            with _hold(self.cache):
                taken = _list_asked(self.cache)
                if kept.stem not in taken and len(taken) >= self.config.budget:
                    return False
                kept.with_suffix(".asked").touch()
                return True
        except OSError as error:
            where = show_name(str(self.cache))
            raise DataError(
                f"{where}: answers cannot be kept there: {error.strerror}", hint="choose another folder"
            ) from error

    def _give_back(self, kept: Path) -> None:
        kept.with_suffix(".asked").unlink(missing_ok=True)

    def _try(self, ask: Ask, key: str) -> tuple[bytes, Photo] | Failure:
        wait_s, paid = FIRST_WAIT_S, False
        for left in range(self.config.retries, -1, -1):
            try:
                return self._ask_once(ask, key)
            except _Failed as error:
                paid = paid or error.failure.paid
                if not left or not error.again:
                    return replace(error.failure, paid=paid)
                time.sleep(min(max(wait_s, error.wait_s), MOST_WAIT_S))
                wait_s *= 2
        raise AssertionError

    def _ask_once(self, ask: Ask, key: str) -> tuple[bytes, Photo]:
        status, headers, body = self._post(ask, key)
        if status != 200:
            message = self._get_message(body, key)
            if status == 400 and self._wants_format and "response_format" in message:
                self._wants_format = False
                return self._ask_once(ask, key)
            raise self._judge(status, headers, message)
        data = _decode(body)
        try:
            photo = open_photo(data, name=f"{get_host(self.config.url)}'s answer")
        except DataError as error:
            raise _fail(error.message) from error
        wanted = re.fullmatch(r"(\d+)x(\d+)", self.config.size)
        if wanted and photo.size != (int(wanted[2]), int(wanted[1])):
            found = f"{photo.size[1]}x{photo.size[0]}"
            raise _fail(f"a picture of {found} instead of {self.config.size}")
        return data, photo

    def _post(self, ask: Ask, key: str) -> tuple[int, Any, bytes]:
        import requests

        fields = {"model": self.config.model, "prompt": ask.prompt, "n": 1, "size": self.config.size}
        if self._wants_format:
            fields["response_format"] = "b64_json"
        body: dict[str, Any] = {"json": fields}
        if ask.rgb is not None:
            picture = encode_png(build_photo(ask.rgb), ask.rgb)
            body = {"data": fields, "files": {"image": ("image.png", picture, "image/png")}}
        with requests.Session() as session:
            session.trust_env = not is_loopback(self.config.url)  # no proxy on the way to this machine
            answered = False
            try:
                with session.post(
                    f"{self.config.url.rstrip('/')}/{ask.endpoint}",
                    timeout=self.config.timeout_s,
                    allow_redirects=False,
                    stream=True,
                    auth=get_auth(key),
                    **body,
                ) as response:
                    answered = response.status_code == 200
                    return response.status_code, response.headers, self._read(response)
            except requests.RequestException as error:
                late = isinstance(error, requests.ReadTimeout)
                cause = "no answer in time" if late else "the connection fails"
                detail = f"{get_host(self.config.url)}: {cause} ({type(error).__name__})"
                raise _Failed(Failure(SILENT, detail, paid=late or answered), again=True) from error

    def _read(self, response: Any) -> bytes:
        """The body, bounded in size and time: a server that dribbles does not hold a worker for ever."""
        deadline = time.monotonic() + self.config.timeout_s
        parts, size = [], 0
        for part in response.iter_content(1 << 12):
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise _fail(f"an answer of more than {MOST_BYTES >> 20} MiB", again=False)
            if time.monotonic() > deadline:
                cause = f"no whole answer in {self.config.timeout_s:g} s"
                raise _Failed(Failure(SILENT, cause, paid=True), again=True)
        return b"".join(parts)

    def _judge(self, status: int, headers: Any, message: str) -> _Failed:
        host = get_host(self.config.url)
        detail = f"{host} answers {status}: {message}" if message else f"{host} answers {status}"
        if (status in BUSY or status >= 500) and "insufficient_quota" not in message:
            wait_s = get_wait(headers.get("Retry-After", ""))
            return _Failed(Failure(SILENT, detail), again=True, wait_s=wait_s)
        return _Failed(Failure(REFUSED, detail), again=False)

    def _get_message(self, body: bytes, key: str) -> str:
        """A server's own words on one line, without the key that some of them repeat."""
        text = body[: 1 << 16].decode(errors="replace")
        try:
            value = json.loads(body)
            error = value.get("error", value) if isinstance(value, dict) else value
            if isinstance(error, dict):
                text = " ".join(str(error[name]) for name in ("code", "message") if error.get(name))
            else:
                text = str(error)
        except (ValueError, RecursionError):
            text = re.sub(r"<[^>]*>", " ", text)
        text = text.replace(key, "***") if key else text
        return show_name(" ".join(text.split()))[:300]


def count_asked(cache: Path) -> int:
    """How many pictures of a budget a cache's folder accounts for; 0 where there is none."""
    return len(_list_asked(cache)) if cache.is_dir() else 0


def _list_asked(cache: Path) -> set[str]:
    return {path.stem for path in cache.iterdir() if path.suffix in (".asked", ".image")}


def _fail(detail: str, *, again: bool = True) -> _Failed:
    """An answer came, and may have to be paid, but it holds no picture."""
    return _Failed(Failure(NONSENSE, detail, paid=True), again=again)


def get_wait(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where it makes no sense."""
    try:
        wait_s = float(value) if re.fullmatch(r"\d+(\.\d+)?", value.strip()) else None
        if wait_s is None:
            wait_s = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(wait_s, 0.0)


def _decode(body: bytes) -> bytes:
    """The picture in an answer's JSON, `{"data": [{"b64_json": ...}]}`. An address instead is never followed."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _fail("an answer that is not JSON") from error
    try:
        first = value["data"][0]
        text = first.get("b64_json")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise _fail("an answer without a picture") from error
    if not isinstance(text, str) or not text:
        if first.get("url"):
            raise _fail("an address instead of a picture, which is not followed", again=False)
        raise _fail("an answer without a picture")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _fail("a picture that is not base64") from error


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    """Hold a folder for one process at a time, waiting for the others."""
    with open(folder / ".budget.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
