"""Items completed by a real server on loopback: what is asked, kept, paid and recorded."""

from __future__ import annotations

import base64
import fcntl
import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_server import (
    RGB,
    Answer,
    answer_by_content,
    ask,
    build_answer,
    build_config,
    build_item,
    encode_picture,
    serve_images,
)

from a2cli.building.config import GenerateConfig
from a2cli.building.generate import Generator, build_second_prompt, get_subject
from a2cli.building.generate_client import Ask, ImageClient
from a2cli.building.records import Item, Reject, View
from a2cli.data.provenance import Rights
from a2cli.errors import DataError
from a2cli.images.read import open_photo


def test_an_item_of_one_picture_gets_a_second(tmp_path: Path) -> None:
    with serve_images(build_answer(seed=7)) as server:
        item = ask(server, tmp_path, licence="CC0-1.0")
    assert isinstance(item, Item) and len(item.views) == 2
    assert item.views[0].rgb is RGB and item.views[1].name == "generated/second" and item.views[1].role == ""
    expected = open_photo(base64.b64decode(encode_picture(seed=7))).rgb
    np.testing.assert_array_equal(item.views[1].rgb, expected)
    (request,) = server.requests
    assert request.path == "/v1/images/edits" and "Authorization" not in request.headers
    assert request.fields == {
        "model": "gpt-image-1",
        "prompt": build_second_prompt(item, "sports car"),
        "n": "1",
        "size": "64x64",
    }
    assert request.image is not None
    np.testing.assert_array_equal(open_photo(request.image).rgb, RGB)  # lossless
    host = server.url.split("/")[2]
    assert item.generated == {
        "model": "gpt-image-1",
        "host": host,
        "size": "64x64",
        "views": "second",
        "second_endpoint": "images/edits",
        "second_prompt": request.fields["prompt"],
        "licence": "CC0-1.0",
    }
    assert item.tools == {"generate": f"gpt-image-1 at {host}"}
    assert item.rights == Rights()  # the photo's licence stays unknown


def test_an_item_without_pictures_gets_both(tmp_path: Path) -> None:
    with serve_images(answer_by_content) as server:
        stage = Generator(build_config(server.url, model="flux", licence="CC0-1.0"), tmp_path)
        item = stage(build_item())
        again = stage(build_item())
    assert isinstance(item, Item) and [view.role for view in item.views] == ["reference", ""]
    first, second = server.requests  # and no third: the rest came from the cache
    assert first.path == "/v1/images/generations" and first.fields["response_format"] == "b64_json"
    assert first.fields["n"] == 1 and "sports car" in first.fields["prompt"]
    assert second.path == "/v1/images/edits" and second.fields["response_format"] == "b64_json"
    assert second.image is not None
    np.testing.assert_array_equal(open_photo(second.image).rgb, item.views[0].rgb)
    assert not np.array_equal(item.views[0].rgb, item.views[1].rgb)
    assert item.generated["views"] == "reference, second"
    assert item.generated["reference_prompt"] == first.fields["prompt"]
    assert item.rights == Rights(source="generated", licence="CC0-1.0")
    assert isinstance(again, Item)
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(item.views, again.views, strict=True))


def test_two_pictures_are_enough(tmp_path: Path) -> None:
    item = build_item(View("a", RGB), View("b", RGB))
    assert Generator(build_config("http://127.0.0.1:9/v1"), tmp_path)(item) is item


def test_a_rerun_pays_nothing_and_gives_the_same(tmp_path: Path) -> None:
    with serve_images(build_answer(seed=1), build_answer(seed=2)) as server:
        first = ask(server, tmp_path)
        again = ask(server, tmp_path)
        other = Generator(build_config(server.url), tmp_path)(build_item(View("a.jpg", RGB), name="two"))
    assert len(server.requests) == 2
    assert isinstance(first, Item) and isinstance(again, Item) and isinstance(other, Item)
    np.testing.assert_array_equal(first.views[1].rgb, again.views[1].rgb)
    assert first.generated == again.generated
    assert not np.array_equal(first.views[1].rgb, other.views[1].rgb)  # another item, another picture
    kept = sorted(path.suffix for path in tmp_path.iterdir() if path.name != ".budget.lock")
    assert kept == [".image", ".image"]


def test_a_damaged_answer_in_the_cache_is_asked_for_again(tmp_path: Path) -> None:
    with serve_images(build_answer()) as server:
        ask(server, tmp_path, budget=1)
        (kept,) = tmp_path.glob("*.image")
        kept.write_bytes(kept.read_bytes()[:50])
        assert isinstance(ask(server, tmp_path, budget=1), Item)
    assert len(server.requests) == 2


