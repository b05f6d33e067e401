"""Results of an evaluation made up for tests: numbers drawn, no picture opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from a2cli.config.load import to_dict
from a2cli.evaluation.results import Results, Row
from a2cli.evaluation.scoring.stats import build_part
from a2cli.metrics.table import choose_metrics

KEYS = ("psnr", "psnr@mask", "l1")
EFFECT = {"nano": 3.0, "paste": 0.0}


def make_rows(
    methods: Sequence[str] = ("nano", "paste"),
    protocols: Sequence[str] = ("fine", "rough"),
    *,
    n: int = 24,
    seed: int = 0,
    shift: float = 0.0,
) -> list[Row]:
    """`n` records; psnr is about 20 dB, nano 3 dB better, rough 1 dB worse, and `shift` more throughout."""
    rng = np.random.default_rng(seed)
    base = rng.normal(20, 4, n)
    rows = []
    for i in range(n):
        for protocol in protocols:
            for method in methods:
                value = (
                    float(base[i] - (protocol == "rough") + rng.normal(0, 0.5))
                    + EFFECT.get(method, 0.0)
                    + shift
                )
                rows.append(
                    Row(
                        id=f"r{i:03d}",
                        category=("animals", "vehicles")[i % 2],
                        subcategory="",
                        group=f"g{i // 3}" if i % 4 else "",
                        method=method,
                        protocol=protocol,
                        values={"psnr": value, "psnr@mask": value - 2, "l1": 10 ** (-value / 20)},
                        mask_share=0.2,
                    )
                )
    return rows


def make_results(rows: Sequence[Row], *, baselines: Sequence[str] = ("paste",)) -> Results:
    """The results of such rows."""
    methods, protocols = (
        list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("method", "protocol")
    )
    infos = choose_metrics(("psnr", "l1"))
    n = len({row.id for row in rows})
    return Results(
        title="Made up",
        created="2026-01-01T00:00:00+00:00",
        a2="0",
        git="",
        versions={"numpy": "2"},
        config={"seed": 0},
        data={"name": "made", "split": "test"},
        n=n,
        metrics={info.name: {**to_dict(info), "implementation": "drawn"} for info in infos},
        missing={"clip_i": "no network here"},
        methods={name: {"kind": name, "baseline": name in baselines} for name in methods},
        protocols={name: {"kind": name} for name in protocols},
        parts=tuple(
            build_part(rows, m, p, expected=n, keys=KEYS, of_set={}, resamples=50)
            for m in methods
            for p in protocols
        ),
        failures={},
    )


def with_mean(results: Results, method: str, protocol: str, key: str, mean: float | None) -> Results:
    """The same results with one mean replaced."""
    parts = tuple(
        replace(part, scores={**part.scores, key: replace(part.scores[key], mean=mean)})
        if (part.method, part.protocol) == (method, protocol)
        else part
        for part in results.parts
    )
    return replace(results, parts=parts)
