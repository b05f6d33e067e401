"""The closing page: whole, closed in itself, true to the files, and made from whatever a run left behind."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parsed import Parsed
from PIL import Image

from a2cli.config.load import dump_yaml
from a2cli.errors import DataError
from a2cli.pages.plots import smooth
from a2cli.training import report
from a2cli.training.report import build_report, get_bands, get_series, load_metrics, load_usage

CATEGORIES = ("animals", "plants", "vehicles")
Row = dict[str, Any]


class Page(Parsed):
    """A page by its path."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.read_text(encoding="utf-8"))

    def get_tiles(self) -> dict[str, str]:
        return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", self.source))


def make_rows(count: int, every: int = 20) -> list[Row]:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(1, count + 1):
        part = min(2, 3 * i // (count + 1))
        rows.append(
            {
                "step": i * every,
                "loss": float(0.1 + 2 * math.exp(-8 * i / count) + rng.normal(0, 0.01)),
                "lr": 1e-3,
                "grad_norm": float(rng.gamma(2)),
                "samples_per_s": float(rng.normal(20, 1)),
                "stage": ("fine", "rough", "box")[part],
                "iou": (1.0, 0.8, 0.6)[part],
                "masked_share": float(rng.uniform(0.1, 0.3)),
            }
        )
    return rows


def make_usage(categories: Sequence[str] = CATEGORIES, blocks: int = 3) -> dict[str, Any]:
    """Expert 0 is always on, 1 used by half of the samples, 2 by a tenth, 3 by none."""
    share = [[1.0, 0.5, 0.1, 0.0]] * blocks
    names = ["transformer_blocks.0", *(f"single_transformer_blocks.{i}" for i in range(blocks - 1))]
    entries = {name: {"samples": 100 + i, "share": share} for i, name in enumerate(categories)}
    return {"step": 600, "experts": 4, "blocks": names, "categories": entries}


def write_run(folder: Path, rows: Sequence[Row], **files: Any) -> Path:
    """A run folder; `config` and `usage` become their files, `samples` grids of those steps."""
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if "config" in files:
        (folder / "config.yaml").write_text(dump_yaml(files["config"]))
    if "usage" in files:
        (folder / "usage.json").write_text(json.dumps(files["usage"]))
    for step in files.get("samples", ()):
        (folder / "samples").mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), (step % 256, 0, 0)).save(folder / "samples" / f"step-{step:03d}.png")
    return folder


@pytest.fixture
def full(tmp_path: Path) -> Path:
    config = {"model": {"train": "mot", "path": "base"}, "steps": 600, "output_dir": "runs/x"}
    rows = make_rows(30)
    rows[9]["val_mae"], rows[29]["val_mae"] = 0.25, 0.125
    return write_run(tmp_path / "run", rows, config=config, usage=make_usage(), samples=(20, 400, 600))


def test_the_page_is_whole_and_asks_for_nothing(full: Path) -> None:
    path = build_report(full)
    assert path == full / "report.html"
    page = Page(path)
    assert page.source.startswith("<!doctype html>")
    assert not re.search(r"https?:|//\w|url\(|@import|<script|<link|<iframe|\bon\w+=", page.source)
    for tag, attributes in page.tags:
        assert not {"href", "srcset", "action"} & set(attributes)
        assert tag != "img" or str(attributes["src"]).startswith("data:image/png;base64,")
    policies = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies and str(policies[0]).startswith("default-src 'none'")
    assert "@media screen and (prefers-color-scheme: dark)" in page.source and "@media print" in page.source


def test_the_summary_says_what_how_far_and_how_well(full: Path) -> None:
    tiles = Page(build_report(full)).get_tiles()
    loss = smooth(np.array([row["loss"] for row in load_metrics(full)[0]]))
    best = int(loss[1:].argmin()) + 1
    assert tiles["Trained"] == "experts and routers<span>model.train: mot</span>"
    assert tiles["Steps"] == "600 of 600<span>finished</span>"
    assert tiles["Final loss"].startswith(
        f"{loss[-1]:.3g}<span>smoothed; best {loss[best]:.3g} at step {20 * (best + 1)}"
    )
    speeds = [row["samples_per_s"] for row in load_metrics(full)[0]]
    assert tiles["Samples per second"].startswith(f"{np.median(speeds):.3g}<")
    assert tiles["Expert use"] == "most: 1, least: 3<span>50 % and 0 % of samples</span>"


