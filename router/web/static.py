"""What pages load beside themselves: style sheets, ES modules, icons; read from the package once."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

PREFIX: Final = "/static/"
_FOREVER: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {".js": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json"}
"""Independent of what the machine's own tables say; a module of another type is refused by browsers."""

routes = APIRouter()


@dataclass(frozen=True)
class Asset:
    """A file: its bytes, media type, and the first digits of its sha256."""

    body: bytes
    media_type: str
    version: str


@routes.get(PREFIX + "{name:path}", include_in_schema=False)
async def static(request: Request, name: str) -> Response:
    """A file of the package; kept for good under its version, asked for again each time without one."""
    asset = _assets().get(name)
    if asset is None:
        raise HTTPException(404)
    headers = {"etag": f'"{asset.version}"', "cache-control": "no-cache"}
    if request.query_params.get("v") == asset.version:
        headers["cache-control"] = _FOREVER
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers=headers, media_type=asset.media_type)


def asset_url(name: str) -> str:
    """Address of a file, with its version.

    Raises:
        KeyError: there is none of this name.
    """
    return f"{PREFIX}{name}?v={_assets()[name].version}"


@cache
def _assets() -> dict[str, Asset]:
    """Every file below `static/`, by its path there: what is not listed cannot be asked for."""
    return dict(_walk(files("router.web") / "static", ""))


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for one in folder.iterdir():
        if one.is_dir():
            found += _walk(one, f"{prefix}{one.name}/")
        else:
            body = one.read_bytes()
            suffix = one.name[one.name.rfind(".") :]
            kind = _TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
            found.append((prefix + one.name, Asset(body, kind, hashlib.sha256(body).hexdigest()[:16])))
    return found
