"""Why an input is left out: an error that knows the phrase it is counted under."""

from __future__ import annotations

from a2cli.building.records import Reject
from a2cli.errors import DataError
from a2cli.files import show_name

STAGE = "read"


class Unfit(DataError):
    """One input that cannot be used; the others may be.

    `reason` is the short phrase it is counted under, `dropped` counts those of its views that were left before.
    """

    def __init__(
        self, reason: str, message: str, *, hint: str = "", dropped: dict[str, int] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.dropped = dropped or {}


def build_reject(id: str, error: Unfit) -> Reject:
    """The reject of an item that failed with `error`."""
    return Reject(id, STAGE, error.reason, str(error), error.dropped)


def get_cause(error: Exception) -> str:
    """The operating system's or a library's words on one line."""
    return (
        show_name(" ".join((getattr(error, "strerror", None) or str(error)).split())) or type(error).__name__
    )
