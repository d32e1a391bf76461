"""The one address beside the router that a page may talk to: its visitor's own node."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

MAX_LENGTH: Final = 300
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
"""Letters, digits, hyphens and dots: nothing that means something in a header, and no `*`."""


def node_origin(url: str) -> str | None:
    """Scheme, host and port of a node's address, fit for a content security policy; None if it is none.

    Path, query and credentials are not looked at: they are no part of an origin.
    """
    if len(url) > MAX_LENGTH or not url.isascii() or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    return f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")
