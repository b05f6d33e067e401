"""The recipe a picture carries: what it holds, and reading one that anybody may have written."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from a2cli.config.edit import Dtype, Localize
from a2cli.config.load import build
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name
from a2cli.images.read import open_file
from a2cli.images.texts import read_texts
from a2cli.types import Quantize

KEY = "a2"  # of the text that holds it
MAX_CHARS = 1 << 18
MAX_BOX = 200
MAX_MESSAGE = 300  # of what an error quotes
SHORT = 16  # hex digits of a digest of weights or of an array
NOTHING = "none"  # the adapter of a bare backbone
SHIPPED = "default"  # the model or adapter a backbone brings
HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}/[A-Za-z0-9][\w.\-]{0,95}", re.ASCII)


@dataclass(frozen=True)
class InputFile:
    """A file an edit read: its name without folders, "" for what came through a pipe, and its SHA-256."""

    name: str
    sha256: str

    def __post_init__(self) -> None:
        if self.name:
            check_plain_name(self.name)
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ConfigError("sha256 is not 64 hex digits")


@dataclass(frozen=True)
class RecipeInputs:
    """Reference, photo (None: the mask is the photo), mask and the reference's mask; a box as `--mask` takes it."""

    ref: InputFile
    source: InputFile | None = None
    mask: InputFile | str | None = None
    ref_mask: InputFile | str | None = None

    def __post_init__(self) -> None:
        for mask in (self.mask, self.ref_mask):
            if isinstance(mask, str) and not (mask.lower().startswith("box:") and len(mask) <= MAX_BOX):
                raise ConfigError(f"{mask[:80]!r} is no box")
        if self.source is None and not isinstance(self.mask, InputFile):
            raise ConfigError("there is no photo: neither a source nor a mask that holds one")


@dataclass(frozen=True)
class Asked:
    """How the region was to be found or narrowed, as in `EditConfig`."""

    localize: Localize | None = None
    keyword: str | None = None
    threshold: float | Literal["auto"] = "auto"


@dataclass(frozen=True)
class Recipe:
    """All that decides an edit's pixels, and digests of what it was made from.

    a2: the version. base_hash, adapter_hash, region_hash: 16 hex digits, "" for none. adapter: names of folders,
    None those shipped. seed: the item's own. image: which of num_images. working: side in px of the crop the model
    saw, None for its own. quantize: how the weights were stored. mask_sha256: 16 digits, of the mask's samples.
    found: what came of `asked`; nothing depends on it. ConfigError for what no edit writes.
    """

    a2: str
    backbone: str
    model: str
    base_hash: str
    adapter_hash: str
    prompt: str
    seed: int
    steps: int
    guidance: float
    feather: float
    dtype: Dtype
    device: Literal["cpu", "cuda", "mps"]
    mask_sha256: str
    inputs: RecipeInputs
    image: int = 0
    num_images: int = 1
    fit_mask: bool = False
    adapter: tuple[str, ...] | None = None
    region_hash: str = ""
    asked: Asked = Asked()
    localize: dict[str, Any] | None = None
    working: int | None = None
    quantize: Quantize | None = None

    def __post_init__(self) -> None:
        for name in self.adapter or ():
            check_plain_name(name)
        if not HUB_ID.fullmatch(self.model):
            check_plain_name(self.model)
        for digest in (self.base_hash, self.adapter_hash, self.region_hash):
            if not re.fullmatch(r"[0-9a-f]{0,64}", digest):
                raise ConfigError(f"{digest[:80]!r} is no digest")
        if not 0 <= self.image < self.num_images:
            raise ConfigError(f"image {self.image} of {self.num_images}")
        if self.working is not None and self.working < 1:
            raise ConfigError(f"a working size of {self.working} px")


def read_recipe(path: str | Path) -> Recipe:
    """The recipe in a PNG, JPEG, WebP, TIFF or AVIF file; its pixels are not decoded.

    Raises DataError with one line for a file that is no picture, carries no recipe, or one that no edit wrote.
    """
    shown = show_name(str(path))
    text = read_texts(path).get(KEY)
    if text is None:
        raise DataError(
            f"{shown}: carries no recipe",
            hint="--from takes a picture that a2 edit wrote, without --no-metadata and not saved again since",
        )
    if len(text) > MAX_CHARS:
        raise DataError(f"{shown}: its recipe is longer than {MAX_CHARS} characters")
    try:
        content = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown}: its recipe is no JSON: {str(error)[:MAX_MESSAGE]}") from None
    if not isinstance(content, dict):
        raise DataError(f"{shown}: its recipe is no JSON object")
    try:
        return build(Recipe, content, where="its recipe")
    except (ConfigError, RecursionError) as error:
        made = content.get("a2")
        by = f" (written by a2 {show_name(made)[:40]})" if isinstance(made, str) else ""
        message = error.message if isinstance(error, ConfigError) else "its recipe is nested too deeply"
        raise DataError(f"{shown}: {show_name(message)[:MAX_MESSAGE]}{by}") from None


def get_digest(data: bytes) -> str:
    """SHA-256 of bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def load_digest(path: str | Path) -> str:
    """SHA-256 of a regular file, 64 hex digits; DataError for what is none or cannot be read."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def check_plain_name(name: str) -> None:
    """ConfigError for what is no file name: a path, one that leads elsewhere, one no file system holds."""
    if name in ("", ".", "..") or any(c in name for c in "/\0") or len(_encode(name)) > 255:
        raise ConfigError(f"{show_name(name)[:80]!r} is no file name")


def _encode(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # half a character that stands for no byte
        raise ConfigError("a name that no file system holds") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
