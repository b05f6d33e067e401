"""An images API on loopback, and what is asked of it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from api_server import Answer, ApiServer, Request, serve_api

from a2cli.building.config import GenerateConfig
from a2cli.building.generate import Generator
from a2cli.building.records import Item, Reject, View
from a2cli.images.write import build_photo, encode_png

ImageServer = ApiServer
serve_images = serve_api
RGB = np.random.default_rng(3).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def build_answer(*, size: tuple[int, int] = (64, 64), seed: int = 0) -> Answer:
    """A good answer: a picture of `size` (H, W) as the API gives it."""
    return Answer(json.dumps({"created": 1, "data": [{"b64_json": encode_picture(size, seed)}]}).encode())


def encode_picture(size: tuple[int, int] = (64, 64), seed: int = 0) -> str:
    rgb = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return base64.b64encode(encode_png(build_photo(rgb), rgb)).decode()


def answer_by_content(request: Request) -> Answer:
    """A picture that depends on what was asked, as a real server's would."""
    asked = (request.fields["prompt"] + str(len(request.image or b""))).encode()
    return build_answer(seed=int.from_bytes(asked[-8:], "big"))


def build_config(url: str, **options: Any) -> GenerateConfig:
    settings: dict[str, Any] = {"size": "64x64", "retries": 2, "timeout_s": 5.0, "key_variable": "A2_NO_KEY"}
    settings.update(options)
    return GenerateConfig(url, **settings)


def build_item(*views: View, name: str = "one", **options: Any) -> Item:
    return Item(name, name, views, category="vehicles", subcategory="sports car", **options)


def ask(server: ImageServer, cache: Path, **options: Any) -> Item | Reject:
    """Complete an item of one picture."""
    stage = Generator(build_config(server.url, **options), cache)
    return stage(build_item(View("a.jpg", RGB)))
