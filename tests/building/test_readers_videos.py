"""Videos: the right frames, upright, in true colours; damaged ones, play lists, cuts, clips."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from raw_folders import Frames, draw_picture, film, save, save_json, save_video

from a2cli.building.config import InputConfig
from a2cli.building.readers import list_inputs, load_item
from a2cli.building.readers.containers import Window
from a2cli.building.readers.decode import Timed
from a2cli.building.readers.frames import Sampler
from a2cli.building.readers.shots import find_cuts, find_longest, get_signature
from a2cli.building.records import Input, Item, Reject, View
from a2cli.errors import DataError


def read(path: Path, **more: Any) -> list[Item | Reject]:
    config = InputConfig(str(path), kind="videos", **more)
    return [load_item(one, config) if isinstance(one, Input) else one for one in list_inputs(config)]


def get_views(path: Path, **more: Any) -> tuple[View, ...]:
    (item,) = read(path, **more)
    assert isinstance(item, Item), item
    return item.views


def find_frame(rgb: np.ndarray, frames: Frames) -> int:
    """Which of the frames it is, and that it is like it."""
    errors = [float(np.abs(rgb.astype(int) - frame).mean()) for frame in frames]
    best = int(np.argmin(errors))
    assert errors[best] < 8, errors[best]
    return best


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.mp4", "libx264", "yuv444p"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.m4v", "libx264", "yuvj420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.mkv", "ffv1", "yuv420p12le"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
    ],
)
def test_frames_are_the_ones_asked_for(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    frames = film(20, step=4)
    save_video(tmp_path / name, frames, codec=codec, pixels=pixels)
    views = get_views(tmp_path, frames=4, neighbour_seconds=0.2)
    assert [view.time for view in views] == pytest.approx([0.2, 0.7, 1.2, 1.7], abs=0.051)
    for view in views:
        assert view.time is not None
        number = round(view.time * 10)
        assert find_frame(view.rgb, frames) == number
        assert [find_frame(rgb, frames) for rgb in view.neighbours] == [number - 2, number + 2]
        assert view.name == f"{name}@{view.time:.3f}"
        assert not view.given


def test_grey_and_palette_videos_become_rgb(tmp_path: Path) -> None:
    frames = [np.repeat(frame[..., :1], 3, axis=2) for frame in film(8, step=4)]
    save_video(tmp_path / "grey.mkv", frames, codec="ffv1", pixels="gray")
    for view in get_views(tmp_path, frames=3):
        assert np.ptp(view.rgb.astype(int), axis=2).max() == 0
        find_frame(view.rgb, frames)


@pytest.mark.parametrize("height", [64, 720])
def test_colours_survive_whichever_matrix_is_customary(tmp_path: Path, height: int) -> None:
    """A stream that names no matrix has BT.601 below 720 lines, BT.709 from there on."""
    colours = np.array([[[200, 30, 30], [30, 180, 40], [40, 50, 190], [220, 210, 60]]], np.uint8)
    chart = np.repeat(np.repeat(colours, height, axis=0), 16, axis=1)
    save_video(tmp_path / "plain.mkv", [chart] * 3, codec="ffv1", pixels="yuv444p")
    path = tmp_path / "named.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = chart.shape[1], height, "yuv444p"
        stream.codec_context.colorspace = 1  # BT.709
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(chart, format="rgb24").reformat(
                format="yuv444p", dst_colorspace="ITU709"
            )
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    named, plain = (item.views[0].rgb.astype(int) for item in read(tmp_path) if isinstance(item, Item))
    assert np.abs(named - chart).max() <= 3
    off = np.abs(plain - chart).max()  # it was written with BT.601 whatever its size
    assert (off <= 3) if height < 720 else (off > 10)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_turned_video_is_set_upright_fault_6(tmp_path: Path, degrees: int) -> None:
    upright = film(10, size=(64, 48), step=4)
    stored = [np.ascontiguousarray(np.rot90(frame, -degrees // 90)) for frame in upright]
    save_video(tmp_path / "a.mp4", stored, rotation=degrees)
    for view in get_views(tmp_path, frames=3):
        assert view.time is not None
        assert find_frame(view.rgb, upright) == round(view.time * 10)
        assert all(rgb.shape == view.rgb.shape for rgb in view.neighbours)


def test_pixels_that_are_not_square_and_large_frames(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4", film(6, size=(48, 64)), aspect=Fraction(2, 1))
    views = get_views(tmp_path, frames=2)
    assert views[0].rgb.shape == (48, 128, 3)
    views = get_views(tmp_path, frames=2, max_side=64)
    assert {rgb.shape for view in views for rgb in (view.rgb, *view.neighbours)} == {(24, 64, 3)}


def test_uneven_frame_times_are_kept(tmp_path: Path) -> None:
    frames = film(6, step=6)
    times = [0.0, 0.05, 0.1, 0.9, 1.0, 2.0]
    save_video(tmp_path / "a.mkv", frames, codec="libx264", times=times, options={"bf": "0"})
    views = get_views(tmp_path, frames=4)
    assert [view.time for view in views] == pytest.approx([0.1, 0.9, 1.0, 2.0], abs=0.002)
    for view in views:
        assert view.time is not None
        number = find_frame(view.rgb, frames)
        assert times[number] == pytest.approx(view.time, abs=0.002)
        around = [find_frame(rgb, frames) for rgb in view.neighbours]
        assert around == {2: [0, 3], 3: [2, 4], 4: [3, 5], 5: [4]}[number]


@pytest.mark.parametrize("gap", [0.1, 0.33, 5.0])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_the_sampler_finds_what_a_search_of_all_frames_finds(
    gap: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream's twin: every frame in memory."""
    monkeypatch.setattr("a2cli.building.readers.frames.develop", lambda picture, aspect, side: picture)
    rng = np.random.default_rng(count)
    times = np.cumsum(rng.choice([0.01, 0.04, 0.2, 1.0], count)).tolist()
    wanted = sorted(rng.uniform(-0.5, times[-1] + 0.5, 9).tolist())
    sampler = Sampler(wanted, gap, 64)
    for number, time in enumerate(times):
        sampler.add(Timed(number, time, number))
    found = [(shown.number, shown.rgb, list(shown.neighbours)) for shown in sampler.finish()]

    def nearest(time: float, numbers: range) -> list[int]:
        return [min(numbers, key=lambda n: (abs(times[n] - time), n))] if numbers else []

    expected = []
    for time in wanted:
        (best,) = nearest(time, range(count))
        before, after = (
            nearest(times[best] - gap, range(best)),
            nearest(times[best] + gap, range(best + 1, count)),
        )
        if best not in [number for number, _, _ in expected]:
            expected.append((best, best, before + after))
    assert found == expected


