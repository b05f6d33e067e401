"""Calls into `datasets`: it stays quiet, and what it raises becomes one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from a2cli.errors import A2Error, DataError
from a2cli.files import show_name


@contextmanager
def calling(where: str, hint: str = "check the data set", *, bars: bool = True) -> Iterator[None]:
    """Keep `datasets` quiet, and turn what it raises into one `DataError` line about `where`.

    Its progress bars are shown on a terminal only, and not without `bars`.
    """
    import datasets

    verbosity, shown = datasets.logging.get_verbosity(), not datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    if not (bars and sys.stderr.isatty()):
        datasets.disable_progress_bars()
    try:
        yield
    except A2Error:
        raise
    except Exception as error:  # builders raise anything, each in wrappers of its own
        raise explain(error, where, hint) from error
    finally:
        datasets.logging.set_verbosity(verbosity)
        if shown:
            datasets.enable_progress_bars()


def explain(error: Exception, where: str, hint: str = "check the data set") -> DataError:
    """One line about what `datasets` met while it read `where`: the first cause, not the wrappers around it."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split()) or type(cause).__name__
    return DataError(f"{show_name(where)}: cannot be read: {text}", hint=hint)
