"""The generator's API: where it is, and who may be told its key."""

from __future__ import annotations

from a2cli.building.config import GenerateConfig
from a2cli.remote import access
from a2cli.remote.access import get_auth, get_host, is_loopback

__all__ = ["get_auth", "get_host", "is_loopback", "load_key"]


def load_key(config: GenerateConfig) -> str:
    """`a2cli.remote.access.load_key` of a generator's settings."""
    return access.load_key(config.url, config.key_variable, "generate.url")
