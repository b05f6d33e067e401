"""XMP of the source is kept where it is still true; what a2 says is valid, whatever it is made of."""

from __future__ import annotations

import io
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pictures import encode, make_exif, make_scene
from PIL import Image

from a2cli.images import Photo, build_photo, open_photo, save_photo
from a2cli.images.encode import encode_photo
from a2cli.images.metadata import Metadata
from a2cli.images.texts import read_texts
from a2cli.images.xmp import MAX_BYTES, MAX_JPEG, get_packet
from a2cli.images.xmp import read_texts as read_packet_texts

SCENE = make_scene()
OURS = Metadata({"a2": '{"seed": 1}'}, system="a2 nano", version="9.9", prompt="a <cup> & more")
KEPT = ("Ana Maier", "xmp:Rating", "xmp.did:original", "Kamera 3")
FALSE = (
    "xmp.iid:saved",
    "digitalCapture",
    "tiff:Orientation",
    "R0lGODlh",
    "Bea",
    "MotionPhoto",
    "old recipe",
)
SOURCE = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:xmp="http://ns.adobe.com/xap/1.0/">
<rdf:Description rdf:about="uuid:one" xmp:Rating="5" xmp:CreatorTool="Kamera 3"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmpMM:InstanceID="xmp.iid:saved" xmpMM:DocumentID="xmp.did:original"
 xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1">
<dc:creator><rdf:Seq><rdf:li>Ana Maier</rdf:li></rdf:Seq></dc:creator>
<xmp:Thumbnails xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/"><rdf:Alt><rdf:li>
<xmpGImg:image>R0lGODlh</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>
<mwg-rs:Regions xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"><mwg-rs:Name>Bea</mwg-rs:Name>
</mwg-rs:Regions>
<a2:a2 xmlns:a2="urn:a2cli:recipe:1.0">old recipe</a2:a2>
</rdf:Description>
<rdf:Description rdf:about="uuid:one" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"
 xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 i:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def parse(packet: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(packet.decode().removeprefix("\ufeff"))


def make_photo(packet: bytes = SOURCE) -> Photo:
    return open_photo(encode(SCENE, "JPEG", xmp=packet, exif=make_exif(6)))


def get_stored(data: bytes) -> str:
    packet = Image.open(io.BytesIO(data)).info["xmp"]
    return packet.decode() if isinstance(packet, bytes) else str(packet)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_the_sources_packet_stays_but_for_what_is_no_longer_true(format: str) -> None:
    photo = make_photo()
    with_ours = get_stored(encode_photo(photo, photo.native, format, OURS))
    without = get_stored(encode_photo(photo, photo.native, format))
    for text in (with_ours, without):
        assert all(kept in text for kept in KEPT) and not any(false in text for false in FALSE), text
        descriptions = parse(text.encode()).findall(".//{*}Description")
        assert {d.get("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about") for d in descriptions} == {
            "uuid:one"
        }
    assert "compositeWithTrainedAlgorithmicMedia" in with_ours and "a &lt;cup&gt; &amp; more" in with_ours
    assert "Trained" not in without and "a2" not in without
    assert "<xmp:CreatorTool>" not in with_ours  # the first tool stays the first


def test_a_packet_of_nothing_but_untrue_things_is_none() -> None:
    packet = (
        SOURCE[: SOURCE.index(b"<rdf:Description")] + b'<rdf:Description rdf:about=""/></rdf:RDF></x:xmpmeta>'
    )
    assert get_packet(None, packet) is None
    alone = get_packet(OURS, None)
    assert alone is not None and get_packet(OURS, packet) == alone and b"a2 9.9</xmp:CreatorTool>" in alone


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
)
HOSTILE = {
    "entities": (BOMB + "]><x>&j;</x>").encode(),
    "deep": b"<x>" * 100_000 + b"</x>" * 100_000,
    "no XML": b"<x:xmpmeta",
    "no RDF": b"<x/>",
    "bytes": b"\xff\xfe\x00" * 100,
    "long": b"<x>" + b" " * MAX_BYTES + b"</x>",
    "empty": b"",
}


@pytest.mark.parametrize("packet", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_packet_is_left_behind(packet: bytes) -> None:
    began = time.monotonic()
    assert get_packet(None, packet) is None
    assert get_packet(OURS, packet) == get_packet(OURS, None)
    assert read_packet_texts(packet) == {}
    assert time.monotonic() - began < 60  # the entities in full would be 10^10 letters


def test_a_packet_too_long_for_a_jpeg_is_left_behind(tmp_path: Path) -> None:
    long = SOURCE.replace(b"Ana Maier", b"Ana Maier" + b"x" * 65_300)
    photo = open_photo(encode(SCENE, "PNG", pnginfo=_make_info(long)))
    for suffix, kept in ((".jpg", False), (".png", True), (".webp", True)):
        save_photo(photo, photo.native, tmp_path / f"o{suffix}", metadata=OURS)
        data = (tmp_path / f"o{suffix}").read_bytes()
        assert (b"Ana Maier" in data) == kept and b"compositeWithTrained" in data
        assert read_texts(tmp_path / f"o{suffix}")["a2"] == '{"seed": 1}'
    own = get_packet(OURS, long, limit=MAX_JPEG)
    assert own is not None and len(own) <= MAX_JPEG


def _make_info(packet: bytes) -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode())
    return info


def test_what_xml_cannot_hold_is_left_out() -> None:
    odd = Metadata({"a2": "x\x00\x1b\ud800y"}, prompt="a\x07b\udcff")
    packet = get_packet(odd, None)
    assert packet is not None and read_packet_texts(packet) == {"a2": "xy"}
    assert parse(packet).find(".//{*}AIPromptInformation").text == "ab"  # type: ignore[union-attr]
    photo = build_photo(SCENE)
    for format in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
        data = encode_photo(
            photo, SCENE, format, Metadata({"a2": "\x00"}, parameters="p\x00q\udcff\nSteps: 1")
        )
        assert open_photo(data).size == photo.size
