"""One call of an API, bounded in time and size, and when another try may do better."""

from __future__ import annotations

import email.utils
import json
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from a2cli.files import show_name
from a2cli.remote.access import get_auth, get_host, is_loopback

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """Why there is no answer: none came, the server refused, or what came is of no use.

    `detail` is a line for people; `paid`: it may have to be paid all the same; `status` the server's, if it had one.
    """

    cause: Literal["silent", "refused", "nonsense"]
    detail: str
    paid: bool = False
    status: int | None = None


class CallError(Exception):
    """One try without an answer; `again`: another may do better, not before `wait_s` if the server says so."""

    def __init__(self, fault: Fault, *, again: bool, wait_s: float = 0.0) -> None:
        super().__init__(fault.detail)
        self.fault = fault
        self.again = again
        self.wait_s = wait_s


@dataclass(frozen=True)
class Place:
    """What is called: the API's base, the key and the header it goes in, and the bounds of an answer.

    `timeout_s` bounds the connection, the first byte and the whole body, each; a call ends after twice that.
    """

    url: str
    key: str = field(repr=False)
    timeout_s: float
    most_bytes: int
    header: str = "Authorization"

    @property
    def host(self) -> str:
        return get_host(self.url)


@dataclass(frozen=True)
class Reply:
    """What a server answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def post(place: Place, path: str, **body: Any) -> Reply:
    """POST to `path` under a place; `body` is requests' json, or data and files. No redirect is followed.

    Raises `CallError` where no whole answer comes in time, or one that is too large. Headers or a body that arrive
    byte by byte outlive every timeout of a socket, so the call runs in a thread of its own and is left behind.
    """
    outcome: queue.SimpleQueue[Reply | BaseException] = queue.SimpleQueue()

    def call() -> None:
        try:
            outcome.put(_post(place, path, body))
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=call, daemon=True).start()
    try:
        result = outcome.get(timeout=2 * place.timeout_s)
    except queue.Empty:
        raise _get_late(place) from None
    if isinstance(result, BaseException):
        raise result
    return result


def _post(place: Place, path: str, body: Mapping[str, Any]) -> Reply:
    import requests

    with requests.Session() as session:
        session.trust_env = not is_loopback(place.url)  # no proxy on the way to this machine
        answered = False
        try:
            with session.post(
                f"{place.url.rstrip('/')}/{path}",
                timeout=place.timeout_s,
                allow_redirects=False,
                stream=True,
                auth=get_auth(place.key, place.header),
                **body,
            ) as response:
                answered = response.status_code == 200
                return Reply(response.status_code, response.headers, _read(response, place))
        except requests.RequestException as error:
            late = isinstance(error, requests.ReadTimeout)
            cause = "no answer in time" if late else "the connection fails"
            detail = f"{place.host}: {cause} ({type(error).__name__})"
            paid = late or answered or _was_sent(error)
            raise CallError(Fault("silent", detail, paid=paid), again=True) from error


def _was_sent(error: Exception) -> bool:
    """Whether a connection that failed had been made: what was asked may then have arrived."""
    from requests import ConnectionError
    from requests.adapters import MaxRetryError

    return isinstance(error, ConnectionError) and not isinstance(error.args[0], MaxRetryError)


def _read(response: Any, place: Place) -> bytes:
    deadline = time.monotonic() + place.timeout_s
    parts, size = [], 0
    for part in response.iter_content(1 << 12):
        parts.append(part)
        size += len(part)
        if size > place.most_bytes:
            raise fail(f"an answer of more than {place.most_bytes >> 20} MiB", again=False)
        if time.monotonic() > deadline:
            raise _get_late(place)
    return b"".join(parts)


def _get_late(place: Place) -> CallError:
    return CallError(Fault("silent", f"no whole answer in {place.timeout_s:g} s", paid=True), again=True)


def fail(detail: str, *, again: bool = True) -> CallError:
    """An answer came, and may have to be paid, but it does not hold what was asked for."""
    return CallError(Fault("nonsense", detail, paid=True), again=again)


def get_error(place: Place, reply: Reply) -> CallError:
    """What a status other than 200 means: a server that is busy or broken, or one that refuses."""
    message = get_message(reply.body, place.key)
    detail = (
        f"{place.host} answers {reply.status}: {message}"
        if message
        else f"{place.host} answers {reply.status}"
    )
    if (reply.status in BUSY or reply.status >= 500) and "insufficient_quota" not in message:
        wait_s = get_wait(reply.headers.get("Retry-After", ""))
        return CallError(Fault("silent", detail, status=reply.status), again=True, wait_s=wait_s)
    return CallError(Fault("refused", detail, status=reply.status), again=False)


def get_message(body: bytes, key: str) -> str:
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


def get_wait(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where it makes no sense."""
    try:
        wait_s = float(value) if re.fullmatch(r"\d+(\.\d+)?", value.strip()) else None
        if wait_s is None:
            wait_s = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(wait_s, 0.0)


def try_often(
    call: Callable[[int], T],
    retries: int,
    *,
    first_wait_s: float,
    most_wait_s: float,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Call with 0, 1, ... until an answer comes, at most `retries` times more than once.

    The pause doubles from try to try, and is as long as the server asks for, within `most_wait_s`. Raises the last
    `CallError`, whose `paid` says whether any of the tries may have been paid.
    """
    wait_s, paid = first_wait_s, False
    for number in range(retries + 1):
        try:
            return call(number)
        except CallError as error:
            paid = paid or error.fault.paid
            if number == retries or not error.again:
                raise CallError(replace(error.fault, paid=paid), again=False) from error
            sleep(min(max(wait_s, error.wait_s), most_wait_s))
            wait_s *= 2
    raise AssertionError
