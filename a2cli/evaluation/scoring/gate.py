"""Whether results are good enough: thresholds of a command line, and an older run that must not be undercut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError
from a2cli.evaluation.config import GateConfig
from a2cli.evaluation.records.protocols import get_name
from a2cli.evaluation.results import Part, Results, Score
from a2cli.files import show_name
from a2cli.metrics.table import find_metric

ATOL = 1e-9  # what a value may be worse by where `rtol` of the old one is less: rounding, and all of it at 0
RECORDS = (
    "records_sha256",
    "seed",
    "synth",
    "turns",
    "pairs",
    "source",
)  # of a run's data: what decides its records


@dataclass(frozen=True)
class Threshold:
    """One demand on a value; `method` and `protocol` None for all methods that are no baseline, all protocols."""

    option: str
    text: str
    key: str
    value: float
    method: str | None
    protocol: str | None

    @property
    def wanted(self) -> str:
        """The demand in words."""
        return f"at {'least' if self.option == '--fail-under' else 'most'} {self.value:g}"

    def holds(self, score: Score | None) -> bool:
        """Whether a score meets it; what is missing or NaN does not."""
        if score is None or score.mean is None or math.isnan(score.mean):
            return False
        return score.mean >= self.value if self.option == "--fail-under" else score.mean <= self.value


def parse_thresholds(
    config: GateConfig, methods: Mapping[str, bool], protocols: Sequence[str], metrics: Iterable[str]
) -> list[Threshold]:
    """The thresholds of a run; `methods` says of each whether it is a baseline, `metrics` are the names it measures.

    Raises `ConfigError` for one that cannot be read, names what the run does not have, would hold for nothing, or
    bounds a value on the side where it is good.
    """
    measured = set(metrics)
    found = []
    for option, texts in (("--fail-under", config.fail_under), ("--fail-over", config.fail_over)):
        for text in texts:
            threshold = _parse(option, text, list(methods), protocols)
            info = find_metric(threshold.key)
            if info.higher_is_better != (option == "--fail-under"):
                side, other = (
                    ("higher", "--fail-under") if info.higher_is_better else ("lower", "--fail-over")
                )
                raise ConfigError(f"{option} {text!r}: {info.name} is better {side}", hint=f"{other} {text}")
            if info.name not in measured:
                raise ConfigError(
                    f"{option} {text!r}: {info.name} is not measured", hint=f"add --metrics {info.name}"
                )
            if threshold.method is None and all(methods.values()):
                raise ConfigError(
                    f"{option} {text!r}: every method is a baseline",
                    hint=f"name one: {next(iter(methods))}/{text}",
                )
            found.append(threshold)
    return found


def check_thresholds(thresholds: Iterable[Threshold], results: Results) -> list[str]:
    """A line for each value that misses its threshold."""
    parts = {(part.method, part.protocol): part for part in results.parts}
    missed = []
    for threshold in thresholds:
        methods = [threshold.method] if threshold.method else list_judged(results)
        protocols = [threshold.protocol] if threshold.protocol else list(results.protocols)
        for method in methods:
            for protocol in protocols:
                part = parts.get((method, protocol))
                score = part.scores.get(threshold.key) if part else None
                if not threshold.holds(score):
                    value = _describe(score, threshold.key, part, results)
                    missed.append(f"{method}/{protocol} {threshold.key} {value}, wanted {threshold.wanted}")
    return missed


def check_baseline(new: Results, old: Results, rtol: float) -> tuple[list[str], list[str]]:
    """Lines for what is worse than in an older run, and lines for what makes the two hard to compare.

    Every mean of `old`, of methods that are no baseline, must be there, of no fewer edits, and not be worse, in the
    metric's direction, by more than `rtol` of its size, or ATOL where that is less: of an old 0 nothing may be lost.
    Means of other records say nothing: that is one line, and no mean is looked at.
    """
    others = [name for name in RECORDS if not _is_same(new.data.get(name), old.data.get(name))]
    if others:
        return [f"the records are others than in the baseline: {_tell_records(new, old, others)}"], []
    parts = {(part.method, part.protocol): part for part in new.parts}
    kept = set(list_judged(old))
    missed, warned = [], _list_differences(new, old)
    for before in old.parts:
        if before.method not in kept:
            continue
        now = parts.get((before.method, before.protocol))
        place = f"{before.method}/{before.protocol}"
        if now is None:
            missed.append(f"{place} is missing, the baseline has it")
            continue
        if now.n != before.n:
            told = missed if now.n < before.n else warned
            told.append(f"{place}: {now.n} edits measured, {before.n} in the baseline")
        for key, score in before.scores.items():
            if score.mean is None:
                continue
            least = _get_limit(key, score.mean, rtol)
            mine = now.scores.get(key)
            if mine is None or mine.mean is None or math.isnan(mine.mean) or _is_worse(key, mine.mean, least):
                side = "least" if find_metric(key).higher_is_better else "most"
                wanted = f"at {side} {least:.6g} (baseline {score.mean:.6g}, {rtol:g} of it allowed)"
                missed.append(f"{place} {key} {_describe(mine, key, now, new)}, wanted {wanted}")
            elif mine.n < score.n and now.n >= before.n:
                missed.append(f"{place} {key} is of {mine.n} edits, of {score.n} in the baseline")
    return missed, warned


def require_comparable(old: Results, path: str, metrics: Iterable[str]) -> None:
    """Raise `ConfigError` for an older run with values of metrics that are not among `metrics`, those measured now.

    So for one of baselines alone: nothing would be held against it.
    """
    if not list_judged(old):
        raise ConfigError(
            f"{show_name(path)}: every method there is a baseline",
            hint="name the results of a model, or of --pred",
        )
    kept, measured = set(list_judged(old)), set(metrics)
    keys = [
        key
        for part in old.parts
        if part.method in kept
        for key, s in part.scores.items()
        if s.mean is not None
    ]
    lacking = [info for info in dict.fromkeys(map(find_metric, keys)) if info.name not in measured]
    if lacking:
        names = [info.name for info in lacking if info.family != "judge"]
        adds = [f"--metrics {','.join(names)}"] if names else []
        adds += ["--judge API:MODEL"] if len(names) < len(lacking) else []
        verb = "is" if len(lacking) == 1 else "are"
        raise ConfigError(
            f"--baseline {show_name(path)}: {', '.join(info.name for info in lacking)} {verb} not measured",
            hint=f"add {' and '.join(adds)}",
        )


def list_judged(results: Results) -> list[str]:
    """The methods that are no baseline."""
    return [name for name, identity in results.methods.items() if not identity.get("baseline")]


def _parse(option: str, text: str, methods: Sequence[str], protocols: Sequence[str]) -> Threshold:
    where = f"{option} {text!r}"
    left, equals, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not equals or not math.isfinite(value):
        raise ConfigError(f"{where}: no threshold", hint="[METHOD/][PROTOCOL/]METRIC=VALUE, such as psnr=24")
    *places, key = left.strip().split("/")
    # Any spelling of a mask, but where a method is called so.
    places = [place if place in methods else get_name(place) for place in places]
    try:
        find_metric(key)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from None
    if len(places) > 2:
        raise ConfigError(f"{where}: too many names", hint="[METHOD/][PROTOCOL/]METRIC=VALUE")
    if len(places) == 2:
        method, protocol = places
        _require(where, "method", method, methods)
        _require(where, "protocol", protocol, protocols)
        return Threshold(option, text, key, value, method, protocol)
    name = places[0] if places else None
    if name is not None and name in methods and name in protocols:
        raise ConfigError(f"{where}: {name} is a method and a protocol", hint="name both: METHOD/PROTOCOL/")
    if name is not None and name not in protocols:
        _require(where, "method or protocol", name, [*methods, *protocols])
        return Threshold(option, text, key, value, name, None)
    return Threshold(option, text, key, value, None, name)


def _require(where: str, what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ConfigError(f"{where}: there is no {what} {name!r}", hint=get_suggestion(name, known))


def _describe(score: Score | None, key: str, part: Part | None, results: Results) -> str:
    """ "= 21.3 (n 200)", or why it is missing."""
    if score is not None and score.mean is not None:
        return f"= {score.mean:.6g} (n {score.n})"
    why = results.missing.get(find_metric(key).name) or (
        "no edit was measured" if part is None or not part.n else "no edit has a value"
    )
    return f"is missing: {why}"


def _get_limit(key: str, old: float, rtol: float) -> float:
    allowed = max(rtol * abs(old), ATOL)
    return old - allowed if find_metric(key).higher_is_better else old + allowed


def _is_worse(key: str, value: float, limit: float) -> bool:
    return value < limit if find_metric(key).higher_is_better else value > limit


def _list_differences(new: Results, old: Results) -> list[str]:
    """What makes numbers of two runs hard to compare."""
    found = []
    for name in sorted((new.data.keys() | old.data.keys()) - set(RECORDS)):
        if new.data.get(name) != old.data.get(name):
            found.append(
                f"other data than in the baseline: {name} {_show(new, name)}, not {_show(old, name)}"
            )
    for name, was in old.metrics.items():
        mine = new.metrics.get(name, {}).get("implementation")
        if mine is not None and mine != was.get("implementation"):
            found.append(f"{name} is measured by {mine}, in the baseline by {was.get('implementation')}")
    for name, masks in old.protocols.items():
        if name in new.protocols and new.protocols[name] != masks:
            found.append(f"the masks of {name} are others than in the baseline")
    return found


def _is_same(new: Any, old: Any) -> bool:
    """Whether two facts agree; of settings those that both have, later versions add some."""
    if isinstance(new, dict) and isinstance(old, dict):
        return all(new[name] == old[name] for name in new.keys() & old.keys())
    return bool(new == old)


def _tell_records(new: Results, old: Results, others: Sequence[str]) -> str:
    """ "3 of pairs test, not 6 of pairs test", or what else tells them apart."""
    mine, was = (
        " ".join(
            [
                str(results.n),
                "of",
                *(_show(results, name) for name in ("name", "split") if name in results.data),
            ]
        )
        for results in (new, old)
    )
    if mine != was:
        return f"{mine}, not {was}"
    plain = [name for name in others if name not in ("records_sha256", "synth")]
    if plain:
        return f"{plain[0]} {_show(new, plain[0])}, not {_show(old, plain[0])}"
    return f"{mine} in both, of other {'settings' if others == ['synth'] else 'ids, categories or prompts'}"


def _show(results: Results, name: str) -> str:
    text = show_name(str(results.data.get(name, "nothing")))
    return text if len(text) <= 40 else f"{text[:37]}..."
