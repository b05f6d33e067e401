"""What an edit is measured by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from a2cli.errors import DataError
from a2cli.metrics.shots import GREY, Shot, get_part, get_view

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8)
MASK = np.zeros((9, 12), bool)
MASK[2:6, 3:9] = True
MASK[2, 3] = False


def test_parts_of_values() -> None:
    assert get_part(PHOTO, MASK, "image") is PHOTO
    assert np.array_equal(get_part(PHOTO, MASK, "crop"), PHOTO[2:6, 3:9])
    assert np.array_equal(
        get_part(PHOTO, MASK, "mask"), [PHOTO[at] for at in zip(*np.nonzero(MASK), strict=True)]
    )
    assert get_part(PHOTO[..., 0], MASK, "mask").shape == (23,)


def test_the_photo_is_known_as_a_method_got_it() -> None:
    shot = Shot("x", PHOTO, MASK, PHOTO, prompt=" a thing ")
    assert shot.given is PHOTO and shot.request == "a thing"
    shot = replace(shot, hole=True, instruction="put it there")
    assert shot.given is not None and shot.request == "put it there"
    assert (shot.given[MASK] == GREY).all() and np.array_equal(shot.given[~MASK], PHOTO[~MASK])
    assert replace(shot, source=None).given is None


def test_views_of_a_picture() -> None:
    view = get_view(PHOTO, MASK, "mask")
    assert view.shape == (4, 6, 3) and (view[0, 0] == GREY).all()
    assert np.array_equal(view[1:], PHOTO[3:6, 3:9])
    assert np.array_equal(get_view(PHOTO, None, "crop"), PHOTO)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": PHOTO[:-1]}, "x: the edit is 12 x 9, the source 12 x 8"),
        ({"target": PHOTO[:, :-1]}, "x: the edit is 12 x 9, the target 11 x 9"),
        ({"edited": PHOTO / 255}, "x: the edit is float64"),
        ({"ref_rgb": PHOTO[..., 0]}, "x: the reference is uint8"),
        ({"mask": MASK[:-1]}, "x: the mask is bool 12 x 8, its picture 12 x 9"),
        ({"mask": MASK.astype(np.uint8)}, "x: the mask is uint8"),
        ({"mask": ~MASK & MASK}, "x: the mask is empty"),
        ({"ref_rgb": PHOTO, "ref_mask": MASK[:, 1:]}, "x: the reference's mask is bool 11 x 9"),
        ({"ref_rgb": PHOTO, "ref_mask": ~MASK & MASK}, "x: the reference's mask is empty"),
        ({"ref_mask": MASK}, "x: the reference's mask is there, its picture is not"),
    ],
)
def test_what_does_not_belong_together_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        Shot(**({"id": "x", "edited": PHOTO, "mask": MASK} | change))
    assert said in str(caught.value)
