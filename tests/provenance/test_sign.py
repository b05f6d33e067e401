"""Content credentials: valid by the library's own reader, with photo and reference as ingredients."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from certificates import PEM, Authority, dump_key, make_certificate, make_key
from edits import read_pixels
from pictures import encode, make_scene

from a2cli.config.edit import EditConfig
from a2cli.engine.edit import run_edit
from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.images.encode import FORMAT_SUFFIXES
from a2cli.images.texts import read_texts
from a2cli.provenance import read_recipe
from a2cli.provenance.sign import Ingredient, load_signer

Edit = Callable[..., Path]
SCENE = make_scene()
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("authority, with a comma"))


def read(data: bytes, suffix: str, root: bytes) -> tuple[str, dict[str, Any]]:
    """The state of a signed picture and its active manifest, where the test's root is trusted."""
    settings = {"trust": {"trust_anchors": root.decode()}, "verify": {"verify_trust": True}}
    context = c2pa.Context(c2pa.Settings.from_dict(settings))
    mime = f"image/{FORMAT_SUFFIXES[suffix].lower()}"
    with c2pa.Reader(mime, io.BytesIO(data), None, context) as reader:
        return reader.get_validation_state(), reader.get_active_manifest()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".avif"])
def test_an_edit_is_signed(edit: Edit, desk: Path, authority: Authority, suffix: str) -> None:
    plain = edit(out=str(desk / f"plain{suffix}"))
    signed = edit(out=str(desk / f"out{suffix}"), sign=authority.issue("ana"))
    state, manifest = read(signed.read_bytes(), suffix, authority.root)
    assert state == "Trusted" and manifest["title"] == signed.name
    ingredients = {one["relationship"]: one for one in manifest["ingredients"]}
    assert (ingredients["parentOf"]["title"], ingredients["inputTo"]["title"]) == ("photo.png", "cat.png")
    assert not any("thumbnail" in one for one in ingredients.values()) and "thumbnail" not in manifest
    stated = {one["label"]: one["data"] for one in manifest["assertions"]}
    opened, edited = stated["c2pa.actions.v2"]["actions"]
    assert (opened["action"], edited["action"]) == ("c2pa.opened", "c2pa.edited")
    assert edited["digitalSourceType"] == TRAINED and edited["softwareAgent"]["name"] == "a2"
    for action, ingredient in ((opened, ingredients["parentOf"]), (edited, ingredients["inputTo"])):
        assert action["parameters"]["ingredients"][0]["url"].endswith("/" + ingredient["label"])
    assert np.array_equal(read_pixels(signed), read_pixels(plain))
    assert read_recipe(signed) == read_recipe(plain)
    assert b"desk of" not in signed.read_bytes()


def test_a_changed_picture_is_no_longer_valid(edit: Edit, authority: Authority) -> None:
    data = bytearray(edit(sign=authority.issue("bo")).read_bytes())
    data[data.index(b"IDAT") + 40] ^= 1
    assert read(bytes(data), ".png", authority.root)[0] == "Invalid"


@pytest.mark.parametrize("kind", ["p384", "ed25519", "rsa"])
def test_other_kinds_of_key(authority: Authority, kind: str) -> None:
    signer = load_signer(authority.issue(kind, kind))
    signed = sign(signer)
    assert read(signed, ".png", authority.root)[0] == "Trusted" and "PRIVATE" not in repr(signer)


def sign(signer: Any, source: bytes | None = None) -> bytes:
    source = encode(SCENE, "BMP") if source is None else source
    reference = Ingredient("cat.gif", encode(SCENE[:9, :9], "GIF"))
    data: bytes = signer.sign(
        encode(SCENE, "PNG"), "PNG", "o.png", Ingredient("photo.bmp", source), reference
    )
    return data


def test_a_signed_source_brings_its_history(authority: Authority) -> None:
    signer = load_signer(authority.issue("cy"))
    first = sign(signer)
    second = sign(signer, first)
    state, manifest = read(second, ".png", authority.root)
    assert state == "Trusted"
    parent = next(one for one in manifest["ingredients"] if one["relationship"] == "parentOf")
    assert parent["active_manifest"] == read(first, ".png", authority.root)[1]["label"]


def test_a_photo_that_is_not_edited_is_not_signed(
    edit: Edit, desk: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    (desk / "empty.png").write_bytes(encode(np.zeros(SCENE.shape[:2], np.uint8), "PNG"))
    out = edit(mask=str(desk / "empty.png"), sign=authority.issue("di"))
    assert b"c2pa" not in out.read_bytes() and "a2" not in read_texts(out)
    assert "nothing is edited" in caplog.text


def test_what_cannot_be_signed_is_refused_before_anything_is_written(
    config: EditConfig, desk: Path, authority: Authority
) -> None:
    before = sorted(desk.iterdir())
    config = replace(config, model="no such model")
    with pytest.raises(DataError, match=r"out\.bmp: a BMP holds no content credentials"):
        list(run_edit(replace(config, out=str(desk / "out.bmp"), sign=authority.issue("eli"))))
    with pytest.raises(ConfigError, match="does not name two files"):
        list(run_edit(replace(config, sign="cert.pem")))
    assert sorted(desk.iterdir()) == before


def test_pem_files_that_cannot_sign(tmp_path: Path, authority: Authority) -> None:
    for name in ("flo", "gus"):
        authority.issue(name)
    chain, secret, other = (authority.folder / name for name in ("flo.pem", "flo.key", "gus.key"))
    own_key = make_key()
    alone = make_certificate(own_key, "me", "me", own_key).public_bytes(PEM)
    files = {
        "locked.key": dump_key(make_key(), b"secret"),
        "text.pem": b"hello",
        "empty.key": b"",
        "alone.pem": alone,
        "alone.key": dump_key(own_key),
        "big.pem": bytes(2 << 20),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    gone, old = tmp_path / "gone.pem", authority.issue("old", days=-1)
    curve = authority.issue("curve", "k1")
    cases = {
        f"{chain},{other}": "is not of the key",
        f"{chain},{tmp_path / 'locked.key'}": "locked with a password",
        f"{chain},{tmp_path / 'empty.key'}": "holds no private key",
        f"{tmp_path / 'text.pem'},{secret}": "holds no certificate",
        f"{tmp_path / 'big.pem'},{secret}": "too large",
        f"{tmp_path / 'alone.pem'},{tmp_path / 'alone.key'}": "signed by itself",
        f"{tmp_path},{secret}": "not a regular file",
        f"{gone},{tmp_path / 'alone.key'}": r"gone\.pem: no such file",
        old: "valid from",
        curve: "not signed with such a key",
        "a,": "does not name two files",
        "": "does not name two files",
    }
    for spec, cause in cases.items():
        with pytest.raises(A2Error, match=cause) as caught:
            load_signer(spec)
        assert "PRIVATE KEY" not in caught.value.message and caught.value.message.isprintable()


def test_without_the_extra_one_line_says_what_to_install() -> None:
    code = """
import json, sys
sys.modules["c2pa"] = None
from a2cli.errors import ConfigError
from a2cli.provenance.sign import load_signer
try:
    load_signer("a.pem,b.pem")
except ConfigError as error:
    print(json.dumps([error.message, error.hint]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["--sign needs c2pa-python", "install it: pip install 'a2cli[c2pa]'"]
