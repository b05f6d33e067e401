"""A page's tags and texts, parsed; a tag that closes out of turn fails."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "wbr", "input"}


class Parsed(HTMLParser):
    """`tags` in order with their attributes, `texts` each with the tag around it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(source)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))

    def get_texts(self, *tags: str) -> list[str]:
        return [text for tag, text in self.texts if not tags or tag in tags]

    def get_tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    def get_charts(self) -> dict[str, ET.Element]:
        """Every svg with a title by that title, parsed as XML."""
        found = map(ET.fromstring, re.findall(r"<svg.*?</svg>", self.source, re.S))
        return {title: chart for chart in found if (title := chart.findtext("title"))}
