"""The photos of a command line or of a manifest, one after another."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from a2cli.batch.job import Item, Refusal
from a2cli.batch.lists import Group, find_photos
from a2cli.batch.manifest import Manifest
from a2cli.config.edit import EditConfig
from a2cli.engine.outputs import get_file_name
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name

log = logging.getLogger(__name__)


class Photos:
    """The photos of a command line or of a manifest."""

    def __init__(self, config: EditConfig, stdin: Callable[[], bytes]) -> None:
        self.config = config
        self.manifest: Manifest | None = None
        self._groups: list[Group] = []
        if config.batch.manifest is not None:
            self.manifest = Manifest(config.batch, stdin, allow_urls=config.allow_urls)
            if made := self.manifest.count_made():
                log.warning(
                    "%s: outputs and masks of earlier runs are left out: %d", self.manifest.shown, made
                )
            return
        names = config.sources or ((config.mask,) if config.mask else ())
        masks = config.mask if config.sources else None
        others = (config.out, masks, config.ref_mask, *config.refs, config.save_region, config.save_attention)
        self._groups = find_photos(names, others)
        for group in self._groups:
            if (
                group.root is not None
                and masks
                and os.path.isdir(masks)
                and os.path.samefile(group.root, masks)
            ):
                raise ConfigError(
                    f"{show_name(masks)}: photos and masks in one folder cannot be told apart",
                    hint="put the masks into a folder of their own",
                )

    def list_items(self) -> Iterator[Item | Refusal]:
        """Every photo, in order."""
        if self.manifest is not None:
            yield from self.manifest
        for group in self._groups:
            yield from group.list_items(holed=not self.config.sources)

    def fill(self, item: Item) -> Item:
        """A record with the photo of the command line where it has none; `DataError` where there is none either."""
        if item.source is not None:
            return item
        if self.config.sources:
            source = self.config.sources[0]
            return replace(item, source=source, inside=get_file_name(source))
        mask = item.mask or self.config.mask
        if mask is None or mask.lower().startswith("box:") or os.path.isdir(mask):
            raise DataError("no photo", hint='"source": "photo.jpg", or a SOURCE on the command line')
        return replace(item, mask=mask, inside=item.inside if item.mask else get_file_name(mask))