def test_a_long_stream_is_not_held_in_memory() -> None:
    held = []
    sampler = Sampler([50.0, 99.0], 0.1, 64)
    for number in range(3000):
        sampler.add(Timed(number, number / 30, av.VideoFrame(16, 16, "yuv420p")))
        held.append(len(sampler._held))
    assert [shown.number for shown in sampler.finish()] == [1500, 2970]
    assert max(held) <= 9


def test_long_videos_are_cut_into_clips_of_equal_length(tmp_path: Path) -> None:
    frames = film(50, step=4)
    save_video(tmp_path / "walk" / "a.mp4", frames, options={"g": "7"})
    save_json(tmp_path / "walk" / "a.json", {"subcategory": "dog", "licence": "CC0-1.0", "author": "Ann"})
    items = read(tmp_path, clip_seconds=2.0, frames=3, licence="MIT", category="animals")
    assert [item.id for item in items] == ["walk/a", "walk/a#2", "walk/a#3"]
    for place, item in enumerate(items):
        assert isinstance(item, Item)
        assert (item.group, item.category, item.subcategory) == ("walk/a", "animals", "dog")
        assert (item.rights.licence, item.rights.author) == ("CC0-1.0", "Ann")
        for view in item.views:
            assert view.time is not None
            assert place * 5 / 3 <= view.time < (place + 1) * 5 / 3
            assert find_frame(view.rgb, frames) == round(view.time * 10)


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4", film(30, step=3), codec="libx264")
    one, two = (get_views(tmp_path, frames=5) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.rgb, b.rgb)
        assert all(np.array_equal(x, y) for x, y in zip(a.neighbours, b.neighbours, strict=True))


def test_views_and_neighbours_never_straddle_a_cut(tmp_path: Path) -> None:
    frames = [*film(12, seed=1), *film(22, seed=2), *film(6, seed=3)]
    save_video(tmp_path / "a.mp4", frames)
    (item,) = read(tmp_path, frames=8, neighbour_seconds=0.3)
    assert isinstance(item, Item)
    assert len(item.views) == 8 - item.dropped["another shot"] >= 4
    for view in item.views:
        for rgb in (view.rgb, *view.neighbours):
            assert 12 <= find_frame(rgb, frames) < 34


def sign(frames: Frames) -> list[np.ndarray]:
    return [get_signature(frame) for frame in frames]


