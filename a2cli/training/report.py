"""The closing page of a training run: one HTML file, without scripts or links, from the run folder's files alone."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.config.load import load_yaml
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name, write_bytes
from a2cli.pages.page import build_notes, build_page, build_section, build_tiles
from a2cli.pages.plots import (
    Band,
    Series,
    draw_scale,
    escape_text,
    get_half_life,
    heat_map,
    line_chart,
    show_number,
    show_percent,
    smooth,
)

Row = dict[str, Any]

TRAINED = {
    "vae": "autoencoder",
    "base": "the base",
    "text": "text encoder and mask predictor",
    "mot": "experts and routers",
    "lora": "LoRA",
    "region": "region adapter",
}
MEASURES = {
    "loss": "Training loss",
    "val_mae": "Mean absolute error of the sample edits",
    "val_iou": "IoU of the regions found in the sample photos",
    "edit_loss": "Error of the velocity",
    "mask_loss": "Error of the predicted masks",
    "mask_iou": "IoU of the predicted masks",
    "naming": "Error of the names and colours",
    "names_seen": "Share of things named rightly by their look",
    "names_said": "Share of things named rightly by their words",
    "pooling": "Surprise at the words that the predictor reads",
    "grounding": "Divergence of attention from the named thing",
    "pointed": "Share of photos whose strongest attention lies on the named thing",
    "iou": "IoU of the shown masks with the fine mask",
    "masked_share": "Share of tokens under the mask",
    "grad_norm": "Gradient norm",
    "lr": "Learning rate",
    "samples_per_s": "Samples per second",
    "balance": "Load-balancing term",
    "contrastive": "Contrastive term",
    "memory_gib": "Memory, GiB",
}
STAGE_KEYS = {"loss", "iou", "masked_share", "samples_per_s"}
EXACT = {"lr", "memory_gib"}  # no noise: a moving average would only lag behind
LOGARITHMIC = {"loss", "grad_norm"}
MAX_BANDS = 24  # more changes of stage than that are a mixture
MAX_MULTIPLES = 24  # categories whose blocks are shown one by one
MAX_FILES = 300  # listed
MAX_PICTURES = 24 << 20  # bytes of sample grids embedded, newest first
ALWAYS, HARDLY = 0.9995, 0.005  # shares from which an expert is always on, below which it is hardly used
LARGEST = 1e100  # what is beyond counts as infinite
PNG_START = b"\x89PNG\r\n\x1a\n"

RUN_STYLE = ".multiples { display: flex; flex-wrap: wrap; gap: 24px 30px; margin-top: 18px; }"


@dataclass(frozen=True)
class Usage:
    """Who used which expert: samples (categories,), share (categories, blocks, experts), NaN where unknown."""

    step: int
    blocks: list[str]
    categories: list[str]
    samples: np.ndarray
    share: np.ndarray

    def get_means(self) -> np.ndarray:
        """Means over the blocks, a row for each category and a last one for all samples."""
        rows, seen = self.share.mean(axis=1), self.samples > 0
        return np.vstack([rows, np.average(rows[seen], axis=0, weights=self.samples[seen])])


def build_report(run: Path) -> Path:
    """Write `report.html` into a run folder; returns its path.

    Read are metrics.jsonl, config.yaml, usage.json and samples/step-N.png; of the latter three the page says
    when they are damaged. Raises `DataError` naming the folder when metrics.jsonl is missing or a file cannot be
    read, and naming the page when it cannot be written.
    """
    try:
        page = _build_page(run)
    except OSError as error:
        file = Path(str(error.filename or run)).name
        message = f"{show_name(str(run))}: {show_name(file)} cannot be read: {error.strerror}"
        raise DataError(message, hint="name the folder of a training run") from None
    write_bytes(page.encode(), run / "report.html")
    return run / "report.html"


def _build_page(run: Path) -> str:
    rows, notes = load_metrics(run)
    config, usage = {}, None
    try:
        config = load_yaml(run / "config.yaml")
    except ConfigError as error:
        notes.append(f"no settings: {error}".replace(f"{run}{os.sep}", ""))
    try:
        usage = load_usage(run)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        notes.append("usage.json cannot be read")
    name = escape_text(run.resolve().name)
    summary = f"<h1>{name}</h1>\n{_build_summary(config, rows, usage, notes)}\n{_build_folder(run)}"
    sections = (_build_loss(rows), _build_samples(run, rows), _build_measures(rows), _build_experts(usage))
    title = f"{run.resolve().name}: training run"
    return build_page(title, f"{summary}\n{''.join(sections)}", style=RUN_STYLE)


def load_metrics(run: Path) -> tuple[list[Row], list[str]]:
    """Rows of metrics.jsonl in the order of their steps, and what is wrong with them, a note each.

    The later of two rows of one step counts; a last line that a killed run left cut does not.
    """
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8", errors="replace").split("\n")
    found: dict[int, Row] = {}
    unreadable = 0
    for i, line in enumerate(lines):
        try:
            row = json.loads(line)
            found[int(row["step"])] = row | {"step": int(row["step"])}
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            unreadable += bool(line.strip()) and i + 1 < len(lines)
    rows = [found[step] for step in sorted(found)]
    notes = [f"{unreadable} lines of metrics.jsonl cannot be read"] if unreadable else []
    for key in get_keys(rows):
        lost = sum(key in row and not math.isfinite(_to_number(row[key])) for row in rows)
        if lost:
            notes.append(f"{key}: not a finite number on {lost} of {len(rows)} rows")
    return rows, notes


def load_usage(run: Path) -> Usage | None:
    """Read usage.json; None where there is none or nothing in it. Raises ValueError and its kin on damage."""
    if not (run / "usage.json").is_file():
        return None
    data = json.loads((run / "usage.json").read_text(encoding="utf-8"))
    samples = np.array([entry["samples"] for entry in data["categories"].values()], float)
    seen = samples > 0
    if not seen.any():
        return None
    share = np.array([entry["share"] for entry in data["categories"].values()], float)
    shape = (samples.size, len(data["blocks"]), data["experts"])
    if share.shape != shape or not share.size or not (np.abs(share[seen] - 0.5) < 0.5001).all():
        raise ValueError(f"not {shape} shares")
    share[~seen] = np.nan
    return Usage(int(data["step"]), list(map(str, data["blocks"])), list(data["categories"]), samples, share)


def get_keys(rows: Iterable[Row]) -> list[str]:
    """The numeric keys of the rows but the step: known ones in the order of `MEASURES`, then others by name."""
    seen = {key for row in rows for key, value in row.items() if _is_number(value)} - {"step"}
    return [key for key in MEASURES if key in seen] + sorted(seen - set(MEASURES))


def get_groups(rows: Iterable[Row]) -> dict[str, list[str]]:
    """The keys of every chart: one each, but those with a slash, `time/data`, share that of their prefix."""
    groups: dict[str, list[str]] = {"loss": []}
    for key in get_keys(rows):
        groups.setdefault(key.rpartition("/")[0] or key, []).append(key)
    return groups


def get_series(rows: Sequence[Row], key: str) -> Series:
    """One key over the steps. What is logged now and then is one line; a gap is where its rhythm is broken."""
    at = [i for i, row in enumerate(rows) if key in row]
    beat = float(np.median(np.diff(at))) if len(at) > 1 else 1.0
    points: list[tuple[float, float]] = []
    for before, i in zip([*at[:1], *at], at, strict=False):
        if i - before > 1.5 * beat:
            points.append((rows[before + 1]["step"], math.nan))
        points.append((rows[i]["step"], _to_number(rows[i][key])))
    x, y = np.array(points, float).reshape(-1, 2).T
    return Series(key.rpartition("/")[2], x, y)


def get_bands(rows: Sequence[Row]) -> list[Band]:
    """The spans of the mask stages, each up to the next one's first row; none where stages come and go."""
    shown = [(float(row["step"]), row["stage"]) for row in rows if isinstance(row.get("stage"), str)]
    starts = [i for i in range(len(shown)) if i == 0 or shown[i][1] != shown[i - 1][1]]
    if not 0 < len(starts) <= MAX_BANDS:
        return []
    ends = [shown[i][0] for i in starts[1:]] + [shown[-1][0]]
    return [Band(shown[i][0] if i else 0, end, shown[i][1]) for i, end in zip(starts, ends, strict=True)]


