"""XMP packets: what a2 says in one, and the source's own packet with what an edit makes untrue taken out.

Source: XMP specification part 1 (ISO 16684-1), parts 2 and 3 (Adobe); IPTC Photo Metadata Standard 2025.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.dom import XMLNS_NAMESPACE, minidom
from xml.etree import ElementTree
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from a2cli.images.metadata import Metadata, get_plain

# IPTC NewsCodes, digital source type: a composite that contains the output of a trained model.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
OWN = "urn:a2cli:recipe:1.0"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
XMP = "http://ns.adobe.com/xap/1.0/"
MAX_BYTES = 1 << 20  # of a source's packet; a longer one is left behind
MAX_JPEG = 65_502  # of the one segment a JPEG holds a packet in
MAX_DEPTH = 64

DROPPED = {  # by namespace, the properties that are untrue of an edited picture; all of them where none is named
    OWN: (),  # an earlier edit's
    IPTC: (
        "DigitalSourceType",
        "DigitalSourcefileType",
        "AISystemUsed",
        "AISystemVersionUsed",
        "AIPromptInformation",
        "AIPromptWriterName",
    ),
    XMP: ("Thumbnails",),  # would still show what the edit took away
    "http://ns.adobe.com/xap/1.0/mm/": ("InstanceID",),  # one saved file's
    "http://ns.adobe.com/xmp/note/": (),  # points to a second packet, which is not carried
    "http://ns.adobe.com/tiff/1.0/": (
        "Orientation",
        "ImageWidth",
        "ImageLength",
    ),  # pictures come out upright
    "http://ns.adobe.com/exif/1.0/": ("PixelXDimension", "PixelYDimension"),
    "http://purl.org/dc/terms/": ("provenance",),  # the source's content credentials
    # Who is where: in stored coordinates, and perhaps there no longer.
    "http://www.metadataworkinggroup.com/schemas/regions/": (),
    "http://ns.microsoft.com/photo/1.2/": (),
    # Second pictures, films and depth maps of phones, which are not carried.
    "http://ns.google.com/photos/1.0/container/": (),
    "http://ns.google.com/photos/1.0/camera/": (),
    "http://ns.google.com/photos/1.0/depthmap/": (),
    "http://ns.google.com/photos/1.0/image/": (),
    "http://ns.google.com/photos/1.0/audio/": (),
    "http://ns.adobe.com/hdr-gain-map/1.0/": (),
    "http://ns.apple.com/HDRGainMap/1.0/": (),
}


def get_packet(metadata: Metadata | None, source: bytes | None, *, limit: int | None = None) -> bytes | None:
    """The XMP packet of a picture to save; None where there is nothing to say.

    `source` is the packet of the photo it was made from: its properties stay, but for what is no longer true. One that
    cannot be read, or would make the packet longer than `limit` bytes, is left behind.
    """
    kept = None if source is None else _read_packet(source)
    for document in (kept, None):
        if document is None and metadata is None:
            return None
        packet = _build_packet(metadata, document)
        if document is None or limit is None or len(packet) <= limit:
            return packet
    raise AssertionError("unreachable")


def read_texts(packet: bytes) -> dict[str, str]:
    """The texts of a2's own namespace in a packet, by key; none where it cannot be read."""
    text = _decode(packet)
    if text is None:
        return {}
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return {}
    found: dict[str, str] = {}
    for description in root.iter(f"{{{RDF}}}Description"):
        pairs = [*description.attrib.items(), *((child.tag, child.text or "") for child in description)]
        found |= {
            key.removeprefix(f"{{{OWN}}}"): value for key, value in pairs if key.startswith(f"{{{OWN}}}")
        }
    return found


def _decode(packet: bytes) -> str | None:
    """The XML of a packet, or None for what is too long, not UTF-8 or brings a document type (entity bombs)."""
    if len(packet) > MAX_BYTES:
        return None
    try:
        text = packet.rstrip(b"\0").decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None
    return None if re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE) else text


