"""A judge as a measure: edits in, marks by metric out, with an account of what was asked, missed and paid."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from a2cli import __version__
from a2cli.errors import DataError
from a2cli.evaluation.config import JudgeConfig
from a2cli.evaluation.judge.asking import Asker
from a2cli.evaluation.judge.bias import Preference, decide, get_mean, summarise
from a2cli.evaluation.judge.marks import INFOS, SHEETS, Sheet, complete, has_needs
from a2cli.evaluation.judge.showing import build_better_ask, get_prompts_digest
from a2cli.files import make_folder
from a2cli.metrics.measure import Values
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import MetricInfo
from a2cli.remote.access import load_key
from a2cli.remote.budget import Budget
from a2cli.remote.calls import Place

GEMINI_URL, GEMINI_KEY = "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY"

T = TypeVar("T")
R = TypeVar("R")


def open_judge(config: JudgeConfig, cache: Path) -> Judge:
    """A judge whose answers are kept in `cache`, for every run that names the same folder.

    With `api: gemini` the address and the key's variable are Gemini's unless others than OpenAI's are named: a key goes
    to whom it belongs. Raises `ConfigError` for an address that is none or a missing key (none is needed with a budget
    of 0: what was kept is all that is used), `DataError` where nothing can be kept, and for a local model what
    `load_judge` raises.
    """
    make_folder(cache)
    if config.api == "local":
        from a2cli.evaluation.judge.local import load_judge

        return Judge(config, Asker(load_judge(config.model, config.device), cache, None, config.retries))
    from a2cli.evaluation.judge.apis import APIS
    from a2cli.evaluation.judge.served import MOST_BYTES, ServedModel

    api, (url, variable) = APIS[config.api], get_address(config)
    key = load_key(url, variable, "judge.url") if config.budget else ""
    place = Place(url, key, config.timeout_s, MOST_BYTES, api.header)
    model = ServedModel(api, config.model, place)
    return Judge(config, Asker(model, cache, Budget(cache, config.budget), config.retries))


def get_address(config: JudgeConfig) -> tuple[str, str]:
    """The API's base and the variable of its key."""
    default = JudgeConfig(model=config.model)
    if config.api != "gemini":
        return config.url, config.key_variable
    return (
        GEMINI_URL if config.url == default.url else config.url,
        GEMINI_KEY if config.key_variable == default.key_variable else config.key_variable,
    )


class Judge:
    """A vision-language model as a `Measure`, and as one that compares two edits."""

    def __init__(self, config: JudgeConfig, asker: Asker) -> None:
        self.config = config
        self.asker = asker
        asks = tuple(dict.fromkeys(config.ask))
        self.infos: Sequence[MetricInfo] = tuple(info for ask in asks for info in INFOS[ask])
        self._sheets = tuple((INFOS[ask][0], sheet) for ask in asks for sheet in SHEETS[ask])
        self.implementation = (
            f"{config.api}: {asker.model.name}, prompts {get_prompts_digest()[:12]}, pictures of at most "
            f"{config.max_side} px, a2 {__version__}"
        )
        self._lock = threading.Lock()
        self._expected: dict[str, int] = defaultdict(int)
        self._had: dict[str, int] = defaultdict(int)
        self._moves: dict[str, list[float]] = defaultdict(list)
        self._preferences: list[Preference] = []

    def measure(self, shots: Sequence[Shot]) -> list[Values]:
        """The marks of each shot by metric, in order; what could not be had is left out.

        A share `swap` of the asks, chosen by their content, is repeated with the pictures in another order: that goes
        into the report's position bias and into no mark.
        """
        return self._map(self._measure_one, shots)

    def compare(self, shots_a: Sequence[Shot], shots_b: Sequence[Shot]) -> list[Preference]:
        """Which of two edits of each record is better, asked side by side in both orders.

        Raises `DataError` where the two lists are not edits of the same records in the same order.
        """
        if [shot.id for shot in shots_a] != [shot.id for shot in shots_b]:
            raise DataError("edits of different records cannot be compared", hint="pair them by id first")
        found = self._map(self._compare_one, list(zip(shots_a, shots_b, strict=True)))
        with self._lock:
            self._preferences += found
        return found

    def report(self) -> dict[str, Any]:
        """What the judge was and did so far; every number is finite or None.

        asked = answered (now) + from_cache + failed (by reason; `details` quotes the first of each). `calls` are HTTP
        requests or runs of the model, `spent` those of all runs with this cache that were or may have been paid; tokens
        and cost are this run's. `coverage` by metric: the share of edits with a value among the `expected`, those that
        have what it needs. `position_bias` by metric: mark with the edit shown last less mark with it shown first.
        """
        model, budget = self.asker.model, self.asker.budget
        side_by_side = summarise(self._preferences) if self._preferences else None
        return {
            "api": self.config.api,
            "model": model.name,
            "implementation": self.implementation,
            "without": sorted(getattr(model, "without", ())),
            **self.asker.tally.report(self.config.prices),
            "budget": budget.most if budget else None,
            "spent": budget.count() if budget else None,
            "coverage": {
                name: self._had[name] / n if n else None for name, n in sorted(self._expected.items())
            },
            "expected": dict(sorted(self._expected.items())),
            "position_bias": {key: get_mean(moves) for key, moves in sorted(self._moves.items())},
            "side_by_side": side_by_side,
        }

    def _measure_one(self, shot: Shot) -> Values:
        values: Values = {}
        for info, sheet in self._sheets:
            if has_needs(shot, info):
                values |= self._ask_sheet(shot, sheet)
        values = complete(values)
        with self._lock:
            for info in self.infos:
                self._expected[info.name] += has_needs(shot, info)
                self._had[info.name] += info.name in values
        return values

    def _ask_sheet(self, shot: Shot, sheet: Sheet) -> Values:
        ask = sheet.build(shot, self.config.max_side)
        values = sheet.read(self.asker.ask(ask))
        if sheet.swap is not None and int(ask.digest[:8], 16) / 2**32 < self.config.swap:
            swapped = sheet.read(self.asker.ask(sheet.swap(shot, self.config.max_side)))
            with self._lock:
                for key in values.keys() & swapped.keys():
                    self._moves[key].append(values[key] - swapped[key])
        return values

    def _compare_one(self, pair: tuple[Shot, Shot]) -> Preference:
        a, b = pair
        answers: list[Any] = []
        for first, second in ((a, b), (b, a)):
            ask = build_better_ask(first, second, self.config.max_side)
            answers.append(self.asker.ask(ask).get("better"))
        return decide(a.id, answers[0], answers[1])

    def _map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """The results in order. On Ctrl-C or an error calls under way end and are kept, no others are made."""
        pool = ThreadPoolExecutor(1 if self.config.api == "local" else self.config.workers)
        try:
            jobs = [pool.submit(work, item) for item in items]
            wait(jobs, return_when=FIRST_EXCEPTION)
            for job in jobs:
                if job.done():  # all are, unless one failed
                    job.result()
            return [job.result() for job in jobs]
        except BaseException:
            self.asker.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