def get_expert_facts(usage: Usage) -> tuple[str, str, list[str]]:
    """The most and the least used expert, their shares, and what else stands out, a sentence each.

    An expert that is always on (the anchor) is named and left out of the comparison.
    """
    experts = range(usage.share.shape[2])
    routed = [k for k in experts if np.nanmin(usage.share[:, :, k]) < ALWAYS]
    if not routed:
        return "all always on", "no routing to compare", []
    mean = usage.get_means()[-1]
    most, least = max(routed, key=lambda k: mean[k]), min(routed, key=lambda k: mean[k])
    always = ", ".join(str(k) for k in experts if k not in routed)
    hardly = ", ".join(str(k) for k in routed if mean[k] < HARDLY)
    facts = [f"Always on: expert {always}."] if always else []
    if hardly:
        facts.append(f"Hardly used, by less than {100 * HARDLY:g} % of samples: expert {hardly}.")
    shares = f"{show_percent(mean[most])} % and {show_percent(mean[least])} % of samples"
    return f"most: {most}, least: {least}", shares, facts


def _build_summary(config: dict[str, Any], rows: Sequence[Row], usage: Usage | None, notes: list[str]) -> str:
    model, total = config.get("model"), _to_number(config.get("steps"))
    part = str(model.get("train")) if isinstance(model, dict) else "unknown"
    reached = rows[-1]["step"] if rows else 0
    state = "finished" if reached >= total else "not finished" if total > reached else "of an unknown number"
    steps = show_number(reached, 9) + (f" of {show_number(total, 9)}" if math.isfinite(total) else "")
    tiles = [("Trained", TRAINED.get(part, part), f"model.train: {part}"), ("Steps", steps, state)]
    loss, speed = get_series(rows, "loss"), get_series(rows, "samples_per_s").y
    known = np.isfinite(loss.y)
    if known.any():
        x, average = loss.x[known], smooth(loss.y)[known]
        # Within its first half-life the average is but a few noisy values: no minimum to speak of.
        first = min(int(get_half_life(loss.y.size)), x.size - 1)
        best = first + int(average[first:].argmin())
        text = f"smoothed; best {show_number(average[best])} at step {show_number(x[best], 9)}"
        tiles.append(("Final loss", show_number(average[-1]), text))
    if np.isfinite(speed).any():
        low, middle, high = map(show_number, np.nanpercentile(speed, (10, 50, 90)))
        tiles.append(("Samples per second", middle, f"median; {low} to {high} on 80 % of rows"))
    if usage:
        tiles.append(("Expert use", *get_expert_facts(usage)[:2]))
    return build_tiles(tiles) + build_notes(notes)