def _read_packet(packet: bytes) -> minidom.Element | None:
    """The rdf:RDF element of a source's packet, cleaned; None where it cannot be read or nothing stays."""
    text = _decode(packet)
    if text is None or _is_deep(text):
        return None
    try:
        document = minidom.parseString(text.encode())
    except (expat.ExpatError, ValueError):
        return None
    found = document.getElementsByTagNameNS(RDF, "RDF")
    if not found:
        return None
    for description in list(_get_children(found[0])):
        _clean(description)
        if not any(_get_children(description)) and all(
            attribute.namespaceURI in (RDF, XMLNS_NAMESPACE) for attribute in description.attributes.values()
        ):
            found[0].removeChild(description)
    return found[0] if any(_get_children(found[0])) else None


def _is_deep(text: str) -> bool:
    """Whether elements of an XML text lie deeper than MAX_DEPTH, without building them."""
    depth = 0

    def enter(name: str, attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise RecursionError

    def leave(name: str) -> None:
        nonlocal depth
        depth -= 1

    reader = expat.ParserCreate()
    reader.StartElementHandler, reader.EndElementHandler = enter, leave
    try:
        reader.Parse(text.encode(), True)
    except RecursionError:
        return True
    except expat.ExpatError:  # as whoever builds it will find
        return False
    return False


def _get_children(element: minidom.Element) -> Iterator[minidom.Element]:
    return (node for node in element.childNodes if isinstance(node, minidom.Element))


def _clean(description: minidom.Element) -> None:
    """Take the properties of DROPPED out, written as elements or as attributes."""
    for child in list(_get_children(description)):
        if _is_dropped(child.namespaceURI, child.localName):
            description.removeChild(child)
    for attribute in list(description.attributes.values()):
        if _is_dropped(attribute.namespaceURI, attribute.localName):
            description.removeAttributeNode(attribute)


def _is_dropped(namespace: str | None, name: str | None) -> bool:
    names = DROPPED.get(namespace or "")
    return names is not None and (not names or name in names)


def _build_packet(metadata: Metadata | None, source: minidom.Element | None) -> bytes:
    """A packet of the source's descriptions and a2's own, which speaks of the same resource."""
    kept, about, has_tool = "", "", False
    if source is not None:
        children = list(_get_children(source))
        about = next((c.getAttributeNS(RDF, "about") for c in children if c.hasAttributeNS(RDF, "about")), "")
        has_tool = any(
            c.hasAttributeNS(XMP, "CreatorTool")
            or any((p.namespaceURI, p.localName) == (XMP, "CreatorTool") for p in _get_children(c))
            for c in children
        )
        spaces = {
            name: value
            for element in (source.parentNode, source)
            if isinstance(element, minidom.Element)
            for name, value in element.attributes.items()
            if name.startswith("xmlns:")
        }
        for child in children:
            for name, value in spaces.items():  # declared above, needed here
                if not child.hasAttribute(name):
                    child.setAttribute(name, value)
            kept += child.toxml()
    own = "" if metadata is None else _describe(metadata, about, tool=not has_tool)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{RDF}">{kept}{own}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def _describe(metadata: Metadata, about: str, *, tool: bool) -> str:
    """a2's own description: IPTC's properties and the texts in a2's namespace."""
    values = {
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
        "Iptc4xmpExt:AISystemUsed": metadata.system,
        "Iptc4xmpExt:AISystemVersionUsed": metadata.version,
        "Iptc4xmpExt:AIPromptInformation": metadata.prompt,
        "xmp:CreatorTool": f"a2 {metadata.version}" if tool and metadata.version else "",
        **{f"a2:{key}": value for key, value in metadata.texts.items()},
    }
    properties = "".join(
        f"<{name}>{escape(get_plain(value))}</{name}>" for name, value in values.items() if value
    )
    return (
        f'<rdf:Description rdf:about={quoteattr(about)} xmlns:Iptc4xmpExt="{IPTC}" xmlns:xmp="{XMP}"'
        f' xmlns:a2="{OWN}">{properties}</rdf:Description>'
    )
