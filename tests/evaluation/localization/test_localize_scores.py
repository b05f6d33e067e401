"""Values of maps and regions whose truth is known, and the naive formulas."""

from __future__ import annotations

import numpy as np

from a2cli.evaluation.localization.scores import WORDS, get_pointing, get_scores

TRUTH = np.zeros((12, 16), bool)
TRUTH[3:7, 4:12] = True  # 32 of 192


def test_the_truth_itself_scores_full() -> None:
    scores = get_scores(TRUTH.astype(np.float32), TRUTH, TRUTH)
    assert (
        scores == {"iou": 1, "found": 1, "pointing": 1, "size": 1, "auc": 1} and scores.keys() == WORDS.keys()
    )


def test_its_opposite_scores_nothing() -> None:
    scores = get_scores((~TRUTH).astype(np.float32), ~TRUTH, TRUTH)
    assert scores == {"iou": 0, "found": 0, "pointing": 0, "size": 5, "auc": 0}


def test_the_whole_picture_scores_chance() -> None:
    flat = np.ones(TRUTH.shape, np.float32)
    scores = get_scores(flat, flat > 0, TRUTH)
    share = TRUTH.mean()
    assert scores == {"iou": share, "found": 0, "pointing": share, "size": 1 / share, "auc": 0.5}


def test_half_of_it_is_just_found() -> None:
    half = TRUTH.copy()
    half[5:] = False
    assert get_scores(half.astype(float), half, TRUTH)["found"] == 1
    half[4, 4] = False
    assert get_scores(half.astype(float), half, TRUTH)["found"] == 0


def test_a_peak_shared_by_two_places_counts_by_half() -> None:
    soft = np.zeros(TRUTH.shape)
    soft[4, 5] = soft[0, 0] = 3
    assert get_pointing(soft, TRUTH) == 0.5


def test_a_thing_that_fills_the_picture_has_no_rest() -> None:
    whole = np.ones(TRUTH.shape, bool)
    assert "auc" not in get_scores(TRUTH.astype(float), TRUTH, whole)
