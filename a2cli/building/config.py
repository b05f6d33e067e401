"""Everything `a2 dataset build` can be told, as one frozen tree of dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from a2cli.building.records import Kind
from a2cli.config.load import apply_overrides, build, load_yaml
from a2cli.data.hashes import BITS
from a2cli.errors import ConfigError, DataError


@dataclass(frozen=True)
class InputConfig:
    """One place to read from, and what is known of all it holds.

    `kind` is guessed from what lies there where it is not said. A clip of at most `clip_seconds` is an item;
    `frames` of it are looked at, each with its neighbours `neighbour_seconds` before and after. Of a folder of views at
    most `views` make an item. `count` is how many items a `generated` source makes. With `allow_urls` a manifest may
    name pictures by http(s) addresses of the open internet.
    """

    path: str = ""
    kind: Kind | None = None
    category: str = ""
    subcategory: str = ""
    prompt: str = ""
    source: str = ""
    author: str = ""
    licence: str = ""
    permission: str = ""
    frames: int = 12
    clip_seconds: float = 10.0
    neighbour_seconds: float = 0.1
    views: int = 8
    count: int = 0
    max_side: int = 1536
    allow_urls: bool = False

    def __post_init__(self) -> None:
        if not self.path and self.kind != "generated":
            raise ConfigError("a source needs a path")
        if self.category.strip():
            _check_category(self.category)
        if self.frames < 2 or self.views < 2:
            raise ConfigError("frames and views must be 2 or more", hint="a pair needs two pictures")
        if self.clip_seconds <= 0 or self.neighbour_seconds <= 0:
            raise ConfigError("clip_seconds and neighbour_seconds must be above 0")
        if self.max_side < 64:
            raise ConfigError(f"max_side {self.max_side} is too small", hint="64 or more, in pixels")


def _check_category(name: str) -> None:
    from a2cli.data.taxonomy import get_nearest, normalise

    try:
        normalise(name)
    except DataError as error:
        near = get_nearest(name) or get_nearest(name.strip().removesuffix("s"))
        raise ConfigError(error.message, hint=f"did you mean {near!r}?" if near else error.hint) from error


@dataclass(frozen=True)
class DetectConfig:
    """How subjects are found.

    `embedded`: given boxes and masks, what moves in a video, what stands out in a photo. `grounding-dino`: `model`,
    a folder or hub id, asked for the item's subcategory or category; detections below the thresholds, in [0, 1], are
    none.
    """

    method: Literal["embedded", "grounding-dino"] = "embedded"
    model: str = "IDEA-Research/grounding-dino-base"
    box_threshold: float = 0.3
    text_threshold: float = 0.25
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("box_threshold", "text_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1]")


@dataclass(frozen=True)
class SegmentConfig:
    """How a box becomes a mask: `embedded` (GrabCut, what moved as its seed), `sam` or `sam2` with `model`."""

    method: Literal["embedded", "sam", "sam2"] = "embedded"
    model: str = "facebook/sam-vit-base"
    device: str = "auto"


@dataclass(frozen=True)
class QualityConfig:
    """Which views are too poor.

    `side` px is the least length of the short side, `subject` the least and most share of the picture under the mask.
    `sharpness`, in [0, 1], is the least sharpness (see `building/judge/quality.py`; sharp photos have 0.3 and more),
    `relative_sharpness` a video frame's least as a share of the sharpest one's; `clipped` the largest share of the
    subject that is pure black or white. `metric` names one of pyiqa's beside them, with the least value it must have,
    on `device`.
    """

    side: int = 128
    subject: tuple[float, float] = (0.01, 0.85)
    sharpness: float = 0.22
    relative_sharpness: float = 0.6
    clipped: float = 0.35
    metric: str | None = None
    metric_least: float = 0.0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("sharpness", "relative_sharpness", "clipped"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1]")
        if self.side < 1 or not 0 <= self.subject[0] < self.subject[1] <= 1:
            raise ConfigError("side must be 1 or more, subject two rising shares in [0, 1]")


@dataclass(frozen=True)
class PairConfig:
    """Which two views: the most varied ones of one identity.

    `identity` is the largest distance of the two subjects' embeddings, in [0, 1], that still counts as one subject,
    `variation` the least difference that makes a pair, in [0, 1] (both: `building/judge/pairing.py`). `embedding` is
    `embedded` or a transformers vision model (folder or hub id) on `device`.
    """

    embedding: str = "embedded"
    identity: float = 0.35
    variation: float = 0.05
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("identity", "variation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1]")


@dataclass(frozen=True)
class LabelConfig:
    """Names for what has none: a CLIP-like `model` over the taxonomy; None takes words of file and folder names."""

    model: str | None = None
    required: bool = True
    device: str = "auto"


@dataclass(frozen=True)
class DedupeConfig:
    """Pairs whose pictures' perceptual hashes (64 bits) differ in at most `distance` bits are one; None keeps all."""

    distance: int | None = 4

    def __post_init__(self) -> None:
        if self.distance is not None and not 0 <= self.distance < BITS // 2:
            raise ConfigError(f"distance must lie in [0, {BITS // 2 - 1}], in bits, not {self.distance}")


