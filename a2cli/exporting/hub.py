"""Sending an export to a hub, last: what is on disk stays, and the same command tries again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from a2cli.errors import A2Error
from a2cli.files import show_name

TRIES = 3  # of all of it; the client repeats single requests by itself
PAUSE = 2.0  # seconds before the second try, doubled before each further one
BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


def push_folder(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    note: Callable[[str], None] | None = None,
) -> str:
    """Make a model repository where there is none and commit a folder to it; gives its address.

    A server that is busy or cannot be reached is asked again, `TRIES` times in all. Raises A2Error with the cause: the
    folder is whole, and nothing but the upload is to be repeated.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    for attempt in range(TRIES):
        try:
            full = api.create_repo(repo, private=private or None, exist_ok=True, repo_type="model").repo_id
            message = f"Upload {folder.name}"
            api.upload_folder(repo_id=full, folder_path=folder, commit_message=message, repo_type="model")
            return f"{api.endpoint}/{full}"
        except Exception as error:  # the hub client's errors have no common base but Exception
            status = _get_status(error)
            if attempt + 1 == TRIES or not _may_pass(error, status):
                raise A2Error(
                    f"{show_name(str(folder))} is written, but not sent to {repo}: {_get_cause(error, status)}",
                    hint=_get_hint(status),
                ) from error
            if note:
                note(f"{repo}: {_get_cause(error, status)}; trying again")
            time.sleep(PAUSE * 2**attempt)
    raise AssertionError("the last try returns or raises")


def _get_status(error: Exception) -> int | None:
    response: Any = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def _may_pass(error: Exception, status: int | None) -> bool:
    """Whether the same request may do better later: a busy server, a broken connection."""
    if status is not None:
        return status in BUSY
    return isinstance(error, OSError) or any("Transport" in cls.__name__ for cls in type(error).__mro__)


def _get_cause(error: Exception, status: int | None) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return show_name(text) if status is None else f"the server says {status}"


def _get_hint(status: int | None) -> str:
    if status in (401, 403):
        return "`hf auth login` with a token that may write, then the same command: it sends what is there"
    return "the same command sends what is there"
