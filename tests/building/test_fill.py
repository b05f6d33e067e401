"""A generator behind an API fills what is missing, within its budget, and is not asked twice."""

from __future__ import annotations

import base64
import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_server import Answer, ImageServer, Request, serve_images
from test_build import get_pairs, start, write_object

from a2cli.building.config import BalanceConfig, BuildConfig, DedupeConfig, GenerateConfig, InputConfig
from a2cli.building.run import run_build
from a2cli.data.browse import browse
from a2cli.data.provenance import parse_provenance
from a2cli.errors import ConfigError
from a2cli.images.write import build_photo, encode_png


def answer(request: Request) -> Answer:
    """A striped thing on a plain ground; in the edited picture it is larger and turned."""
    edited = request.image is not None
    rgb = np.full((192, 192, 3), (214, 220, 224) if edited else 250, np.uint8)
    mask = np.zeros((192, 192), np.uint8)
    cv2.ellipse(mask, (96, 96), (70, 42) if edited else (44, 40), 30.0 if edited else 0.0, 0, 360, 1, -1)
    stripes = (np.indices(mask.shape).sum(axis=0) // 8 % 2).astype(bool)
    rgb[mask > 0] = np.where(stripes[..., None], (180, 40, 30), (40, 60, 150))[mask > 0]
    picture = base64.b64encode(encode_png(build_photo(rgb), rgb)).decode()
    return Answer(json.dumps({"data": [{"b64_json": picture}]}).encode())


def make_config(raw: Path, server: ImageServer, budget: int) -> BuildConfig:
    return BuildConfig(
        (InputConfig(str(raw), kind="views"),),
        generate=GenerateConfig(server.url, budget=budget, size="192x192", licence="CC0-1.0"),
        balance=BalanceConfig(fill=1),
        dedupe=DedupeConfig(distance=None),
        shard_size=2,
        allow_licence=("CC0-1.0",),
    )


def test_missing_categories_are_generated_within_the_budget(tmp_path: Path) -> None:
    """One photographed pair of animals; seven categories lack one, two pictures each; the budget is five pictures."""
    write_object(tmp_path / "raw" / "cat", 1)
    with serve_images(answer) as server:
        report = run_build(make_config(tmp_path / "raw", server, 5), tmp_path / "pairs")
        assert len(server.requests) == 4
        again = run_build(make_config(tmp_path / "raw", server, 5), tmp_path / "pairs")
        assert len(server.requests) == 4 and again == report
    assert report.inputs == 8 and report.pairs == 3
    assert report.rejects == {"generate: generator budget spent": 5}
    assert report.categories == {"animals": 1, "garments": 1, "portraits": 1}
    made = [entry.row for entry in browse(str(tmp_path / "pairs")) if entry.row["category"] != "animals"]
    assert len(made) == 2
    for row in made:
        provenance = parse_provenance(row["provenance"])
        assert provenance.rights.licence == "CC0-1.0" and provenance.rights.source == "generated"
        assert provenance.generated["model"] == "gpt-image-1" and "127.0.0.1" in provenance.generated["host"]
        assert row["id"].startswith("fill/")


def test_what_was_asked_before_filling_counts_against_the_budget(tmp_path: Path) -> None:
    """An item of one picture takes one of four, filled categories two each: one is granted, one picture stays."""
    write_object(tmp_path / "raw" / "cat", 1, views=1)
    with serve_images(answer) as server:
        config = make_config(tmp_path / "raw", server, 4)
        report = run_build(config, tmp_path / "pairs")
        asked = len(server.requests)
    assert asked == 3 and report.inputs == report.pairs + sum(report.rejects.values())
    rows = [json.loads(line) for line in (tmp_path / "pairs" / "rejects.jsonl").read_text().splitlines()]
    spent = [row for row in rows if row["reason"] == "generator budget spent"]
    assert spent and not any(row["detail"] for row in spent)  # none was granted and refused later


@pytest.mark.slow
def test_killed_while_it_generates_it_pays_nothing_twice(tmp_path: Path) -> None:
    write_object(tmp_path / "raw" / "cat", 1)
    with serve_images(answer) as server:
        run_build(make_config(tmp_path / "raw", server, 8), tmp_path / "straight" / "pairs")
        asked = len(server.requests)
        config = make_config(tmp_path / "raw", server, 8)
        (tmp_path / "killed").mkdir()
        process = start(config, tmp_path / "killed" / "pairs")
        deadline = time.monotonic() + 60
        while len(server.requests) < asked + 3:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(1.5)  # its worker ends within a second
        assert run_build(config, tmp_path / "killed" / "pairs").pairs == 5
        assert len(server.requests) <= 2 * asked + 1  # the answer that was on its way may be lost
    assert get_pairs(tmp_path / "killed" / "pairs") == get_pairs(tmp_path / "straight" / "pairs")


def test_a_missing_key_is_said_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write_object(tmp_path / "raw" / "cat", 1)
    with serve_images(answer) as server:
        config = make_config(tmp_path / "raw", server, 5)
        assert config.generate is not None
        elsewhere = replace(config, generate=replace(config.generate, url="https://api.example.com/v1"))
        with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
            run_build(elsewhere, tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()