@dataclass(frozen=True)
class BalanceConfig:
    """At most so many pairs a category and a subcategory, the best first; `fill` asks the generator for what lacks."""

    per_category: int | None = None
    per_subcategory: int | None = None
    fill: int = 0

    def __post_init__(self) -> None:
        for name in ("per_category", "per_subcategory"):
            quota = getattr(self, name)
            if quota is not None and quota < 1:
                raise ConfigError(f"{name} must be 1 or more, not {quota}", hint="leave it out for no quota")
        if self.fill < 0:
            raise ConfigError(f"fill must not be negative, as {self.fill} is")


@dataclass(frozen=True)
class GenerateConfig:
    """A generator behind an OpenAI-compatible images API, for items with fewer than two views.

    `url` is the API's base ("https://api.openai.com/v1"), `key_variable` the environment variable with its key.
    `budget` is the number of pictures that may be asked for in all; answers are kept in `cache` and never paid twice.
    """

    url: str
    model: str = "gpt-image-1"
    key_variable: str = "OPENAI_API_KEY"
    budget: int = 100
    size: str = "1024x1024"
    retries: int = 4
    timeout_s: float = 120.0
    licence: str = ""

    def __post_init__(self) -> None:
        if self.retries < 0 or self.budget < 0:
            raise ConfigError("generate: retries and budget must not be negative")
        if self.timeout_s <= 0:
            raise ConfigError("generate: timeout_s must be above 0")
        if not self.key_variable.isidentifier():  # not quoted: it may be the key
            raise ConfigError(
                "generate: key_variable is no name of a variable",
                hint="the key itself stays in the environment",
            )


@dataclass(frozen=True)
class BuildConfig:
    """A whole build. `allow_licence` lists the licences that may be used; None allows every one.

    A shard holds the pairs of `shard_size` inputs, pictures as `pictures` says (JPEG of quality 95). An input that
    crashes its worker or takes longer than `timeout_s` seconds is tried `retries` times more, then put aside. `limit`
    reads only the first so many inputs. `workers` are processes, with `engine: ray` actors on the cluster at `address`
    (None: this machine).
    """

    sources: tuple[InputConfig, ...]
    split: str = "train"
    detect: DetectConfig = field(default_factory=DetectConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    pair: PairConfig = field(default_factory=PairConfig)
    label: LabelConfig = field(default_factory=LabelConfig)
    dedupe: DedupeConfig = field(default_factory=DedupeConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    generate: GenerateConfig | None = None
    allow_licence: tuple[str, ...] | None = None
    pictures: Literal["jpeg", "png"] = "jpeg"
    shard_size: int = 256
    workers: int = 1
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    retries: int = 1
    timeout_s: float = 300.0
    limit: int | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise ConfigError("there is nothing to read", hint="name a folder, a file or a manifest")
        for name in ("shard_size", "workers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be 1 or more, not {self.limit}")
        if self.retries < 0 or self.timeout_s <= 0:
            raise ConfigError("retries must not be negative, timeout_s must be above 0")
        if self.generate is None and (self.balance.fill or any(s.kind == "generated" for s in self.sources)):
            raise ConfigError("balance.fill and generated sources need a generator", hint="set generate.url")


def load_build_config(
    file: str | None, paths: Sequence[str], overrides: Sequence[str], common: dict[str, Any], **settings: Any
) -> BuildConfig:
    """The settings of a YAML file, if any, changed by a command line.

    `paths` take the place of the file's sources; `common` holds what is known of each of them, `overrides` are
    `key=value` texts, `settings` those of the top level; None stands for what is not said. Raises `ConfigError`.
    """
    where = file or "dataset build"
    mapping = apply_overrides(load_yaml(file) if file else {}, overrides)
    common = {name: value for name, value in common.items() if value is not None}
    if paths:
        mapping["sources"] = [{"path": path} for path in paths]
    named = mapping.get("sources") or ()
    if not isinstance(named, list | tuple) or not all(isinstance(one, dict) for one in named):
        raise ConfigError(f"{where}: sources: expected a list of keys and values", hint="- path: FOLDER")
    mapping["sources"] = [{**common, **one} for one in named]
    mapping.update({name: value for name, value in settings.items() if value is not None})
    return build(BuildConfig, mapping, where=where)
