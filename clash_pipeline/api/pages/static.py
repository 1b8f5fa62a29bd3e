"""Styles, scripts and the chart library, served from this package; their addresses change when they do."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from clash_pipeline import canonical
from clash_pipeline.api.problems import not_found
from clash_pipeline.api.routing import GuardedRoute, public

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FOR_EVER = "public, max-age=31536000, immutable"
router = APIRouter(route_class=GuardedRoute, include_in_schema=False)


@dataclass(frozen=True)
class File:
    """One file, ready to be sent."""

    body: bytes
    compressed: bytes
    version: str
    media_type: str


@cache
def files() -> Mapping[str, File]:
    """Every file by its name; nothing else can be asked for."""
    return {path.name: _file(path) for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}


def url(name: str) -> str:
    """The address of a file as it is now."""
    return f"/static/{name}?v={files()[name].version}"


@router.get("/static/{name}")
@public
def file(request: Request, name: str, v: Annotated[str, Query()] = "") -> Response:
    """A file; kept for ever by whoever asked for this very version."""
    found = files().get(name)
    if found is None:
        raise not_found("page")
    packed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"vary": "accept-encoding", "cache-control": FOR_EVER if v == found.version else "no-cache"}
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(found.compressed if packed else found.body, headers=headers, media_type=found.media_type)


def _file(path: Path) -> File:
    body = path.read_bytes()
    return File(body, gzip.compress(body, mtime=0), canonical.sha256(body)[:12], TYPES[path.suffix])
