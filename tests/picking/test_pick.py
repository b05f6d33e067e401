"""`--pick` around its page: what is refused before it opens, how one gets there, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_photos import make_map
from PIL import Image

from a2cli.config.batch import BatchConfig
from a2cli.config.edit import EditConfig
from a2cli.errors import A2Error, DataError
from a2cli.images.write import save_mask
from a2cli.masks.read import read_mask
from a2cli.picking.browser import describe_way, get_tunnel_line, has_display
from a2cli.picking.pick import pick_mask
from a2cli.picking.resolve import get_mask_path, resolve_pick

URL = "http://127.0.0.1:4321/token/"


def post(url: str, where: str, marks: object) -> None:
    body = json.dumps({"marks": marks}).encode()
    request = urllib.request.Request(url + where, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


class Hand:
    """Takes the address from what is shown, and sends marks there in place of a browser."""

    def __init__(self, where: str, *marks: object) -> None:
        self.said: list[str] = []
        self.where, self.marks = where, marks

    def __call__(self, line: str) -> None:
        self.said.append(line)
        if "http://" in line:
            threading.Thread(target=post, args=(line.split()[-1], self.where, self.marks)).start()


@pytest.fixture
def config(tmp_path: Path) -> EditConfig:
    source, ref = make_map(tmp_path / "map.png", 60, 40), make_map(tmp_path / "ref.png", 16, 16)
    return EditConfig(sources=(str(source),), refs=(str(ref),))


BOX = {"kind": "box", "erase": False, "points": [10, 20, 40, 30]}


def test_the_mask_lies_beside_the_photo_and_the_edit_has_it(config: EditConfig, tmp_path: Path) -> None:
    hand = Hand("mask", BOX)
    picked = resolve_pick(config, open_browser=False, show=hand)
    assert picked == replace(config, mask=str(tmp_path / "map.mask.png"))
    mask = read_mask(str(picked.mask), (40, 60))
    assert mask[20:30, 10:40].all() and mask.sum() == 300
    with Image.open(str(picked.mask)) as image:
        assert (image.mode, image.format, image.size) == ("L", "PNG", (60, 40))
    erase = {"kind": "box", "erase": True, "points": [0, 0, 20, 40]}
    again = resolve_pick(config, open_browser=False, show=Hand("mask", erase))
    assert read_mask(str(again.mask), (40, 60)).sum() == 200  # it went on from what was there


def test_a_soft_mask_keeps_its_greys_where_nothing_is_drawn(config: EditConfig, tmp_path: Path) -> None:
    soft = np.linspace(0, 1, 60, dtype=np.float32)[None].repeat(40, axis=0)
    save_mask(soft, tmp_path / "soft.png")
    named = replace(config, mask=str(tmp_path / "soft.png"))
    resolve_pick(named, open_browser=False, show=Hand("mask", BOX))
    after = read_mask(tmp_path / "soft.png", (40, 60))
    soft[20:30, 10:40] = 1
    np.testing.assert_allclose(after, soft, atol=0.5 / 255 + 1e-6)


def test_upright_as_it_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 24), "grey").save(tmp_path / "turned.jpg", exif=exif)
    pick_mask(
        tmp_path / "turned.jpg", tmp_path / "m.png", show=Hand("mask", {**BOX, "points": [0, 30, 24, 40]})
    )
    mask = read_mask(tmp_path / "m.png", (40, 24))
    assert mask.sum() == 240 and mask[30:].all()


def test_cancelled_on_the_page(config: EditConfig, tmp_path: Path) -> None:
    hand = Hand("cancel")
    with pytest.raises(KeyboardInterrupt):
        resolve_pick(config, open_browser=False, show=hand)
    assert hand.said[-1] == "cancelled on the page, no mask is saved"
    assert not (tmp_path / "map.mask.png").exists()


def test_nobody_came(config: EditConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"map\.png: no mask was saved within 0\.1 s"):
        pick_mask(config.sources[0], tmp_path / "m.png", show=print, open_browser=False, timeout_s=0.1)


def test_refused_before_a_page_opens(config: EditConfig, tmp_path: Path) -> None:
    said: list[str] = []
    make_map(tmp_path / "other.png", 9, 9)
    (tmp_path / "text.png").write_text("no picture")
    hole = Image.new("RGBA", (60, 40), (9, 9, 9, 255))
    hole.putpixel((3, 3), (0, 0, 0, 0))
    hole.save(tmp_path / "hole.png")
    save_mask(np.ones((9, 9)), tmp_path / "small.png")
    url = "https://example.com/cat.jpg"
    for change, message in (
        ({"sources": ()}, "--pick marks one photo"),
        ({"sources": (*config.sources, "b.png")}, "--pick marks one photo"),
        ({"batch": BatchConfig(manifest="jobs.jsonl")}, "--pick marks one photo"),
        ({"sources": ("-",)}, "-: --pick marks a photo that is a file"),
        ({"sources": (str(tmp_path),)}, "--pick marks a photo that is a file"),
        ({"sources": (url,), "allow_urls": True}, "--pick marks a photo that is a file"),
        ({"mask": "box:1,2,3,4"}, "with --pick, --mask is the file"),
        ({"mask": str(tmp_path)}, "with --pick, --mask is the file"),
        ({"mask": "mask.jpg"}, "mask.jpg: the mask is saved as PNG"),
        ({"mask": str(tmp_path / "none" / "m.png")}, "none: no such folder"),
        ({"mask": str(tmp_path / "other.png")}, "other.png: is there and is no mask of this photo"),
        ({"mask": str(tmp_path / "text.png")}, "text.png: is there and is no mask of this photo"),
        ({"mask": str(tmp_path / "small.png")}, "the mask is 9 x 9, the source is 60 x 40"),
        ({"mask": str(tmp_path / "hole.png")}, "hole.png: is there and is no plain mask; it is not replaced"),
        ({"mask": config.sources[0]}, "map.png: the mask would replace an input"),
        ({"refs": (str(tmp_path / "text.png"),)}, "text.png: not a picture"),
        ({"refs": (str(tmp_path / "gone.png"),)}, "gone.png: no such file"),
        ({"out": str(tmp_path / "gone" / "out.png")}, "gone: no such folder"),
        ({"localize": "attention", "prompt": "the cup"}, "--mask says where to edit"),
        ({"dry_run": True}, "map.mask.png: not marked yet"),
    ):  # fmt: skip
        with pytest.raises(A2Error) as caught:
            resolve_pick(replace(config, **change), open_browser=False, show=said.append)
        assert message in str(caught.value)
    assert said == []
    assert Image.open(tmp_path / "hole.png").mode == "RGBA"


def test_a_dry_run_takes_the_mask_that_is_there(config: EditConfig, tmp_path: Path) -> None:
    save_mask(np.ones((40, 60)), tmp_path / "map.mask.png")
    assert resolve_pick(replace(config, dry_run=True), show=pytest.fail).mask == str(
        tmp_path / "map.mask.png"
    )


def test_names_of_masks(tmp_path: Path) -> None:
    assert get_mask_path("a b/-näme.tar.jpg") == Path("a b/-näme.tar.mask.png")
    one, other = (get_mask_path(str(tmp_path / ("x" * 250 + end))) for end in ("1.jpg", "2.jpg"))
    assert one != other and max(len(path.name.encode()) for path in (one, other)) <= 255


def test_the_way_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    far = {"SSH_CONNECTION": "198.51.100.7 50000 192.0.2.9 2222", "DISPLAY": ":10"}
    assert get_tunnel_line(URL, far) == "ssh -N -p 2222 -L 4321:127.0.0.1:4321 ann@192.0.2.9"
    near = {"SSH_CONNECTION": "198.51.100.7 50000 192.0.2.9 22"}
    assert get_tunnel_line(URL, near) == "ssh -N -L 4321:127.0.0.1:4321 ann@192.0.2.9"
    assert " -L 4321:127.0.0.1:4321 ann@" in get_tunnel_line(URL, {})
    assert not has_display(far) and not has_display({}, "linux")
    assert has_display({"DISPLAY": ":0"}, "linux") and has_display({"WAYLAND_DISPLAY": "w"}, "linux")
    assert has_display({}, "darwin") and not has_display(near, "darwin")
    assert [URL in line for line in describe_way(URL, {}, opened=True)] == [True]
    shown = describe_way(URL, near, opened=False)
    assert len(shown) == 2 and URL in shown[0] and "ssh -N" in shown[1]


def test_a_browser_is_opened_and_its_words_stay_out_of_ours(config: EditConfig, tmp_path: Path) -> None:
    """The user's own browser, here a script that prints on both streams and then marks a box."""
    script = tmp_path / "browser"
    script.write_text(
        f"#!{sys.executable}\nimport sys, json, urllib.request as u\nprint('noise', flush=True)\n"
        "print('noise', file=sys.stderr, flush=True)\n"
        f"body = json.dumps({{'marks': [{BOX!r}]}}).encode()\n"
        "u.urlopen(u.Request(sys.argv[1] + 'mask', body, {'Content-Type': 'application/json'}))\n"
    )
    script.chmod(0o700)
    code = (
        "import sys\nfrom a2cli.picking.pick import pick_mask\n"
        "print(pick_mask(sys.argv[1], sys.argv[2], show=lambda line: None, timeout_s=30))"
    )
    environ = {k: v for k, v in os.environ.items() if k != "SSH_CONNECTION"}
    done = subprocess.run(
        [sys.executable, "-c", code, config.sources[0], str(tmp_path / "m.png")],
        env=environ | {"BROWSER": str(script), "DISPLAY": ":99"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / 'm.png'}\n", "")
    assert read_mask(tmp_path / "m.png", (40, 60)).sum() == 300


def test_ctrl_c_leaves_nothing_behind(config: EditConfig, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom a2cli.picking.pick import pick_mask\n"
        "pick_mask(sys.argv[1], sys.argv[2], show=lambda line: print(line, flush=True), open_browser=False)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, config.sources[0], str(tmp_path / "m.png")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        port = int(process.stdout.readline().split(":")[2].split("/")[0])
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT and time.monotonic() - began < 3
        assert process.stderr.read().strip().endswith("KeyboardInterrupt")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert sorted(os.listdir(tmp_path)) == ["map.png", "ref.png"]


def test_a_folder_that_cannot_be_written(
    config: EditConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    else:
        tmp_path.chmod(0o500)
    try:
        with pytest.raises(DataError, match="cannot be written: Permission denied"):
            pick_mask(config.sources[0], tmp_path / "m.png", show=pytest.fail, open_browser=False)
    finally:
        tmp_path.chmod(0o700)
