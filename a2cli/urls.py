"""Fetch what an address names, from the open internet only: never from this machine or the network it stands in.

The name is resolved here, every address it resolves to is checked, and the connection goes to a checked one, so that
a name which resolves otherwise the next moment changes nothing. Redirects are followed one by one, each checked anew.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import SplitResult, urljoin, urlsplit

from a2cli import __version__
from a2cli.errors import DataError
from a2cli.files import show_name

URL = re.compile(r"https?://", re.IGNORECASE)
MAX_BYTES = 64 << 20
REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
CHUNK = 1 << 16

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_url(text: str) -> bool:
    """Whether a text is an http or https address."""
    return URL.match(text) is not None


def is_public(address: Address) -> bool:
    """Whether an IP address is of the open internet: not loopback, link-local, private, shared or reserved.

    An IPv6 address that stands for an IPv4 one is judged by that.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def fetch(
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = 30.0,
    allowed: Callable[[Address], bool] = is_public,
) -> bytes:
    """Get the body behind an http(s) address, at most `max_bytes`, in at most `timeout_s` seconds in all.

    `allowed` decides about every IP address before it is connected to. Raises `DataError` naming the address for
    another scheme, an address that is not allowed, too many redirects, any status but 200, and an answer too large.
    """
    deadline = time.monotonic() + timeout_s
    where = url
    for _ in range(MAX_REDIRECTS + 1):
        parts = _split(where)
        connection = _connect(parts, allowed, deadline)
        watch = threading.Timer(max(deadline - time.monotonic(), 0.0), _shut, [connection.sock])
        watch.start()  # a server that sends a byte now and then outlives any timeout of the socket
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"User-Agent": f"a2/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            if answer.status in REDIRECTS:
                where = urljoin(where, answer.getheader("Location") or "")
                continue
            if answer.status != 200:
                raise _fail(url, f"the server answers {answer.status}")
            return _read(answer, url, max_bytes, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = "takes too long" if time.monotonic() > deadline else _get_cause(error)
            raise _fail(url, cause) from error
        finally:
            watch.cancel()
            connection.close()
    raise _fail(url, f"more than {MAX_REDIRECTS} redirects")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\x00-\x20\x7f]", url) or parts.username or parts.password:
        raise _fail(url, "not an address that is fetched", "http:// or https://, a host, no name or password")
    return parts


def _connect(
    parts: SplitResult, allowed: Callable[[Address], bool], deadline: float
) -> http.client.HTTPConnection:
    """A connection to an address of the host that is allowed. Raises `DataError` if one of them is not."""
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _fail(parts.geturl(), f"{host} is not known") from error
    for entry in found:
        address = ipaddress.ip_address(str(entry[4][0]).split("%")[0])
        if not allowed(address):
            raise _fail(parts.geturl(), f"{host} is {address}, which is not of the open internet")
    left = max(deadline - time.monotonic(), 0.001)
    connection = http.client.HTTPConnection(host, port, timeout=left)
    try:
        plain = socket.create_connection((str(found[0][4][0]), port), timeout=left)
        connection.sock = plain
        if secure:
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except (OSError, ValueError) as error:
        connection.close()
        raise _fail(parts.geturl(), _get_cause(error)) from error
    return connection


def _read(answer: http.client.HTTPResponse, url: str, max_bytes: int, deadline: float) -> bytes:
    chunks, size = [], 0
    while chunk := answer.read1(min(CHUNK, max_bytes + 1 - size)):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise _fail(url, f"more than {max_bytes >> 20} MiB")
    if time.monotonic() > deadline:
        raise _fail(url, "takes too long")
    if answer.length:
        raise _fail(url, "the answer is cut off")
    return b"".join(chunks)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _get_cause(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def _fail(url: str, cause: str, hint: str = "download the file first") -> DataError:
    shown = url if len(url) <= 200 else url[:200] + "…"
    return DataError(f"{show_name(shown)}: {cause}", hint=hint)
