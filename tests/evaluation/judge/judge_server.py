"""Judges on loopback that look at the pictures they are sent, and edits to show them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from api_server import Answer, ApiServer, Request

from a2cli.evaluation.config import JudgeConfig
from a2cli.evaluation.judge.opening import Judge, open_judge
from a2cli.images.read import open_photo
from a2cli.metrics.shots import Shot

MARKS = {"boundary_quality": 80, "visual_realism": 70, "local_consistency": 60}
Said = dict[str, Any] | str


def build_shot(level: int = 120, *, id: str = "one", side: int = 64, **changes: Any) -> Shot:
    """An edit whose region is of one grey level, in a photo of noise; reference and prompt are there."""
    rng = np.random.default_rng(5)
    source = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    edited = source.copy()
    edited[mask] = level
    ref = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    ref_mask = np.zeros((40, 48), bool)
    ref_mask[10:30, 12:36] = True
    shot = Shot(id, edited, mask, source, ref_rgb=ref, ref_mask=ref_mask, prompt="make it grey")
    return replace(shot, **changes)


def build_shots(n: int) -> list[Shot]:
    return [build_shot(10 + 9 * i, id=f"n{i}") for i in range(n)]


def open_on(server: ApiServer, cache: Path, **options: Any) -> Judge:
    settings: dict[str, Any] = {
        "key_variable": "A2_NO_KEY",
        "timeout_s": 5.0,
        "swap": 0.0,
        "workers": 1,
        "max_side": 128,
    }
    settings |= {"model": "judge-1", "url": server.url, "retries": 2, **options}
    return open_judge(JudgeConfig(**settings), cache)


def say(said: Said, *, tokens: tuple[int, int] | None = (1000, 20), **choice: Any) -> Answer:
    """A chat completion of status 200."""
    text = said if isinstance(said, str) else json.dumps(said)
    value: dict[str, Any] = {"choices": [{"message": {"content": text}, "finish_reason": "stop", **choice}]}
    if tokens:
        value["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return Answer(json.dumps(value).encode())


def say_gemini(said: Said, **candidate: Any) -> Answer:
    """A generateContent answer of status 200, with a thought before it."""
    text = said if isinstance(said, str) else json.dumps(said)
    parts = [{"text": '{"boundary_quality": 1}', "thought": True}, {"text": text}]
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 20, "thoughtsTokenCount": 7}
    value = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP", **candidate}]}
    return Answer(json.dumps(value | {"usageMetadata": usage}).encode())


def get_message(request: Request) -> list[str | np.ndarray]:
    """Words and pictures of a call, of either API, in their order."""
    if "contents" in request.fields:
        parts = request.fields["contents"][0]["parts"]
        return [part["text"] if "text" in part else _open(part["inlineData"]["data"]) for part in parts]
    (message,) = request.fields["messages"]
    assert message["role"] == "user"
    found: list[str | np.ndarray] = []
    for part in message["content"]:
        if part["type"] == "text":
            found.append(part["text"])
        else:
            kind, _, data = part["image_url"]["url"].partition(",")
            assert kind == "data:image/jpeg;base64"
            found.append(_open(data))
    return found


def get_shown(request: Request) -> dict[str, np.ndarray]:
    """The pictures of a call by the beginning of their captions, in their order."""
    message = get_message(request)
    return {
        re.split(r"[.:]", str(before))[0]: picture
        for before, picture in pairwise(message)
        if isinstance(picture, np.ndarray)
    }


def mark_by_level(bias: float = 0.0) -> Callable[[Request], Answer]:
    """A judge whose marks follow the grey level of the edited region; `bias` more where the edit comes first."""

    def answer(request: Request) -> Answer:
        shown = get_shown(request)
        level = float(get_middle(shown["A close-up of the edited region and what surrounds it"]))
        first = next(iter(shown)) == "The edited photo"
        mark = round(10 + level / 4 + (bias if first else 0), 2)
        return say(dict.fromkeys(MARKS, mark))

    return answer


def prefer_by_level(
    takes_first: Callable[[float], bool] = lambda difference: False,
) -> Callable[[Request], Answer]:
    """A judge who prefers the brighter edit, but takes the first where `takes_first` of their difference says so."""

    def answer(request: Request) -> Answer:
        shown = get_shown(request)
        first, second = (
            get_middle(shown[f"A close-up of the {name} edit's region"]) for name in ("first", "second")
        )
        if takes_first(abs(first - second)):
            return say({"better": "first"})
        same = abs(first - second) < 3
        return say({"better": "same" if same else "first" if first > second else "second"})

    return answer


def get_middle(rgb: np.ndarray) -> float:
    height, width = rgb.shape[:2]
    return float(rgb[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5].mean())


def _open(data: str) -> np.ndarray:
    return open_photo(base64.b64decode(data, validate=True)).rgb