def _draw_chart(rows: Sequence[Row], name: str, size: tuple[int, int]) -> str:
    """The chart of a group of keys."""
    return line_chart(
        [get_series(rows, key) for key in get_groups(rows)[name]],
        title=MEASURES.get(name, name),
        x_label="step",
        x_end=rows[-1]["step"] if rows else 0,
        bands=get_bands(rows),
        log=name in LOGARITHMIC,
        smoothed=name not in EXACT,
        size=size,
    )


def _build_loss(rows: Sequence[Row]) -> str:
    chart = f'<div class="wide">{_draw_chart(rows, "loss", (1032, 320))}</div>'
    return build_section("Loss", chart + (_build_stages(rows) if get_bands(rows) else ""))


def _build_stages(rows: Sequence[Row]) -> str:
    """A table of the stages, of masks mostly: how long they lasted, their median figures."""
    keys = [key for key in get_keys(rows) if key in STAGE_KEYS]
    stages: dict[str, list[Row]] = {}
    for row in rows:
        stages.setdefault(str(row.get("stage", "–")), []).append(row)
    lines = []
    for stage, part in stages.items():
        cells = [stage, *(show_number(part[i]["step"], 9) for i in (0, -1))]
        for key in keys:
            values = [v for row in part if math.isfinite(v := _to_number(row.get(key)))]
            cells.append(show_number(float(np.median(values))) if values else "–")
        lines.append("".join(f"<td>{escape_text(cell)}</td>" for cell in cells))
    names = ("stage", "first step", "last step", *(f"median {key}" for key in keys))
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _build_measures(rows: Sequence[Row]) -> str:
    charts = "".join(_draw_chart(rows, name, (504, 240)) for name in get_groups(rows) if name != "loss")
    return build_section("Measures", f'<div class="grid">{charts}</div>') if charts else ""


