"""Raw inputs for the dataset builder: pictures with known subjects, videos of every awkward kind, archives; and how
they are read."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from a2cli.building.config import InputConfig
from a2cli.building.readers import list_inputs, load_item
from a2cli.building.records import Input, Item, Kind, Reject

Frames = Sequence[np.ndarray]


def draw_picture(seed: int = 0, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """(H, W, 3) uint8: soft random blotches, another picture for every seed, and no two corners alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)).astype(int)
    return np.clip(soft + rng.integers(-8, 9, (*size, 3)), 0, 255).astype(np.uint8)


def draw_mask(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """(H, W) bool: a box left of the middle, in the upper half."""
    mask = np.zeros(size, bool)
    mask[size[0] // 8 : size[0] // 2, size[1] // 8 : size[1] // 2] = True
    return mask


def save(path: Path, samples: np.ndarray, **options: Any) -> Path:
    """Write a picture; bool becomes black and white. The suffix picks the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(samples.astype(np.uint8) * 255 if samples.dtype == bool else samples).save(
        path, **options
    )
    return path


def save_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def save_lines(path: Path, values: Sequence[Any]) -> Path:
    """A JSONL file; text stands as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def encode(samples: np.ndarray, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples.astype(np.uint8) * 255 if samples.dtype == bool else samples).save(file, format)
    return file.getvalue()


def film(count: int, seed: int = 0, size: tuple[int, int] = (48, 64), step: int = 1) -> list[np.ndarray]:
    """A camera that pans over one large picture, `step` px a frame."""
    wide = draw_picture(seed, (size[0], size[1] + step * count))
    return [np.ascontiguousarray(wide[:, step * n : step * n + size[1]]) for n in range(count)]


def save_video(
    path: Path,
    frames: Frames,
    *,
    rate: int = 10,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    times: Sequence[float] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
    quality: int = 2_000_000,
) -> Path:
    """Encode frames at `rate` a second, or at `times` in s; `rotation` degrees counter-clockwise put a player right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    base = Fraction(1, 1000) if times is not None else Fraction(1, rate)
    with av.open(str(path), "w", container_options=dict(container or {})) as file:
        stream = file.add_stream(codec, rate=1000 if times is not None else rate, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, pixels, quality
        stream.codec_context.time_base = base
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for number, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts = number if times is None else round(times[number] * 1000)
            frame.time_base = base
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path


def save_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    """An archive of files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def read(path: Path, kind: Kind | None = None, **more: object) -> tuple[list[Input], list[Reject]]:
    """What a source lists, after a way through JSON as a plan keeps it; ids are unique and printable."""
    config = InputConfig(str(path), kind=kind, **more)  # type: ignore[arg-type]
    found = list(list_inputs(config))
    inputs = [
        replace(one, more=json.loads(json.dumps(asdict(one)))["more"])
        for one in found
        if isinstance(one, Input)
    ]
    ids = [one.id for one in found]
    assert len(set(ids)) == len(ids)
    assert all(id.isprintable() for id in ids)
    return inputs, [one for one in found if isinstance(one, Reject)]


def load(one: Input, path: Path, **more: object) -> Item:
    item = load_item(one, InputConfig(str(path), **more))  # type: ignore[arg-type]
    assert isinstance(item, Item), item
    return item


def load_bad(one: Input, path: Path) -> Reject:
    reject = load_item(one, InputConfig(str(path)))
    assert isinstance(reject, Reject)
    assert reject.stage == "read"
    assert "\n" not in reject.detail
    return reject
