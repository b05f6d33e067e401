"""Let something look at the attention of both passes for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from a2cli.context.passes import TwoPass
from a2cli.context.processor import Recorder

R = TypeVar("R", bound=Recorder)


@contextmanager
def recording(two_pass: TwoPass, recorder: R) -> Iterator[R]:
    """Show `recorder` every block's queries and keys inside the `with`; what was there before comes back after it."""
    before = two_pass.state.recorder
    two_pass.state.recorder = recorder
    try:
        yield recorder
    finally:
        two_pass.state.recorder = before
