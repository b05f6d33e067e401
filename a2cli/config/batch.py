"""Many edits in one run: which, how many, on how many workers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class BatchConfig:
    """What makes one command many edits, and how they are run.

    `manifest` is a file of JSON lines or paths, "-" for stdin; `null`: its paths end in NUL. `limit` is the number of
    edits, None for all; `preview` the file of a contact sheet. `skip_existing` and `resume` leave out what is done, by
    the inputs' bytes or by their size and time. `shard` (i, n) is the i-th of n parts, counted from 1. `retries` and
    `timeout_s` (seconds) hold for one edit on a worker. ConfigError when the settings contradict.
    """

    manifest: str | None = None
    null: bool = False
    limit: int | None = None
    preview: str | None = None
    skip_existing: bool = False
    resume: bool = False
    workers: int = 1
    engine: Engine = "local"
    address: str | None = None
    shard: tuple[int, int] | None = None
    retries: int = 1
    timeout_s: float = 600

    def __post_init__(self) -> None:
        if "" in (self.manifest, self.preview, self.address):
            raise ConfigError("--manifest, --preview or --address has an empty name")
        if self.preview == "-":
            raise ConfigError("--preview needs a file name", hint="such as preview.png")
        for option, value, low in (
            ("--limit", self.limit, 1),
            ("--workers", self.workers, 1),
            ("--retries", self.retries, 0),
        ):
            if value is not None and not low <= value < 2**31:
                raise ConfigError(f"{option} is {value}, must be {low} or more")
        if not (self.timeout_s > 0 and math.isfinite(self.timeout_s)):
            raise ConfigError(f"--timeout is {self.timeout_s}, must be more than 0 seconds")
        if self.engine not in get_args(Engine):
            hint = get_suggestion(self.engine, get_args(Engine))
            raise ConfigError(f"--engine {self.engine!r} is unknown", hint=hint)
        if self.null and self.manifest is None:
            raise ConfigError("--null says how the paths of --manifest end", hint="add --manifest -")
        if self.address is not None and self.engine != "ray":
            raise ConfigError("--address names a Ray cluster", hint="add --engine ray")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise ConfigError(
                f"--shard {self.shard[0]}/{self.shard[1]}: no such part",
                hint="1/4 to 4/4 are the parts of four",
            )


def read_shard(text: str | None) -> tuple[int, int] | None:
    """`--shard I/N` as (i, n), counted from 1; ConfigError for other forms."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    if match is None:
        raise ConfigError(f"--shard {text!r} is no part", hint="write I/N, such as 1/4")
    return int(match[1]), int(match[2])