def test_files_and_settings_are_folded_in(full: Path) -> None:
    page = Page(build_report(full))
    settings, files, older = page.get_texts("summary")
    assert (settings, older) == ("Settings (config.yaml)", "Older (2)")
    assert re.fullmatch(r"6 files, \d+ kB", files)
    settings, files = page.get_texts("pre")
    assert settings == (full / "config.yaml").read_text().rstrip("\n")
    assert [line.split()[-1] for line in files.split("\n")] == [
        "config.yaml",
        "metrics.jsonl",
        "samples/step-020.png",
        "samples/step-400.png",
        "samples/step-600.png",
        "usage.json",
    ]
    assert not any("open" in attributes for tag, attributes in page.tags if tag == "details")


def test_every_number_has_its_chart(full: Path) -> None:
    rows = make_rows(30)
    for i, row in enumerate(rows):
        row |= {"gate_entropy": i / 7, "time/data": 0.1, "time/model": 0.2, "note": "text", "flag": True}
    charts = Page(build_report(write_run(full, rows))).get_charts()
    assert list(charts)[:7] == [
        "Training loss (log scale)",
        "IoU of the shown masks with the fine mask",
        "Share of tokens under the mask",
        "Gradient norm (log scale)",
        "Learning rate",
        "Samples per second",
        "gate_entropy",
    ]
    assert "note" not in charts and "flag" not in charts and "step" not in charts
    assert {"data", "model"} <= {text.text for text in charts["time"].iter("text")}
    bands = [r for r in charts["gate_entropy"].iter("rect") if r.get("class") == "band"]
    assert len(bands) == 2  # fine and box; rough is left plain between them


def test_the_stages_are_compared(full: Path) -> None:
    cells = Page(build_report(full)).get_texts("td")
    assert cells[0:3] == ["fine", "20", "200"] and cells[4] == "1"
    assert cells[7:10] == ["rough", "220", "400"] and cells[11] == "0.8"
    assert cells[14:17] == ["box", "420", "600"] and cells[18] == "0.6"


def test_rare_values_are_one_line_and_holes_are_gaps() -> None:
    rows = make_rows(60)
    for i in range(4, 60, 5):
        rows[i]["val_mae"] = 0.1
    assert np.isfinite(get_series(rows, "val_mae").y).all()
    del rows[20]["iou"]
    rows[30]["iou"], rows[31]["iou"], rows[32]["iou"] = math.nan, None, 10**400
    line = get_series(rows, "iou")
    assert line.x[np.isnan(line.y)].tolist() == [420, 620, 640, 660]
    del rows[24]["val_mae"]
    line = get_series(rows, "val_mae")
    assert line.x[np.isnan(line.y)].tolist() == [420]  # where the rhythm breaks
    assert get_series(rows, "nothing").x.size == 0


def test_the_page_says_how_many_values_are_missing(full: Path) -> None:
    rows = make_rows(30)
    rows[3]["loss"] = rows[4]["loss"] = math.nan
    page = Page(build_report(write_run(full, rows)))
    assert page.get_texts("li") == ["loss: not a finite number on 2 of 30 rows"]
    paths = [p.get("d", "") for p in page.get_charts()["Training loss (log scale)"].iter("path")]
    assert any(path.count("M") == 2 for path in paths)


def test_a_cut_last_line_is_passed_over_and_damage_is_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", make_rows(5))
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 120, "lo')
    assert [row["step"] for row in load_metrics(run)[0]] == [20, 40, 60, 80, 100]
    assert load_metrics(run)[1] == []
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'\n[1]\n\n{"loss": 1}\n{"step": "x"}\n\xff\n{"step": 140, "loss": 1.0}')
    rows, notes = load_metrics(run)
    assert rows[-1] == {"step": 140, "loss": 1.0}  # cut of its newline only
    assert notes == ["5 lines of metrics.jsonl cannot be read"]
    assert Page(build_report(run)).get_texts("li")[0] == notes[0]