def test_the_budget_ends(tmp_path: Path) -> None:
    with serve_images(answer_by_content) as server:
        stage = Generator(build_config(server.url, budget=3), tmp_path)
        results = [stage(build_item(View("a", RGB), name=f"n{i}")) for i in range(5)]
        again = [stage(build_item(View("a", RGB), name=f"n{i}")) for i in range(5)]
        more = Generator(build_config(server.url, budget=4), tmp_path)(build_item(View("a", RGB), name="n4"))
    assert [isinstance(result, Item) for result in results] == [True, True, True, False, False]
    assert [isinstance(result, Item) for result in again] == [True, True, True, False, False]
    assert isinstance(results[3], Reject) and results[3].reason == "generator budget spent"
    assert not results[3].failed and isinstance(more, Item) and len(server.requests) == 4


def test_a_picture_that_was_asked_for_and_lost_counts_once(tmp_path: Path) -> None:
    """kill -9 between the request and its answer: the rerun asks again, within the budget."""
    with serve_images(answer_by_content) as server:
        stage = Generator(build_config(server.url, budget=1), tmp_path)
        digest = stage.client.get_digest(
            Ask("images/edits", "one", build_second_prompt(build_item(), "sports car"), RGB)
        )
        (tmp_path / f"{digest}.asked").touch()
        other = stage(build_item(View("a.jpg", RGB), name="two"))
        same = stage(build_item(View("a.jpg", RGB)))
    assert isinstance(other, Reject) and isinstance(same, Item) and len(server.requests) == 1


def test_processes_share_a_budget(tmp_path: Path) -> None:
    """FAULTS 25."""
    slow: Callable[[Any], Answer] = lambda request: replace(answer_by_content(request), wait_s=0.05)  # noqa: E731
    with serve_images(slow) as server:
        context = multiprocessing.get_context("fork")
        workers = [
            context.Process(target=spend, args=(build_config(server.url, budget=7), tmp_path, number))
            for number in range(2)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(server.requests) == 7 == len(list(tmp_path.glob("*.image")))
    assert not list(tmp_path.glob("*.asked"))


def spend(config: GenerateConfig, cache: Path, number: int) -> None:
    stage = Generator(config, cache)
    for i in range(6):
        stage(build_item(View("a", RGB), name=f"{number}-{i}"))


def test_nobody_takes_the_last_picture_twice(tmp_path: Path) -> None:
    """Another is about to take it: this one waits, then finds it taken."""
    client = ImageClient(build_config("http://127.0.0.1:9/v1", budget=1), tmp_path)
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(client._take(tmp_path / "late.image")))
    with open(tmp_path / ".budget.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and not list(tmp_path.glob("*.asked"))
        (tmp_path / "early.asked").touch()
    thread.join(10)
    assert taken == [False] and [path.name for path in tmp_path.glob("*.asked")] == ["early.asked"]


def test_answers_are_kept_by_all_that_was_asked(tmp_path: Path) -> None:
    config = build_config("http://127.0.0.1:9/v1")
    one = Ask("images/edits", "one", "a cat", RGB)
    asks = [
        one,
        replace(one, endpoint="images/generations"),
        replace(one, item="two"),
        replace(one, prompt="a dog"),
        replace(one, rgb=None),
        replace(one, rgb=255 - RGB),
        replace(one, rgb=RGB.reshape(56, 40, 3)),
    ]
    configs = [
        replace(config, model="other"),
        replace(config, size="1x1"),
        replace(config, url="http://[::1]/v1"),
    ]
    digests = [ImageClient(config, tmp_path).get_digest(ask) for ask in asks]
    digests += [ImageClient(other, tmp_path).get_digest(one) for other in configs]
    assert len(set(digests)) == len(digests) == 10
    slashed = replace(config, url=config.url + "/", budget=3, retries=9)
    assert ImageClient(slashed, tmp_path).get_digest(one) == digests[0]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """FAULTS 23."""
    (tmp_path / "file").write_text("")
    with serve_images(build_answer()) as server, pytest.raises(DataError, match="file"):
        ask(server, tmp_path / "file")
    assert not server.requests


def test_subjects_are_named_as_well_as_they_are_known() -> None:
    item = build_item()
    assert get_subject(replace(item, prompt="A photo of a red sports car.")) == "a red sports car"
    assert get_subject(item) == "sports car"
    assert get_subject(replace(item, subcategory="")) == get_subject(replace(item, subcategory=""))
    assert get_subject(replace(item, category="", subcategory="")) == "everyday object"


def test_prompts_differ_between_items_and_not_between_runs() -> None:
    prompts = [build_second_prompt(build_item(name=f"item {i}"), "car") for i in range(40)]
    assert len(set(prompts)) > 20
    assert prompts == [build_second_prompt(build_item(name=f"item {i}"), "car") for i in range(40)]
