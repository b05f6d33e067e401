"""One edit of a batch: what it is made from, where it goes, and the settings it is run with."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, replace

from a2cli.config.batch import BatchConfig
from a2cli.config.edit import EditConfig
from a2cli.engine.outputs import get_file_name

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Item:
    """One photo to edit, before references are paired with it; None where the command line speaks for it.

    inside: its path below the folder or the list it was found by, which is mirrored and paired. root: the folder that
    none of its paths may lead out of, None where the user named them. named: its id was given.
    """

    id: str
    source: str | None
    inside: str
    refs: tuple[str, ...] | None = None
    mask: str | None = None
    ref_mask: str | None = None
    prompt: str | None = None
    seed: int | None = None
    out: str | None = None
    line: int | None = None
    root: str | None = None
    named: bool = False

    @property
    def places(self) -> bool:
        """Whether `out` is a file's own name, not only the folder it goes to."""
        return self.out is not None and not self.out.endswith("/")


@dataclass(frozen=True)
class Job:
    """One edit, every path resolved.

    id: unique in a run and the same in every run of it. source: None where the mask is the photo. out: "-" is stdout;
    None only in a plain edit whose photo is known when stdin is read. seed: the edit's own, in [0, 2^63).
    """

    id: str
    source: str | None
    ref: str
    out: str | None
    mask: str | None = None
    ref_mask: str | None = None
    prompt: str = ""
    seed: int = 0
    save_region: str | None = None
    save_attention: str | None = None


@dataclass(frozen=True)
class Refusal:
    """An item that cannot even be planned: its id, the reason and remedy, its line in the manifest."""

    id: str
    reason: str
    line: int | None = None


def get_item_seed(seed: int, name: str) -> int:
    """A seed in [0, 2^63) that depends on the run's seed and the item's name alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def get_photo_seed(seed: int, path: str) -> int:
    """The seed of a photo without one of its own: by its file name, whatever folder it is reached through.

    The name's two Unicode forms count as one; a photo from stdin has no name, and the seed as it is.
    """
    if path == "-":
        return seed
    return get_item_seed(seed, unicodedata.normalize("NFC", get_file_name(path)))


def get_job_config(config: EditConfig, job: Job) -> EditConfig:
    """The settings of one ordinary edit: a job's inputs, output and seed, everything else as the run has it.

    Raises `ConfigError` where they contradict, as where the prompt does not hold --keyword.
    """
    return replace(
        config,
        sources=() if job.source is None else (job.source,),
        refs=(job.ref,),
        mask=job.mask,
        ref_mask=job.ref_mask,
        prompt=job.prompt,
        seed=job.seed,
        out=job.out,
        save_region=job.save_region,
        save_attention=job.save_attention,
        make_folders=job.out not in (None, STDOUT, config.out),
        batch=BatchConfig(),
    )
