"""The two forms in which a vision-language model is asked over HTTP, and in which it answers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from a2cli.evaluation.judge.model import Words
from a2cli.evaluation.judge.questions import Ask, get_closing, get_schema
from a2cli.images.write import build_photo, encode_jpeg

MOST_TOKENS = 16384  # of an answer, what a model thinks to itself included: that alone may be thousands
DECLINED = frozenset({"SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_SAFETY"})
# What a server may not know, and the words by which it says so.
OPTIONS: dict[str, tuple[str, ...]] = {
    "form": (
        "response_format",
        "response format",
        "json_schema",
        "json schema",
        "json mode",
        "structured output",
        "responseschema",
        "response_schema",
        "responsemimetype",
        "response_mime_type",
    ),
    "temperature": ("temperature",),
    "seed": ("seed",),
    "limit": ("max_tokens", "max_completion_tokens", "maxoutputtokens", "max_output_tokens"),
}


@dataclass(frozen=True)
class Api:
    """`path` under the API's base for a model, the header of its key, and how bodies are built and read.

    `build` leaves out the options named; `read` gives None for a body that holds no message.
    """

    header: str
    path: Callable[[str], str]
    build: Callable[[str, Ask, int, frozenset[str]], dict[str, Any]]
    read: Callable[[Any], Words | None]


def encode_picture(rgb: np.ndarray) -> str:
    """A JPEG of quality 95, colour at full resolution, in base64: every server can read it."""
    return base64.b64encode(encode_jpeg(build_photo(rgb), rgb)).decode()


def find_refused_options(message: str) -> frozenset[str]:
    """Which options a server's complaint names."""
    message = message.lower()
    return frozenset(name for name, words in OPTIONS.items() if any(word in message for word in words))


def build_openai(model: str, ask: Ask, nudge: int, without: frozenset[str]) -> dict[str, Any]:
    """The body of chat/completions, pictures as data URIs."""
    content: list[dict[str, Any]] = []
    for part in (*ask.parts, get_closing(ask.question, nudge=nudge > 0)):
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        else:
            url = f"data:image/jpeg;base64,{encode_picture(part)}"
            content.append({"type": "image_url", "image_url": {"url": url}})
    form = {"name": ask.question.name, "strict": True, "schema": get_schema(ask.question)}
    options: dict[str, dict[str, Any]] = {
        "form": {"response_format": {"type": "json_schema", "json_schema": form}},
        "temperature": {"temperature": 0},
        "seed": {"seed": nudge},
        "limit": {"max_tokens": MOST_TOKENS},
    }
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": content}]}
    for name, fields in options.items():
        body |= {} if name in without else fields
    return body


def read_openai(value: Any) -> Words | None:
    """The words of a chat completion; None where it holds no message."""
    choice = _get(value, "choices", 0)
    if choice is None:
        return None
    tokens = _get_tokens(_get(value, "usage"), ("prompt_tokens",), ("completion_tokens",))
    refusal = _get(choice, "message", "refusal")
    if isinstance(refusal, str) and refusal:
        return Words("", tokens, refusal)
    if _get(choice, "finish_reason") == "content_filter":
        return Words("", tokens, "content_filter")
    content = _get(choice, "message", "content")
    if isinstance(content, list):
        content = "".join(str(_get(part, "text") or "") for part in content)
    cut = _get(choice, "finish_reason") == "length"
    return Words(content if isinstance(content, str) else "", tokens, cut=cut)


def build_gemini(model: str, ask: Ask, nudge: int, without: frozenset[str]) -> dict[str, Any]:
    """The body of generateContent, pictures as inline data."""
    parts: list[dict[str, Any]] = []
    for part in (*ask.parts, get_closing(ask.question, nudge=nudge > 0)):
        if isinstance(part, str):
            parts.append({"text": part})
        else:
            parts.append({"inlineData": {"mimeType": "image/jpeg", "data": encode_picture(part)}})
    options: dict[str, dict[str, Any]] = {
        "form": {
            "responseMimeType": "application/json",
            "responseSchema": _get_gemini_schema(get_schema(ask.question)),
        },
        "temperature": {"temperature": 0},
        "seed": {"seed": nudge},
        "limit": {"maxOutputTokens": MOST_TOKENS},
    }
    generation: dict[str, Any] = {}
    for name, fields in options.items():
        generation |= {} if name in without else fields
    return {"contents": [{"role": "user", "parts": parts}], "generationConfig": generation}


def read_gemini(value: Any) -> Words | None:
    """The words of a generateContent answer, its thoughts left out; None where it holds no candidate."""
    tokens = _get_tokens(
        _get(value, "usageMetadata"), ("promptTokenCount",), ("candidatesTokenCount", "thoughtsTokenCount")
    )
    blocked = _get(value, "promptFeedback", "blockReason")
    if isinstance(blocked, str) and blocked:
        return Words("", tokens, blocked)
    candidate = _get(value, "candidates", 0)
    if candidate is None:
        return None
    reason = _get(candidate, "finishReason")
    if reason in DECLINED:
        return Words("", tokens, str(reason))
    parts = _get(candidate, "content", "parts")
    texts = [part.get("text") for part in parts or () if isinstance(part, dict) and not part.get("thought")]
    words = "".join(text for text in texts if isinstance(text, str))
    return Words(words, tokens, cut=reason == "MAX_TOKENS")


def _get_gemini_path(model: str) -> str:
    return f"models/{quote(model.removeprefix('models/'), safe='')}:generateContent"


def _get_gemini_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema as Gemini writes it: types in capitals, the order of fields told, nothing about others."""
    properties = {
        name: {key: value.upper() if key == "type" else value for key, value in field.items()}
        for name, field in schema["properties"].items()
    }
    return {
        "type": "OBJECT",
        "properties": properties,
        "required": schema["required"],
        "propertyOrdering": schema["required"],
    }


def _get(value: Any, *path: str | int) -> Any:
    """What lies under a path of keys and indices in parsed JSON, None where there is no such thing."""
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _get_tokens(usage: Any, told: tuple[str, ...], said: tuple[str, ...]) -> tuple[int, int] | None:
    counts = [[_get(usage, name) for name in names] for names in (told, said)]
    if not all(_is_count(group[0]) for group in counts):
        return None
    return sum(filter(_is_count, counts[0])), sum(filter(_is_count, counts[1]))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


APIS: dict[str, Api] = {
    "openai": Api("Authorization", lambda model: "chat/completions", build_openai, read_openai),
    "gemini": Api("x-goog-api-key", _get_gemini_path, build_gemini, read_gemini),
}
