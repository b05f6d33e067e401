"""What exiftool, which is not ours, reads in a written picture."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import encode, make_exif, make_scene

from a2cli.provenance import read_recipe

Edit = Callable[..., Path]
SOURCE = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:rights><rdf:Alt>'
    b'<rdf:li xml:lang="x-default">(c) Ana</rdf:li></rdf:Alt></dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>'
)

pytestmark = [
    pytest.mark.debian,
    pytest.mark.skipif(
        shutil.which("exiftool") is None, reason="exiftool (libimage-exiftool-perl) is missing"
    ),
]


def run_exiftool(path: Path) -> dict[str, Any]:
    """All tags as GROUP:NAME, duplicates and numbers as they are stored."""
    command = ["exiftool", "-j", "-G1", "-a", "-n", "-struct", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Warning" not in done.stdout and done.stderr == "", done.stdout + done.stderr
    tags: dict[str, Any] = json.loads(done.stdout)[0]
    return tags


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_exiftool_reads_provenance_and_orientation(edit: Edit, desk: Path, suffix: str) -> None:
    turned = encode(make_scene(56, 40), "JPEG", exif=make_exif(6), xmp=SOURCE)  # 56 x 40 once upright
    (desk / "photo.jpg").write_bytes(turned)
    out = edit(sources=(str(desk / "photo.jpg"),), out=str(desk / f"out{suffix}"))
    tags = run_exiftool(out)
    assert tags["XMP-iptcExt:DigitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert tags["XMP-iptcExt:AISystemUsed"] == "a2 nano (tiny nano)"
    assert tags["XMP-iptcExt:AIPromptInformation"] == "a striped cup, seen: from above"
    assert tags["XMP-dc:Rights"] == "(c) Ana"
    assert tags.get("IFD0:Orientation", 1) == 1 and tags["IFD0:Make"] == "Maker"
    assert (tags["Composite:ImageSize"]) == "56 40"
    stored = tags["XMP-a2:A2"]
    stored = json.loads(stored) if isinstance(stored, str) else stored
    assert stored["seed"] == 3 and stored["inputs"]["ref"]["sha256"] == read_recipe(out).inputs.ref.sha256
    where = {".png": "PNG:Parameters", ".tiff": None}.get(suffix, "ExifIFD:UserComment")
    if where:
        prompt, line = tags[where].replace("\r\n", "\n").split("\n")
        assert prompt == "a striped cup, seen: from above" and line.startswith("Steps: 2, Sampler: Euler")


def test_a_picture_exiftool_wrote_again_still_repeats(edit: Edit, desk: Path) -> None:
    for suffix in (".png", ".jpg"):
        out = edit(out=str(desk / f"out{suffix}"))
        before = read_recipe(out)
        command = ["exiftool", "-q", "-overwrite_original", "-XMP-dc:Title=A title", "-z", str(out)]
        subprocess.run(command, check=True)
        assert run_exiftool(out)["XMP-dc:Title"] == "A title"
        assert read_recipe(out) == before