def test_a_step_written_twice_counts_once(tmp_path: Path) -> None:
    rows = [{"step": 2, "loss": 1.0}, {"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}]
    assert load_metrics(write_run(tmp_path / "run", rows))[0] == [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": 2.0},
    ]


@pytest.mark.parametrize("count", [0, 1])
def test_a_run_that_hardly_began_has_a_page(tmp_path: Path, count: int) -> None:
    run = write_run(tmp_path / "run", make_rows(count), config={"model": {"train": "vae"}, "steps": 100})
    page = Page(build_report(run))
    assert page.get_tiles()["Trained"].startswith("autoencoder")
    assert page.get_tiles()["Steps"] == f"{20 * count} of 100<span>not finished</span>"
    assert ("Final loss" in page.get_tiles()) is bool(count)
    assert ("no values" in page.get_texts("text")) is not bool(count)
    assert "nan" not in "".join(page.get_texts()).lower()


def test_without_metrics_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run-7: metrics\.jsonl cannot be read: No such file") as caught:
        build_report(tmp_path / "run-7")
    assert caught.value.hint


def test_the_other_files_may_be_missing(tmp_path: Path) -> None:
    page = Page(build_report(write_run(tmp_path / "run", make_rows(3))))
    (note,) = page.get_texts("li")
    assert note == "no settings: config.yaml: no such file"  # no path of the machine it was made on
    assert page.get_tiles()["Steps"] == "60<span>of an unknown number</span>"
    assert page.get_texts("h2") == ["Loss", "Measures"]


def test_experts_are_mapped_by_category_and_block(full: Path) -> None:
    charts = Page(build_report(full)).get_charts()
    table = charts["Samples of a category that used an expert, in %, mean of the blocks"]
    assert "animals (100): 100, 50, 10, 0." in (table.findtext("desc") or "")
    assert "all: 100, 50, 10, 0." in (table.findtext("desc") or "")
    for category in CATEGORIES:
        cells = [rect for rect in charts[category].iter("rect") if rect.get("class") == "heat"]
        assert len(cells) == 3 * 4 and cells[1].findtext("title") == "double 0, 1: 50 %"
        assert cells[-1].findtext("title") == "single 1, 3: 0 %"
    (fact,) = [text for text in Page(full / "report.html").get_texts("p") if "Always on" in text]
    assert "Always on: expert 0." in fact and "less than 0.5 % of samples: expert 3." in fact


def test_means_weigh_samples_and_leave_unseen_categories_out(tmp_path: Path) -> None:
    usage = make_usage(("a", "b", "c"), blocks=1)
    for name, samples, share in (("a", 30, 0.2), ("b", 10, 1.0), ("c", 0, 0.9)):
        usage["categories"][name] = {"samples": samples, "share": [[1.0, share, 0.0, 0.5]]}
    run = write_run(tmp_path / "run", make_rows(3), usage=usage)
    loaded = load_usage(run)
    assert loaded is not None
    means = loaded.get_means()
    assert means[:2, 1].tolist() == [0.2, 1.0] and np.isnan(means[2]).all()
    assert means[3] == pytest.approx([1.0, 0.4, 0.0, 0.5])
    assert Page(build_report(run)).get_tiles()["Expert use"].startswith("most: 3, least: 2<")


def test_of_very_many_categories_the_busiest_are_shown_block_by_block(tmp_path: Path) -> None:
    usage = make_usage([f"kind {i}" for i in range(209)], blocks=2)
    page = Page(build_report(write_run(tmp_path / "run", make_rows(3), usage=usage)))
    charts = page.get_charts()
    assert "kind 208" in charts and "kind 0" not in charts
    assert any("the 24 categories of the most samples" in text for text in page.get_texts("p"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda u: u.pop("blocks"),
        lambda u: u.update(experts=5),
        lambda u: u.update(categories=[1]),
        lambda u: u["categories"]["plants"].update(share=[[1.0]]),
        lambda u: u["categories"]["plants"].update(share=[[7.0] * 4] * 3),
        lambda u: u["categories"]["plants"].update(share=[[math.nan] * 4] * 3),
        lambda u: u["categories"]["plants"].update(samples="many"),
    ],
)
def test_damaged_usage_costs_its_section_only(full: Path, damage: Callable[[dict[str, Any]], Any]) -> None:
    usage = make_usage()
    damage(usage)
    (full / "usage.json").write_text(json.dumps(usage))
    page = Page(build_report(full))
    assert page.get_texts("li") == ["usage.json cannot be read"]
    assert "Experts" not in page.get_texts("h2") and "Expert use" not in page.get_tiles()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0"])
def test_usage_that_is_no_usage(full: Path, text: str) -> None:
    (full / "usage.json").write_text(text)
    assert Page(build_report(full)).get_texts("li") == ["usage.json cannot be read"]


def test_usage_before_the_first_sample_is_no_usage(full: Path) -> None:
    (full / "usage.json").write_text(json.dumps({"step": 0, "experts": 8, "blocks": ["x"], "categories": {}}))
    page = Page(build_report(full))
    assert not page.get_texts("li") and "Experts" not in page.get_texts("h2")


def test_the_newest_grid_is_in_sight_the_others_folded(full: Path) -> None:
    page = Page(build_report(full))
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [p["alt"] for p in pictures] == [f"Sample edits after step {s}" for s in (600, 400, 20)]
    assert (pictures[0]["width"], pictures[0]["height"]) == ("40", "30")
    assert page.get_texts("figcaption")[0].startswith("Step 600, val_mae 0.125, loss 0.")
    shown = (
        page.source.index("after step 600"),
        page.source.index("Older (2)"),
        page.source.index("after step 400"),
    )
    assert list(shown) == sorted(shown)


def test_grids_that_are_damaged_or_too_many_are_counted(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (full / "samples" / "step-700.png").write_bytes(b"")
    (full / "samples" / "step-800.png").write_bytes(b"<svg onload='x'>" * 9)
    (full / "samples" / "step-x.png").write_bytes(b"")
    os.mkfifo(full / "samples" / "step-900.png")
    size = (full / "samples" / "step-600.png").stat().st_size
    monkeypatch.setattr(report, "MAX_PICTURES", 2 * size + size // 2)
    page = Page(build_report(full))
    assert sum(tag == "img" for tag, _ in page.tags) == 2
    assert "Not shown, as damaged or too large together: 3 grids." in page.get_texts("p")


def test_a_folder_of_very_many_files_is_listed_in_part(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_FILES", 4)
    page = Page(build_report(full))
    assert page.get_texts("summary")[1].startswith("6 files, ")
    assert page.get_texts("pre")[1].endswith("and 2 more")


def test_foreign_text_stays_text(tmp_path: Path) -> None:
    evil = '<b onclick="x()">&amp;\'\u0000\u202e\ud800'
    rows = make_rows(40)
    for row in rows:
        row |= {evil: 1.0, "stage": evil, f"{evil}/a": 1.0, f"{evil}/b": 2.0}
    usage = make_usage([evil, "plants"])
    usage["blocks"][0] = evil
    run = write_run(
        tmp_path / "<i>run &\n", rows, config={"model": {"train": "<u>"}, "steps": 5}, usage=usage
    )
    (run / "<script>").write_text("")
    (run / os.fsdecode(b"\xff.bin")).write_bytes(b"")
    page = Page(build_report(run))
    assert not {"b", "i", "u", "script"} & {tag for tag, _ in page.tags}
    assert not any("onclick" in attributes for _, attributes in page.tags)
    assert page.get_texts("h1") == ["<i>run &\\n"]
    assert page.get_tiles()["Trained"] == "&lt;u&gt;<span>model.train: &lt;u&gt;</span>"
    shown = '<b onclick="x()">&amp;\'\\x00\\u202e\\ud800'
    assert shown in page.get_charts() and shown in page.get_texts("td")


def test_stages_are_spans_and_an_alternation_is_none() -> None:
    rows: list[Row] = [{"step": 10 * i, "stage": "fine" if i < 4 else "box"} for i in range(1, 7)]
    assert [(b.start, b.end, b.label) for b in get_bands(rows)] == [(0, 40, "fine"), (40, 60, "box")]
    assert get_bands([{"step": i, "stage": "fb"[i % 2]} for i in range(100)]) == []
    assert get_bands([{"step": 1}, {"step": 2, "stage": 3.0}]) == []


def test_twenty_thousand_rows_make_a_light_page_soon(tmp_path: Path) -> None:
    rows = make_rows(20_000, every=1)
    for row in rows:
        row |= {
            key: row["loss"] ** i for i, key in enumerate(("balance", "contrastive", "memory_gib", "a", "b"))
        }
    run = write_run(tmp_path / "run", rows, usage=make_usage(blocks=57))
    began = time.process_time()
    path = build_report(run)
    assert time.process_time() - began < 10
    assert path.stat().st_size < 1_000_000
    assert Page(path).get_tiles()["Steps"].startswith("20,000<")


def test_the_page_is_a_function_of_the_files_and_replaces_itself(full: Path) -> None:
    first = build_report(full).read_bytes()
    assert build_report(full).read_bytes() == first
    assert not list(full.glob(".a2-*"))