def _build_experts(usage: Usage | None) -> str:
    if usage is None:
        return ""
    experts = [str(k) for k in range(usage.share.shape[2])]
    table = heat_map(
        [*(f"{name} ({n:,.0f})" for name, n in zip(usage.categories, usage.samples, strict=True)), "all"],
        experts,
        usage.get_means(),
        title="Samples of a category that used an expert, in %, mean of the blocks",
        x_label="expert (in brackets: samples)",
    )
    shown = sorted(np.argsort(-usage.samples, kind="stable")[:MAX_MULTIPLES])
    # FLUX's two lists of blocks by the names people use for them: double 3, single 12.
    blocks = [
        name.replace("single_transformer_blocks.", "single ").replace("transformer_blocks.", "double ")
        for name in usage.blocks
    ]
    cell = (18, 14 if len(blocks) <= 20 else 7)
    multiples = "".join(
        heat_map(blocks, experts, usage.share[i], title=usage.categories[i], x_label="expert", cell=cell)
        for i in shown
    )
    facts = [*get_expert_facts(usage)[2], f"Counted up to step {show_number(usage.step, 9)}."]
    if len(shown) < len(usage.categories):
        facts.append(f"Block by block: the {len(shown)} categories of the most samples.")
    return build_section(
        "Experts",
        f'<p>{escape_text(" ".join(facts))}</p><div class="wide">{table}</div><h3>Block by block</h3>'
        f'{draw_scale()}<div class="multiples">{multiples}</div>',
    )


def _build_samples(run: Path, rows: Sequence[Row]) -> str:
    """The newest grid in sight, older ones folded; those beyond `MAX_PICTURES` bytes are only counted."""
    paths = {
        int(match[1]): path
        for path in (run / "samples").glob("step-*.png")
        if (match := re.fullmatch(r"step-(\d+)\.png", path.name)) and path.is_file()
    }
    figures, left = [], MAX_PICTURES
    for step in sorted(paths, reverse=True):
        data = paths[step].read_bytes() if paths[step].stat().st_size <= left else b""
        if data.startswith(PNG_START) and len(data) > 24:
            left -= len(data)
            figures.append(_build_picture(step, data, rows))
    body = "".join(figures[:1])
    if len(figures) > 1:
        body += f"<details><summary>Older ({len(figures) - 1})</summary>{''.join(figures[1:])}</details>"
    if len(figures) < len(paths):
        body += f"<p>Not shown, as damaged or too large together: {len(paths) - len(figures)} grids.</p>"
    return build_section("Samples", body) if body else ""


def _build_picture(step: int, data: bytes, rows: Sequence[Row]) -> str:
    width, height = struct.unpack(">II", data[16:24])
    row = next((row for row in rows if row["step"] == step), {})
    figures = [
        f"{key} {show_number(_to_number(row[key]))}" for key in ("val_mae", "val_iou", "loss") if key in row
    ]
    caption = ", ".join([f"Step {show_number(step, 9)}", *figures])
    return (
        f'<figure><img src="data:image/png;base64,{base64.b64encode(data).decode()}" width="{width}"'
        f' height="{height}" alt="Sample edits after step {step}"><figcaption>{caption}</figcaption></figure>'
    )


def _build_folder(run: Path) -> str:
    """The settings and the list of files, both folded."""
    path, settings = run / "config.yaml", ""
    if path.is_file():
        text = "\n".join(map(escape_text, path.read_text(encoding="utf-8", errors="replace").splitlines()))
        settings = f"<details><summary>Settings (config.yaml)</summary><pre>{text}</pre></details>"
    files = sorted(file for file in run.rglob("*") if file.is_file() and file != run / "report.html")
    sizes = [file.stat().st_size / 1000 for file in files]
    lines = [f"{n:>13,.1f} kB  {escape_text(f.relative_to(run))}" for f, n in zip(files, sizes, strict=True)]
    if len(files) > MAX_FILES:
        lines[MAX_FILES:] = [f"and {len(files) - MAX_FILES} more"]
    head, listed = f"{len(files)} files, {sum(sizes):,.0f} kB", "\n".join(lines)
    return f"{settings}<details><summary>{head}</summary><pre>{listed}</pre></details>"


def _to_number(value: Any) -> float:
    """The value as a float; NaN for what cannot be drawn."""
    return float(value) if _is_number(value) and abs(value) < LARGEST else math.nan


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
