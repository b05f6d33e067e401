"""How a user gets to the page: a browser opened here, or a line that brings it to where the user sits."""

from __future__ import annotations

import getpass
import platform
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit


def has_display(environ: Mapping[str, str], system: str = sys.platform) -> bool:
    """Whether a browser opened here would be seen by the user: a screen, and no SSH in between."""
    if "SSH_CONNECTION" in environ:
        return False
    return system == "darwin" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def open_browser(url: str) -> None:
    """Open the user's browser, apart from us: what it prints or how long it lives is not our output's matter.

    Like all that a browser is started with, the address is seen by other accounts of this machine for a moment.
    """
    command = [sys.executable, "-I", "-m", "webbrowser", url]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie, no warning


def get_tunnel_line(url: str, environ: Mapping[str, str]) -> str:
    """The command that makes the page's address work on the machine the user sits at."""
    port = urlsplit(url).port
    place = environ.get("SSH_CONNECTION", "").split()  # the user's address and port, then ours
    host, ssh_port = (place[2], place[3]) if len(place) == 4 else (platform.node() or "HOST", "22")
    try:
        user = f"{getpass.getuser()}@"
    except (OSError, KeyError):  # an account without a name
        user = ""
    given = [] if ssh_port == "22" else ["-p", ssh_port]
    return shlex.join(["ssh", "-N", *given, "-L", f"{port}:127.0.0.1:{port}", f"{user}{host}"])


def describe_way(url: str, environ: Mapping[str, str], *, opened: bool) -> list[str]:
    """The lines a user reads while a2 waits for the mask."""
    lines = [f"mark the region on this page, then press Save (Ctrl-C gives up):\n  {url}"]
    if not opened:
        lines.append(f"from another machine, run this there first:\n  {get_tunnel_line(url, environ)}")
    return lines
