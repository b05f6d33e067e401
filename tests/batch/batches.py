"""What the tests of batches share: a folder of small photos, some broken, and batches over it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from edits import make_reference
from pictures import encode, make_scene

from a2cli.batch.run import run_batch
from a2cli.batch.worker import Outcome
from a2cli.config.batch import BatchConfig
from a2cli.config.edit import EditConfig

BOX = "box:20,12,38,26"
DAMAGES = (b"", b"no picture at all", encode(make_scene(), "PNG")[:900])


class Catalogue:
    """Photos in `folder / "photos"`, mirrored into `folder / "out"`."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.photos, self.out = folder / "photos", folder / "out"
        self.photos.mkdir()
        self.ref = folder / "cat.png"
        self.ref.write_bytes(encode(make_reference(), "PNG"))

    def add(self, count: int, bad: int = 0) -> None:
        """Photos 000.png and on, each its own scene; the first `bad` odd ones cannot be read."""
        for i in range(count):
            data = DAMAGES[i // 2 % 3] if i % 2 and i // 2 < bad else encode(make_scene(seed=i), "PNG")
            (self.photos / f"{i:04d}.png").write_bytes(data)

    def build(self, out: str = "out/", **changes: Any) -> EditConfig:
        """The settings of a batch; those of BatchConfig among the changes are told apart."""
        batch = {
            name: changes.pop(name) for name in list(changes) if name in BatchConfig.__dataclass_fields__
        }
        fields: dict[str, Any] = {"sources": ("photos",), "refs": ("cat.png",), "mask": BOX, "out": out}
        fields |= {"model": str(self.model), "adapter": ("none",), "device": "cpu", "steps": 1}
        return EditConfig(**fields | changes, batch=BatchConfig(**batch))

    def run(self, **changes: Any) -> list[Outcome]:
        return list(self.start(**changes))

    def start(self, **changes: Any) -> Iterator[Outcome]:
        with closing(run_batch(self.build(**changes), lambda: b"")) as outcomes:
            yield from outcomes

    def read(self, name: str, out: str = "out") -> list[dict[str, Any]]:
        """The rows of a file of records; none where there is no file."""
        path = self.folder / out / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def read_outputs(self, out: str = "out") -> dict[str, bytes]:
        """Every file below a folder of outputs but the records."""
        files = (p for p in (self.folder / out).rglob("*") if p.is_file() and p.suffix != ".jsonl")
        return {str(p.relative_to(self.folder / out)): p.read_bytes() for p in files}
