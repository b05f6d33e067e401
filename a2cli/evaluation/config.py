"""The settings of `a2 eval`: which records, under which masks, edited by what, measured how, gated by what."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from a2cli.config.augment import parse_perturbation
from a2cli.config.localize import LocalizeOptions
from a2cli.config.localize import Way as LocalizeWay
from a2cli.config.suggest import get_suggestion
from a2cli.data.synth import SynthConfig
from a2cli.errors import ConfigError
from a2cli.metrics.measure import Weights

SYNTH = "synth"
Benchmark = Literal["auto", "pairs", "synth", "anyinsertion", "viton-hd", "magicbrush", "emu-edit", "gedit"]
MethodKind = Literal["mean", "telea", "paste", "registered", "poisson", "target", "a2", "fill", "diptych"]
KINDS: tuple[MethodKind, ...] = get_args(MethodKind)
BASELINES: tuple[MethodKind, ...] = ("mean", "telea", "paste", "registered", "poisson", "target")
WITHOUT_REFERENCE: tuple[MethodKind, ...] = ("fill", "telea", "target")
TAKEN: dict[str, tuple[MethodKind, ...]] = {  # settings that not every kind has
    "adapter": ("a2", "diptych"),
    "redux": ("diptych",),
    **dict.fromkeys(("localize", "keyword", "region", "region_change"), ("a2",)),
}
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,4})?", re.ASCII)
JudgeKind = Literal["openai", "gemini", "local"]
Dimension = Literal["a2", "vie"]


@dataclass(frozen=True)
class HeldOutConfig(SynthConfig):
    """What the test set of synthesised pairs is made of: subjects of 256 px in their own colours."""

    size: int = 256
    recolour: float = 0.0


@dataclass(frozen=True)
class DataConfig:
    """Which records are edited and measured.

    `path` is a data set on disk, or "synth" for held-out synthesised pairs. `benchmark` "pairs" is a2's own columns
    and whatever `a2 dataset convert` reads; "auto" tells by the files. `turns` "final" keeps the last turn of each
    session of MagicBrush; with `session` a turn starts from the edit of the turn before. `unpaired` is VITON-HD's.
    `tasks` keeps records of these alone (replace, remove, recolour: of photos that a sentence asks to edit). `limit`
    keeps the first so many, `per_category` the first so many of each category; synth needs one of both.
    """

    path: str = SYNTH
    benchmark: Benchmark = "auto"
    split: str | None = None
    categories: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    limit: int | None = None
    per_category: int | None = None
    turns: Literal["all", "final"] = "all"
    session: bool = False
    unpaired: bool = False
    seed: int = 2026
    synth: HeldOutConfig = field(default_factory=HeldOutConfig)

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("data.path is empty", hint="name a data set, or synth")
        for name in ("limit", "per_category"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"data.{name} must be 1 or more, not {value}")


@dataclass(frozen=True)
class TrainFirst:
    """A training that comes before the edits: a file of `a2 train` and KEY=VALUE changes. It is resumed, not redone."""

    config: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodConfig:
    """One row of the table. `a2` edits by a backbone as `a2 edit` does, `fill` by diffusers' FluxFillPipeline without
    the reference, `diptych` by the same on a canvas with the reference on its left (InsertAnything). The others need no
    network; `target` gives the true picture, what a perfect edit would score.

    `adapter`: for a2 a folder, several of different kinds, "none", or None for those shipped; for diptych a LoRA folder
    or file. `train` makes the adapter first. `localize`, a way or all of `a2 edit`'s settings of it, is for a2: "mask"
    holds what a given mask has too much, the others find the region and look at no mask. `keyword` "known" tells it the
    words that name the thing, "found" and None let it find them. `region` is what a region adapter is told of where to
    edit: "exact" the exact mask whatever mask is given, changed by `region_change` (erode:16), "mask" the given one;
    None what a2 infers, or nothing where it infers none. `resolution` is the side of the diptych's halves and of fill's
    picture, None for the backbone's; `redux` a folder or hub id of FLUX.1 Redux for the diptych, where the model itself
    has no image encoder.
    """

    name: str
    kind: MethodKind = "a2"
    backbone: str = "nano"
    model: str | None = None
    adapter: str | tuple[str, ...] | None = None
    steps: int | None = None
    guidance: float | None = None
    localize: LocalizeWay | LocalizeOptions | None = None
    keyword: Literal["found", "known"] | None = None
    region: Literal["exact", "mask"] | None = None
    region_change: str | None = None
    resolution: int | None = None
    redux: str | None = None
    train: TrainFirst | None = None

    def __post_init__(self) -> None:
        plain = self.name.replace("-", "").replace("_", "").replace(".", "").replace("+", "")
        if not (plain.isalnum() and plain.isascii()) or self.name.startswith((".", "-")):
            raise ConfigError(
                f"methods: the name {self.name!r} cannot be that of a folder", hint="letters, digits, - _ . +"
            )
        for name, kinds in TAKEN.items():
            if getattr(self, name) is not None and self.kind not in kinds:
                raise ConfigError(f"methods.{self.name}: {self.kind} takes no {name}")
        self._check_region()
        if self.train is not None and (self.kind != "a2" or self.adapter is not None):
            raise ConfigError(
                f"methods.{self.name}: train makes the adapter of a method of kind a2, and names none"
            )

    @property
    def adapters(self) -> tuple[str, ...]:
        """The adapters that are named, "none" among them; none for the shipped ones."""
        return (self.adapter,) if isinstance(self.adapter, str) else self.adapter or ()

    @property
    def localization(self) -> LocalizeOptions | None:
        """How the region is found, None for not at all."""
        return LocalizeOptions(way=self.localize) if isinstance(self.localize, str) else self.localize

    @property
    def is_mask_free(self) -> bool:
        """Whether the method looks at no mask."""
        return self.localization is not None and self.localization.way != "mask"

    def _check_region(self) -> None:
        where = f"methods.{self.name}"
        if isinstance(self.adapter, tuple) and (self.kind != "a2" or not self.adapter):
            raise ConfigError(f"{where}.adapter: a list of none, or of a method that takes one")
        if self.keyword is not None and self.localization is None:
            raise ConfigError(f"{where}: keyword is for localize")
        if self.localization is not None and self.region is not None:
            raise ConfigError(f"{where}: localize infers the region, and region tells it", hint="one of both")
        if self.region_change is not None:
            if self.region != "exact":
                raise ConfigError(f"{where}: region_change changes the exact region", hint="region: exact")
            try:
                parse_perturbation(self.region_change)
            except ConfigError as error:
                raise ConfigError(
                    f"{where}.region_change: {self.region_change!r} is no change", hint=error.hint
                ) from None


@dataclass(frozen=True)
class JudgeConfig:
    """A vision-language model that gives marks.

    `api` "openai" is chat/completions at `url`, "gemini" generateContent at `url`, "local" a transformers model whose
    folder or hub id is `model`. The key is read from the environment variable `key_variable`. `ask`: "a2" the three
    dimensions of A2-Edit's appendix D, "vie" VIEScore's two. `budget` is the most calls that may be paid, retries and
    second looks among them; `swap` is the share of edits asked about once more with the pictures in another order;
    `compare` names a method against which each other one is also judged side by side, in both orders. `prices` are per
    million tokens in and out, for the cost. Gemini has its own url and GEMINI_API_KEY where none is named.
    """

    api: JudgeKind = "openai"
    model: str = ""
    url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"
    ask: tuple[Dimension, ...] = ("a2",)
    retries: int = 3
    timeout_s: float = 60.0
    budget: int = 1000
    workers: int = 4
    max_side: int = 768
    swap: float = 0.1
    compare: str | None = None
    prices: tuple[float, float] | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("judge.model is missing", hint="name the model that judges")
        check_device("judge.device", self.device)
        wrong = {
            "retries": self.retries < 0,
            "timeout_s": not self.timeout_s > 0,
            "budget": self.budget < 0,
            "workers": self.workers < 1,
            "max_side": self.max_side < 64,
            "swap": not 0 <= self.swap <= 1,
            "ask": not self.ask,
            "prices": self.prices is not None and not all(price >= 0 for price in self.prices),
        }
        for name in (n for n, bad in wrong.items() if bad):
            raise ConfigError(f"judge.{name}: {getattr(self, name)} is out of range")


@dataclass(frozen=True)
class GateConfig:
    """When a run fails with exit code 4.

    `fail_under` and `fail_over` hold [METHOD/][PROTOCOL/]METRIC=VALUE, for every method that is no baseline and every
    protocol where they name none. `baseline` is an older results.json of the same records; no value may be worse than
    there by more than `rtol` of it, in the metric's own direction, nor be of fewer edits. What is missing or NaN fails.
    """

    fail_under: tuple[str, ...] = ()
    fail_over: tuple[str, ...] = ()
    baseline: str | None = None
    rtol: float = 0.02

    def __post_init__(self) -> None:
        if not self.rtol >= 0:
            raise ConfigError(f"gate.rtol must be 0 or more, not {self.rtol}")


@dataclass(frozen=True)
class EvalConfig:
    """One `a2 eval`.

    Either `pred`, a folder of finished edits (of one protocol, or with a folder for each), or `methods`, whose edits
    are in `out`/edits; `run` makes those that are missing. `protocols` are fine, rough, box, or a change of the fine
    mask (dilate:R, erode:R, shift:R); `rough_radius` is rough's dilation, in px or % of the object's size: 5.2 states
    none. `bootstrap` resamples give the standard errors; `gallery` cases of each end are shown on the page.
    `against` names a method that the others are set against, record by record.
    """

    data: DataConfig = field(default_factory=DataConfig)
    pred: str | None = None
    methods: tuple[MethodConfig, ...] = ()
    protocols: tuple[str, ...] = ("fine", "rough", "box")
    rough_radius: str = "8%"
    metrics: tuple[str, ...] = ("default",)
    weights: Weights = field(default_factory=Weights)
    judge: JudgeConfig | None = None
    gate: GateConfig = field(default_factory=GateConfig)
    out: str | None = None
    run: bool = False
    report: str | None = None
    seed: int = 0
    device: str = "auto"
    batch_size: int = 16
    workers: int = 1
    bootstrap: int = 1000
    gallery: int = 6
    against: str | None = None
    title: str = "Evaluation"

    def __post_init__(self) -> None:
        if (self.pred is None) == (not self.methods):
            raise ConfigError(
                "nothing says what to measure" if self.pred is None else "finished edits and methods at once",
                hint="give --pred DIR for finished edits, or --methods NAME,... to edit first",
            )
        if self.methods and self.out is None:
            raise ConfigError("methods need a folder for their edits", hint="add -o OUT")
        if self.run and not self.methods:
            raise ConfigError(
                "--run makes the edits of methods, and none is named", hint="add --methods NAME"
            )
        names = [method.name for method in self.methods]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"methods: {twice[0]} is named twice", hint="give each row a name of its own")
        if self.against is not None and self.against not in names:
            hint = get_suggestion(self.against, names) if names else "finished edits are of one method"
            raise ConfigError(f"against: there is no method {self.against!r}", hint=hint)
        if not self.protocols or len(set(self.protocols)) < len(self.protocols):
            raise ConfigError(
                f"protocols: {', '.join(self.protocols) or 'none'}", hint="each once: fine, rough, box"
            )
        for name, least in (("batch_size", 1), ("workers", 1), ("bootstrap", 0), ("gallery", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be {least} or more, not {getattr(self, name)}")
        check_device("device", self.device)
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed must be 0 or more, not {self.seed}")


def check_device(name: str, device: str) -> None:
    """Raise `ConfigError` for a word that no device is called by; `name` is the setting."""
    if not DEVICE.fullmatch(device):
        hint = get_suggestion(device, ["auto", "cpu", "cuda", "cuda:N", "mps"])
        raise ConfigError(f"{name}: there is no {device!r}", hint=hint)


def parse_method(text: str) -> MethodConfig:
    """A method of a command line: a baseline's name, or NAME=ADAPTER, or a backbone's name."""
    name, _, adapter = text.partition("=")
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind in BASELINES and adapter:
        raise ConfigError(f"--methods {text!r}: a baseline has no adapter")
    if kind is not None and kind != "a2":
        return MethodConfig(name, kind=kind, adapter=adapter or None)
    if not name or name == "a2":
        raise ConfigError(
            f"--methods {text!r}: no name of a row", hint="such as nano,paste,telea or mine=ADAPTER_DIR"
        )
    return MethodConfig(name, adapter=adapter) if adapter else MethodConfig(name, backbone=name)
