"""Edits without a mask, and edits that a sentence asks for: what methods get, and what is measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from region_edits import make_edit, make_task
from small_cases import make_case

from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.config import EvalConfig, MethodConfig
from a2cli.evaluation.editing.edits import digest_task
from a2cli.evaluation.editing.gather import check_masks
from a2cli.evaluation.methods import build_method
from a2cli.evaluation.records.protocols import parse_protocol, parse_protocols
from a2cli.evaluation.records.tasks import build_shot, build_task


def test_free_gives_no_mask_and_measures_under_the_exact_one() -> None:
    case, free = make_edit(), parse_protocol("free", "8%")
    task = build_task(case, free, 0)
    assert task.mask is None and task.protocol == "free" and np.array_equal(task.source, case.source)
    assert np.array_equal(free.apply(case.mask, case.id), case.mask)
    assert free.describe()["kind"] == "free" and "no mask is given" in free.describe()["text"]
    assert digest_task(task, {}) != digest_task(make_task("fine"), {})


def test_free_is_no_part_of_all() -> None:
    assert [protocol.name for protocol in parse_protocols(["all"], "8%")] == ["fine", "rough", "box"]
    assert parse_protocols(["free", "box"], "8%")[0].gives_mask is False


def test_nothing_is_taken_out_of_the_photo_that_a_sentence_asks_to_edit() -> None:
    case, task = make_edit(), make_task("box")
    assert (
        np.array_equal(task.source, case.source)
        and task.mask is not None
        and task.mask.sum() > case.mask.sum()
    )
    shot = build_shot(case, task.mask, case.source)
    assert shot.source is not None and np.array_equal(shot.source, case.source)
    assert shot.exact is not None and np.array_equal(shot.exact, case.mask) and shot.region is None


def test_a_photo_that_is_its_own_target_cannot_be_edited_without_a_mask() -> None:
    with pytest.raises(DataError, match="case 0: no photo from before the edit, which free starts from"):
        build_task(make_case(0), parse_protocol("free", "8%"), 0)


@pytest.mark.parametrize("kind", ["mean", "telea", "paste"])
def test_methods_that_need_a_mask_say_so(kind: str) -> None:
    with pytest.raises(DataError, match="edit-0: no mask"):
        build_method(MethodConfig("row", kind=kind)).edit(make_task("free"))  # type: ignore[arg-type]


def test_a_run_with_such_methods_is_refused_before_any_work() -> None:
    free, box = parse_protocols(["free"], "8%"), parse_protocols(["box"], "8%")

    def check(method: MethodConfig, protocols: object = free) -> None:
        check_masks(EvalConfig(methods=(method,), out="o", run=True), protocols)  # type: ignore[arg-type]

    for method in (MethodConfig("row", localize="auto"), MethodConfig("best", kind="target")):
        check(method)
    for method in (
        MethodConfig("row"),
        MethodConfig("row", localize="mask"),
        MethodConfig("row", kind="paste"),
    ):
        check(method, box)
        with pytest.raises(ConfigError, match=r"methods\.row: free gives no mask, which it needs"):
            check(method)


def test_the_target_changes_what_must_change_and_nothing_else() -> None:
    from a2cli.metrics.leakage import get_leakage_values

    case = make_edit()
    assert case.target is not None
    values = get_leakage_values(build_shot(case, make_task("box").mask, case.target))  # type: ignore[arg-type]
    assert set(values.values()) == {0.0}
    spoilt = replace(case, mask=np.roll(case.mask, 20, axis=0))
    assert get_leakage_values(build_shot(spoilt, case.mask, case.target))["changed_outside"] > 0.5
