"""Opening metrics: each network by itself, so that one that is missing takes nothing else with it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from a2cli.errors import A2Error, BackboneError, ConfigError
from a2cli.files import show_name
from a2cli.metrics.measure import Measure, SetMeasure, Weights
from a2cli.metrics.table import METRICS, MetricInfo

JUDGE = "judge"  # a family that is no network of ours: it is opened by what asks it
EXTRAS = {"ssim": ("skimage", "pip install 'a2cli[eval]'")}  # family -> module and how to have it

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")  # as the hub has them


@dataclass(frozen=True)
class Opened:
    """What could be opened, in the table's order; `missing` says in one line why a metric could not, and what to do."""

    measures: list[Measure] = field(default_factory=list)
    set_measures: list[SetMeasure] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def open_measures(infos: Iterable[MetricInfo], weights: Weights, device: str) -> Opened:
    """Open the measures of metrics, one for each family and network. Those a judge gives are passed over.

    Raises `ConfigError` for a folder of weights that is not there, `BackboneError` for a device that is not there.
    """
    check_weights(weights)
    groups = group_infos(infos)
    if any(group[0].weights for group in groups):
        from a2cli.metrics.models import get_device

        device = get_device(device)
    opened = Opened()
    for group in groups:
        made = _open_group(group, weights, device, opened.missing)
        if made is not None and group[0].of_set:
            opened.set_measures.append(cast(SetMeasure, made))
        elif made is not None:
            opened.measures.append(cast(Measure, made))
    return opened


def group_infos(infos: Iterable[MetricInfo]) -> list[list[MetricInfo]]:
    """Metrics that are opened together: of one family and with the same networks; none of a judge's."""
    groups: dict[tuple[str, tuple[str, ...]], list[MetricInfo]] = {}
    for info in infos:
        if info.family != JUDGE:
            groups.setdefault((info.family, info.weights), []).append(info)
    return list(groups.values())


def check_weights(weights: Weights) -> None:
    """Raises `ConfigError` where `weights.folder` is no folder."""
    if weights.folder is not None and not Path(weights.folder).expanduser().is_dir():
        raise ConfigError(
            f"{show_name(weights.folder)}: no such folder of weights",
            hint="a folder with some of clip/, dinov2/, dino/, lpips/ and inception.safetensors",
        )


def _open_group(
    group: Sequence[MetricInfo], weights: Weights, device: str, missing: dict[str, str]
) -> Measure | SetMeasure | None:
    """The measure of a group; of one that cannot be opened as a whole, of those metrics that can be alone."""
    family = importlib.import_module(f"a2cli.metrics.{group[0].family}")
    alone: list[MetricInfo] = []
    for part in (group, *([info] for info in group if len(group) > 1)):
        try:
            made: Measure | SetMeasure = family.build_measure(part, weights, device)
        except ConfigError:
            raise
        except A2Error as error:
            if len(part) == 1:
                missing[part[0].name] = show_name(str(error))
        else:
            if part is group:
                return made
            alone += part
    return family.build_measure(alone, weights, device) if alone else None


@dataclass(frozen=True)
class MetricRow:
    """A line of the table of metrics. `lacks` is what must be had before it can be opened, "" for nothing."""

    name: str
    better: str
    unit: str
    regions: tuple[str, ...]
    needs: tuple[str, ...]
    definition: str
    source: str
    lacks: str


def describe_metrics(weights: Weights | None = None) -> list[MetricRow]:
    """Every metric, and whether it could be opened here and now: nothing is opened and no network is asked."""
    weights = weights or Weights()
    check_weights(weights)
    there = {name: _has_weights(weights, name) for info in METRICS.values() for name in info.weights}
    return [
        MetricRow(
            info.name,
            "higher" if info.higher_is_better else "lower",
            info.unit,
            info.regions,
            info.needs,
            info.definition,
            info.source,
            _get_lack(info, there),
        )
        for info in METRICS.values()
    ]


def _get_lack(info: MetricInfo, there: Mapping[str, bool]) -> str:
    if info.family == JUDGE:
        return "a judge"
    module, remedy = EXTRAS.get(info.family, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        return remedy
    lacking = [name for name in info.weights if not there[name]]
    return f"weights: {', '.join(lacking)}" if lacking else ""


def _has_weights(weights: Weights, name: str) -> bool:
    """Whether a network's files lie in a folder, or in the hub's cache."""
    from a2cli.metrics.encoders import NETWORKS, find_source
    from a2cli.metrics.weights import find_weights

    network = next((network for network in NETWORKS if network == name), None)
    if network is None:
        try:
            return find_weights(weights, name).is_file()
        except BackboneError:
            return False
    source = find_source(weights, network)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
    return _is_cached(source)


def _is_cached(source: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = [try_to_load_from_cache(source, name) for name in ("config.json", *WEIGHT_FILES)]
    except HFValidationError:  # a path, or no id at all
        return False
    there = [isinstance(path, str) for path in found]
    return there[0] and any(there[1:])
