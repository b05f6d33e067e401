"""A folder of videos, long ones cut into clips, each of which is an item."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from a2cli.building.config import InputConfig
from a2cli.building.readers.about import About
from a2cli.building.readers.containers import load_duration
from a2cli.building.readers.frames import load_clip
from a2cli.building.readers.parts import Blob, build_any, number_id
from a2cli.building.readers.rejects import Unfit, build_reject, get_cause
from a2cli.building.readers.sidecars import get_blob, load_about
from a2cli.building.readers.walk import VIDEOS, get_ids, get_suffix, walk
from a2cli.building.records import Input, Kind, Reject, View


def list_videos(root: Path, config: InputConfig, only: str | None = None) -> Iterator[Input | Reject]:
    """The clips of every video below `root`, or of `only` that one in it; `NAME.json` beside it tells of it."""
    for folder in walk(root, lambda folder: folder.folders if only is None else ()):
        if isinstance(folder, Reject):
            yield folder
            continue
        names = [name for name in folder.files if get_suffix(name) in VIDEOS and only in (None, name)]
        ids = get_ids(folder.label, names)
        for name in names:
            try:
                blob, about = get_blob(folder, name), load_about(folder, name)
            except Unfit as error:
                yield build_reject(ids[name], error)
                continue
            yield from list_clips(ids[name], blob, about, config, "videos", root)


def list_clips(
    id: str, blob: Blob, about: About, config: InputConfig, kind: Kind, root: Path
) -> Iterator[Input | Reject]:
    """The clips of one video, of equal length and at most `config.clip_seconds` each: `id`, `id#2`, ...; one group.

    A video that cannot be opened is one reject.
    """
    try:
        if about.boxes:
            raise Unfit("bad record", f"{blob.name}: boxes of a video", hint="boxes are for pictures")
        duration = load_duration(blob, root)
    except Unfit as error:
        yield build_reject(id, error)
        return
    except OSError as error:
        yield build_reject(id, Unfit("unreadable file", f"{blob.name}: cannot be read: {get_cause(error)}"))
        return
    about = about if about.group else About(**{**vars(about), "group": id})
    count = max(math.ceil(duration / config.clip_seconds - 1e-3), 1)
    for number in range(count):
        span = [duration * number / count, duration * (number + 1) / count]
        more = {"video": asdict(blob), "span": span}
        yield build_any(number_id(id, number + 1), [blob], about, config, kind, more)


def load_video(one: Input, config: InputConfig, root: Path) -> tuple[list[View], dict[str, int]]:
    """The views of a clip, and what was left out of it, by reason. Raises `Unfit` as `load_clip` does."""
    blob = Blob(**one.more["video"])
    start, stop = one.more["span"]
    shown, dropped = load_clip(
        blob, root, (start, stop), count=config.frames, gap=config.neighbour_seconds, max_side=config.max_side
    )
    views = [
        View(
            f"{blob.name}@{frame.time:.3f}",
            frame.rgb,
            time=frame.time,
            neighbours=tuple(frame.neighbours.values()),
        )
        for frame in shown
    ]
    return views, dropped
