"""What a saved picture says of how it was made, apart from any format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from a2cli.errors import DataError

# Characters that XML 1.0 (2.2) has no place for, lone surrogates of undecodable names among them.
UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
KEY = re.compile(r"[A-Za-z_][\w.\-]{0,78}", re.ASCII)


@dataclass(frozen=True)
class Metadata:
    """What a picture made with a model says of itself.

    `texts`: one PNG text and one XMP property of a2's namespace a key; a key is an XML name of ASCII letters.
    `parameters`: one text in the manner of Stable Diffusion web UIs, as PNG text `parameters` or EXIF UserComment.
    `system`, `version`, `prompt`: IPTC's AI System Used, its version, AI Prompt Information; "" leaves one out.
    DataError for a key that cannot name a text.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    parameters: str = ""
    system: str = ""
    version: str = ""
    prompt: str = ""

    def __post_init__(self) -> None:
        for key in self.texts:
            if not KEY.fullmatch(key):
                raise DataError(
                    f"{key!r} cannot name a text stored in a picture", hint="use letters, digits, - . _"
                )


def get_plain(text: str) -> str:
    """A text without the characters that neither XML nor a PNG text can hold."""
    return UNPRINTABLE.sub("", text)