def test_cuts_are_told_from_pans_flicker_and_flashes() -> None:
    calm = film(20, seed=4)
    assert find_cuts(sign([*calm, *film(20, seed=5), *film(9, seed=6)])) == [20, 40]
    assert find_cuts(sign(film(25, seed=7, step=20))) == []
    rng = np.random.default_rng(0)
    flicker = [np.clip(frame * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8) for frame in calm]
    assert find_cuts(sign(flicker)) == []
    flash = [frame // 4 + 190 if 9 <= number < 11 else frame for number, frame in enumerate(calm)]
    assert find_cuts(sign(flash)) == []
    assert find_cuts(sign(calm[:1])) == find_cuts([]) == []


def test_the_longest_shot_is_the_longest_in_time() -> None:
    assert find_longest([0, 1, 2, 10, 30], [3]) == (3, 5)
    assert find_longest([0, 1, 2, 3], [2]) == (0, 2)
    assert find_longest([5.0], []) == (0, 1)


def test_a_truncated_video_gives_what_decodes_fault_2(tmp_path: Path) -> None:
    frames = film(40, step=3)
    whole = save_video(tmp_path / "a.mp4", frames, container={"movflags": "faststart"}, options={"g": "5"})
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) * 2 // 3])
    first, second = read(tmp_path, frames=8, clip_seconds=2)
    assert isinstance(first, Item) and len(first.views) == 8
    assert isinstance(second, Item) and 2 <= len(second.views) < 8
    for view in (*first.views, *second.views):
        assert view.time is not None
        assert find_frame(view.rgb, frames) == round(view.time * 10)
    whole.write_bytes(data[: len(data) // 3])
    second = read(tmp_path, frames=8, clip_seconds=2)[1]
    assert isinstance(second, Reject) and second.reason == "damaged video"


def test_a_damaged_middle_costs_its_frames_only(tmp_path: Path) -> None:
    frames = film(40, step=3)
    path = save_video(tmp_path / "a.mkv", frames, codec="libx264", options={"g": "4", "bf": "0"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = np.random.default_rng(0).bytes(600)
    path.write_bytes(bytes(data))
    views = get_views(tmp_path, frames=10)
    assert len(views) >= 5
    good = [
        view
        for view in views
        if view.time is not None and np.abs(view.rgb.astype(int) - frames[round(view.time * 10)]).mean() < 8
    ]
    assert len(good) >= len(views) - 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a video"),
        (b"hello", "not a video"),
        (b"#EXTM3U\nfile:///etc/hostname\n", "not a video"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "not a video"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(200), "damaged video"),
        (b"\x1aE\xdf\xa3" + bytes(200), "damaged video"),
    ],
)
def test_what_is_no_video_is_a_reject_fault_1(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.mp4").write_bytes(data)
    save_video(tmp_path / "b.mp4", film(4))
    bad, good = read(tmp_path, frames=2)
    assert isinstance(bad, Reject) and (bad.id, bad.reason, bad.stage) == ("a", reason, "read")
    assert bad.detail.startswith("a.mp4: ")
    assert isinstance(good, Item)


def test_a_picture_called_mp4_and_a_video_without_its_index(tmp_path: Path) -> None:
    save(tmp_path / "a.mp4", draw_picture(), format="PNG")
    whole = save_video(tmp_path / "b.mp4", film(30))
    whole.write_bytes(whole.read_bytes()[:-400])  # the index stands last
    picture, headless = read(tmp_path)
    assert isinstance(picture, Reject) and picture.reason == "not a video"
    assert isinstance(headless, Reject) and headless.reason == "damaged video"


def test_one_frame_is_too_few(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4", film(1))
    (reject,) = read(tmp_path)
    assert isinstance(reject, Reject) and reject.reason == "too few frames"


def test_hdr_video_is_refused_rather_than_washed_out(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.codec_context.color_trc = 16  # SMPTE ST 2084, PQ
        for rgb in film(4):
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                file.mux(packet)
        file.mux(stream.encode())
    (reject,) = read(tmp_path)
    assert isinstance(reject, Reject) and reject.reason == "HDR video"


def test_boxes_of_a_video_are_refused(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4", film(4))
    save_json(tmp_path / "a.json", {"boxes": [[1, 2, 3, 4]]})
    (reject,) = read(tmp_path)
    assert isinstance(reject, Reject) and "boxes of a video" in reject.detail


def test_a_header_that_lies_about_the_length_is_measured(tmp_path: Path) -> None:
    path = save_video(tmp_path / "a.mkv", film(20))
    data = path.read_bytes()
    with av.open(str(path)) as file:
        assert file.duration == 2_000_000
    place = data.index(b"\x44\x89\x88") + 3  # Duration, a float64 in ms
    for claimed in (1e12, 0.0):
        path.write_bytes(data[:place] + np.array(claimed, ">f8").tobytes() + data[place + 8 :])
        (item,) = read(tmp_path, frames=4)
        assert isinstance(item, Item)
        assert [view.time for view in item.views] == pytest.approx([0.25, 0.75, 1.25, 1.75], abs=0.06)


def test_a_missing_pyav_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_video(tmp_path / "a.mp4", film(4))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"PyAV is not installed \(pip install 'a2cli\[dataset\]'\)"):
        read(tmp_path)


def test_a_window_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    with open(tmp_path / "a", "rb") as file:
        window = Window(file, 3, 4)
        assert (window.read(2), window.tell(), window.read(), window.read(1)) == (b"34", 2, b"56", b"")
        assert window.seek(-1, 2) == 3 and window.read(9) == b"6"
        assert window.seek(1) == 1 and window.seek(1, 1) == 2 and window.read() == b"56"
