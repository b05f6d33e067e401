"""Opening the pictures of a record, so that every message names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from a2cli.curation.layouts.records import Failure
from a2cli.data.records import BadRecord
from a2cli.data.rows import MEND
from a2cli.errors import A2Error, DataError
from a2cli.evaluation.records.cases import CaseFailure
from a2cli.files import show_name


@contextmanager
def reading(where: str, id: str) -> Iterator[None]:
    """Put the file that lists a record, and the record's id, before what goes wrong with its pictures."""
    try:
        yield
    except BadRecord:
        raise  # it says so itself
    except A2Error as error:
        message = f"{show_name(where)}: record {show_name(id)}: {error.message}"
        raise DataError(message, hint=MEND) from error


def build_case_failure(failure: Failure) -> CaseFailure:
    """What a layout could not list, as a row of the evaluation's failures."""
    return CaseFailure(failure.id, failure.stage, failure.reason, failure.detail)
