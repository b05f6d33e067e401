"""a2 augment-mask on real mask files."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2cli.masks.augment import RoughConfig


def draw_disc(path: Path, size: tuple[int, int] = (96, 128), radius: int = 20) -> np.ndarray:
    rows, columns = np.ogrid[: size[0], : size[1]]
    mask = (rows - 48) ** 2 + (columns - 60) ** 2 <= radius**2
    Image.fromarray(np.uint8(mask * 255)).save(path)
    return mask


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "a2cli", "augment-mask", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L")) > 127


@pytest.mark.parametrize("stage", ["fine", "rough", "box"])
def test_one_mask_lands_beside_its_source(tmp_path: Path, stage: str) -> None:
    fine = draw_disc(tmp_path / "disc.png")
    done = run(tmp_path / "disc.png", "--stage", stage, "--seed", 3)
    target = tmp_path / f"disc.{stage}.png"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{target}\n", "")
    moved = read(target)
    assert moved.shape == fine.shape
    if stage == "fine":
        assert np.array_equal(moved, fine)
    else:
        assert moved.sum() > fine.sum() and (moved & fine).sum() > 0.9 * fine.sum()
    if stage == "box":
        rows, columns = np.nonzero(moved)
        assert moved.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_a_name_that_is_not_utf8_is_printed_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"caf\xe9.png")
    draw_disc(source)
    command = [sys.executable, "-m", "a2cli", "augment-mask", str(source), "--stage", "box"]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.stdout == os.fsencode(tmp_path) + b"/caf\xe9.box.png\n"
    assert (tmp_path / os.fsdecode(b"caf\xe9.box.png")).is_file()


def test_the_seed_decides(tmp_path: Path) -> None:
    draw_disc(tmp_path / "disc.png")
    masks = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert (
            run(
                tmp_path / "disc.png", "--stage", "rough", "--seed", seed, "-o", tmp_path / f"{name}.png"
            ).returncode
            == 0
        )
        masks.append(read(tmp_path / f"{name}.png"))
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])


def test_several_masks_go_on_past_a_bad_one(tmp_path: Path) -> None:
    draw_disc(tmp_path / "one.png")
    draw_disc(tmp_path / "two words.png")
    (tmp_path / "bad.png").write_text("no picture")
    Image.new("L", (20, 20)).save(tmp_path / "empty.png")
    inputs = [tmp_path / f"{name}.png" for name in ("one", "bad", "empty", "two words")]
    done = run(*inputs, "--stage", "box", "-o", tmp_path / "out")
    assert done.returncode == 3
    assert done.stdout.splitlines() == [str(tmp_path / "out" / f"{n}.box.png") for n in ("one", "two words")]
    names = ["failures.jsonl", "one.box.png", "two words.box.png"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    assert len((tmp_path / "out" / "failures.jsonl").read_text().splitlines()) == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and "bad.png" in lines[0] and "empty.png" in lines[1]


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    draw_disc(tmp_path / "a.png")
    draw_disc(tmp_path / "x" / "a.png")
    done = run(tmp_path / "a.png", tmp_path / "x" / "a.png", "--stage", "box", "-o", tmp_path)
    assert done.returncode == 2 and "one name" in done.stderr
    (tmp_path / "a.bmp").write_bytes((tmp_path / "a.png").read_bytes())
    done = run(tmp_path / "a.png", tmp_path / "a.bmp", "--stage", "box")
    assert done.returncode == 2 and "one name" in done.stderr


def test_masks_are_not_replaced_and_places_are_checked(tmp_path: Path) -> None:
    draw_disc(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for out, message in (
        ("a.png", "replace a mask"),
        ("b.jpg", "saved as PNG"),
        ("a.png/b.png", "cannot be"),
    ):
        done = run(tmp_path / "a.png", "--stage", "box", "-o", tmp_path / out)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (
            2,
            "",
            1,
        ) and message in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"] and (tmp_path / "a.png").read_bytes() == before


def pipe(stdin: bytes, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "a2cli", "augment-mask", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, input=stdin, timeout=120)


def test_a_mask_goes_through_a_pipe(tmp_path: Path) -> None:
    fine = draw_disc(tmp_path / "disc.png")
    done = pipe((tmp_path / "disc.png").read_bytes(), "-", "--dilate", 5, "-o", "-")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(b"\x89PNG")
    (tmp_path / "piped.png").write_bytes(done.stdout)
    assert read(tmp_path / "piped.png").sum() > fine.sum()
    named = run(tmp_path / "disc.png", "--dilate", 5, "-o", tmp_path / "named.png")
    assert named.returncode == 0 and (tmp_path / "named.png").read_bytes() == done.stdout


@pytest.mark.parametrize("null", [False, True])
def test_paths_go_through_a_pipe(tmp_path: Path, null: bool) -> None:
    names = ["one.png", "two words.png"]
    for name in names:
        draw_disc(tmp_path / name)
    stdin = ("\0" if null else "\n").join(str(tmp_path / name) for name in names).encode()
    done = pipe(stdin, "-", "--stage", "box", "-o", tmp_path / "out", *(["-0"] if null else []))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [Path(line).name for line in done.stdout.decode().splitlines()] == [
        "one.box.png",
        "two words.box.png",
    ]


def test_no_picture_is_written_to_a_terminal(tmp_path: Path) -> None:
    draw_disc(tmp_path / "disc.png")
    reader, writer = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "a2cli",
        "augment-mask",
        tmp_path / "disc.png",
        "--stage",
        "box",
        "-o",
        "-",
    ]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    os.close(reader)
    assert done.returncode == 2 and "not written to a terminal" in done.stderr


def test_json_lines_report_and_preview(tmp_path: Path) -> None:
    (tmp_path / "masks" / "sub").mkdir(parents=True)
    draw_disc(tmp_path / "masks" / "a.png")
    draw_disc(tmp_path / "masks" / "sub" / "b.png")
    done = run(
        *(tmp_path / "masks", "--stage", "rough", "--n", 2, "--seed", 4, "--json", "-o", tmp_path / "out"),
        *("--report", tmp_path / "r.json", "--preview", tmp_path / "sheet.png"),
        *("--radius", "4%..12%", "--alpha", "3px", "--scale", "200%", "--delta", "90"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(row["output"]).relative_to(tmp_path / "out").as_posix() for row in rows] == [
        *("a.rough.png", "a.rough.1.png", "sub/b.rough.png", "sub/b.rough.1.png")
    ]
    assert set(rows[0]) == {
        *("input", "output", "stage", "variant", "seed", "strengths", "iou", "area_in", "area_out", "box")
    }
    assert rows[0]["strengths"]["alpha"] == 3 and rows[0]["strengths"]["delta"] == 90
    assert json.loads((tmp_path / "r.json").read_text())["rows"] == rows
    assert Image.open(tmp_path / "sheet.png").width > 600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing says what to make (give --stage fine, rough or box, or else"),
        (("--stage", "ruff"), "'ruff' is not one of"),
        (("--stage", "rough", "--dilate", "3"), "at once"),
        (("--stage", "rough", "--radius", "nan"), "--radius 'nan' is not understood (a number of 0 or more"),
        (("--stage", "rough", "--alpha", "-3"), "--alpha '-3' is out of range"),
        (("--stage", "rough", "--scale", "3"), "--scale '3': more than 0.5 periods a pixel"),
        (("--dilate", "4..9"), "a range is no stated radius"),
        (("--perturb", "erod:3"), "did you mean 'erode'?"),
        (("--perturb", "erode:90"), "nothing is left of the mask after erode-90"),
        (("--stage", "box", "--image", "x.jpg"), "add --preview"),
        (("--stage", "box", "-n", "0"), "--n"),
        (("--stage", "box", "--null"), "--null is about a list on stdin"),
    ],
)
def test_wrong_words_are_one_line_and_write_nothing(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    draw_disc(tmp_path / "a.png")
    done = run(tmp_path / "a.png", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and message in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_usage_errors_import_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom a2cli.cli import main\n"
        "main(['augment-mask', 'a.png', '--stage', 'rough', '--radius', 'x'])\n"
        "print([name for name in ('numpy', 'cv2', 'PIL', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "--radius 'x'" in done.stderr and done.stdout == "[]\n"


def test_masks_need_no_model_library(tmp_path: Path) -> None:
    draw_disc(tmp_path / "a.png")
    code = (
        "import sys\nfrom a2cli.cli import main\n"
        f"main(['augment-mask', {str(tmp_path / 'a.png')!r}, '--stage', 'rough', '-q'])\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "False"


def test_an_interrupt_ends_a_run_between_whole_files(tmp_path: Path) -> None:
    draw_disc(tmp_path / "a.png", (600, 800), 40)
    command = [sys.executable, "-m", "a2cli", "augment-mask", str(tmp_path / "a.png"), "--stage", "rough"]
    command += ["-n", "5000", "-o", str(tmp_path / "out") + "/"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A shell's background job hands an ignored SIGINT on to its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("out/*.png"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
    files = list((tmp_path / "out").iterdir())
    assert 5 <= len(files) < 5000 and all(file.suffix == ".png" and read(file).any() for file in files)


def test_the_help_names_the_defaults_of_training() -> None:
    config = RoughConfig()
    text = " ".join(run("--help").stdout.translate(str.maketrans("│", " ")).split())
    for option, (low, high) in (
        ("--radius", config.dilate),
        ("--alpha", config.alpha),
        ("--scale", config.scale),
        ("--delta", config.delta),
    ):
        shown = text.split(f"{option} ", 1)[1].split("Default: ")[1].split()[0]
        assert shown == f"{low:.0%}..{high:.0%}."


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "photos").mkdir()
    draw_disc(tmp_path / "mask.png")
    draw_disc(tmp_path / "masks" / "a.png")
    Image.new("RGB", (128, 96), (90, 140, 60)).save(tmp_path / "photos" / "a.jpg")
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    lines = [line for line in readme.splitlines() if line.startswith("a2 augment-mask ")]
    assert len(lines) >= 3
    for line in lines:
        command = [sys.executable, "-m", "a2cli", *shlex.split(line)[1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, ""), line
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert {
        "rough/a.rough.png",
        "sheet.png",
        "mask.box.png",
        "robust/a.erode-8pct.png",
        "robust.json",
    } <= names
