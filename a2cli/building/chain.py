"""The stages in their order, and one input's way through them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from a2cli.building.config import BuildConfig, InputConfig
from a2cli.building.encode import Candidate, encode_item
from a2cli.building.records import Input, Item, Reject, Stage
from a2cli.errors import A2Error, BackboneError, CheckpointError, ConfigError

State = Input | Item | Candidate | Reject
READ, ENCODE = "read", "encode"


@dataclass(frozen=True)
class Task:
    """An input, the source it belongs to, and whether the generator may be asked for it."""

    input: Input
    source: InputConfig
    granted: bool = True


@dataclass(frozen=True)
class Progress:
    """How far a task has come: what it is now, and the seconds each stage took."""

    task: Task
    state: State
    seconds: dict[str, float] = field(default_factory=dict)


def list_stages(config: BuildConfig) -> tuple[str, ...]:
    """Names of the stages an input passes, in order."""
    named = ("permit", "label", "generate", "detect", "segment", "quality", "pair")
    kept = [name for name in named if name != "generate" or config.generate is not None]
    return (READ, *kept, ENCODE)


def is_gpu_stage(name: str, config: BuildConfig) -> bool:
    """Whether a stage holds a model that wants a GPU."""
    return {
        "label": config.label.model is not None,
        "detect": config.detect.method != "embedded",
        "segment": config.segment.method != "embedded",
        "quality": config.quality.metric is not None,
        "pair": config.pair.embedding != "embedded",
    }.get(name, False)


class Chain:
    """Some of the stages after each other, `names` in the order of `list_stages`; built where it runs."""

    def __init__(self, config: BuildConfig, cache: Path, names: tuple[str, ...] | None = None) -> None:
        self.config = config
        self.names = names or list_stages(config)
        self.stages = {n: build_stage(n, config, cache) for n in self.names if n not in (READ, ENCODE)}

    def __call__(self, progress: Progress) -> Progress:
        """Take a task on as far as these stages go; one that was rejected stays so."""
        seconds = dict(progress.seconds)
        state = progress.state
        for name in self.names:
            if isinstance(state, Reject):
                break
            started = time.perf_counter()
            state = self._step(name, progress.task, state)
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
        return Progress(progress.task, state, seconds)

    def _step(self, name: str, task: Task, state: State) -> State:
        dropped = state.dropped if isinstance(state, Item) else {}
        try:
            if isinstance(state, Input):
                return self._read(task)
            if not isinstance(state, Item):
                return state
            if name == ENCODE:
                return encode_item(state, self.config)
            if name == "generate" and not task.granted and len(state.views) < 2:
                return Reject(state.id, name, "generator budget spent")
            return self.stages[name](state)
        except (ConfigError, BackboneError, CheckpointError):
            raise  # no input can do better: a model that is not there or damaged, a key that is not set
        except A2Error as error:
            return Reject(task.input.id, name, "cannot be used", str(error), dropped, failed=True)
        except Exception as error:  # a library's own, on one odd picture: the other inputs go on
            cause = f"{type(error).__name__}: {error}"
            return Reject(task.input.id, name, "failed unexpectedly", cause, dropped, failed=True)

    def _read(self, task: Task) -> Item | Reject:
        from a2cli.building.readers import load_item

        state = load_item(task.input, task.source)
        return replace(state, failed=True) if isinstance(state, Reject) else state


def build_stage(name: str, config: BuildConfig, cache: Path) -> Stage:
    """Make one stage; what it loads, it loads at its first item. Imports only what the settings ask for."""
    makers: dict[str, Callable[[], Stage]] = {
        "permit": lambda: _build_permit(config),
        "label": lambda: _build_label(config),
        "generate": lambda: _build_generate(config, cache),
        "detect": lambda: _build_detect(config),
        "segment": lambda: _build_segment(config),
        "quality": lambda: _build_quality(config),
        "pair": lambda: _build_pair(config),
    }
    return makers[name]()


def _build_permit(config: BuildConfig) -> Stage:
    from a2cli.building.permit import Permit

    return Permit(config.allow_licence)


def _build_label(config: BuildConfig) -> Stage:
    from a2cli.building.label import Labeller

    return Labeller(config.label)


def _build_generate(config: BuildConfig, cache: Path) -> Stage:
    from a2cli.building.generate import Generator

    assert config.generate is not None
    return Generator(config.generate, cache)


def _build_detect(config: BuildConfig) -> Stage:
    if config.detect.method == "embedded":
        from a2cli.building.detect.embedded import EmbeddedDetector

        return EmbeddedDetector(config.detect)
    from a2cli.building.detect.grounding_dino import GroundingDinoDetector

    return GroundingDinoDetector(config.detect)


def _build_segment(config: BuildConfig) -> Stage:
    if config.segment.method == "embedded":
        from a2cli.building.segment.embedded import EmbeddedSegmenter

        return EmbeddedSegmenter(config.segment)
    from a2cli.building.segment.sam import SamSegmenter

    return SamSegmenter(config.segment)


def _build_quality(config: BuildConfig) -> Stage:
    from a2cli.building.judge.quality import QualityJudge

    return QualityJudge(config.quality)


def _build_pair(config: BuildConfig) -> Stage:
    from a2cli.building.judge.pairing import Pairer

    return Pairer(config.pair)
