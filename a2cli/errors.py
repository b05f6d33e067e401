"""Errors a2 raises on purpose; each becomes one line on stderr and an exit code.

A2Error                 1  something failed that has a known cause
├── ConfigError         2  a command line, a YAML file or a manifest asks for the impossible
├── DataError           2  a photo, a mask or a record cannot be used
├── BackboneError       2  a model cannot be found, loaded or run
└── CheckpointError     2  an adapter or a checkpoint is damaged or belongs elsewhere
"""

from __future__ import annotations


class A2Error(Exception):
    """A failure with a known cause; `hint` says what the user can do about it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(A2Error):
    """A setting that cannot be honoured."""

    exit_code = 2


class DataError(A2Error):
    """An input file or record that cannot be used."""

    exit_code = 2


class BackboneError(A2Error):
    """A backbone that cannot be found, loaded or run."""

    exit_code = 2


class CheckpointError(A2Error):
    """Weights that are damaged, incomplete or made for another base."""

    exit_code = 2
