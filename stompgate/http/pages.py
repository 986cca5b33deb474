"""The page to try the chat in a browser. It loads nothing from elsewhere, and the browser is told to hold it to that."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

POLICY = "; ".join(
    (
        "default-src 'self'",
        "connect-src 'self' ws: wss:",  # 'self' does not cover the WebSocket in every browser
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def read_static() -> dict[str, tuple[bytes, str]]:
    """Return the page's files by name: content and type. Only these names are ever served."""
    found: dict[str, tuple[bytes, str]] = {}
    for file in files("stompgate.http").joinpath("static").iterdir():
        content_type = _TYPES.get(file.name[file.name.rfind(".") :])
        if content_type is not None:
            found[file.name] = (file.read_bytes(), content_type)
    return found


def page_routes() -> APIRouter:
    """Return the routes below ``/test``."""
    routes = APIRouter(prefix="/test", include_in_schema=False)
    static = read_static()

    @routes.api_route("/", methods=["GET", "HEAD"])
    @routes.api_route("/local", methods=["GET", "HEAD"])
    async def page() -> Response:
        return _file("test.html")

    @routes.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def file(name: str) -> Response:
        return _file(name)

    def _file(name: str) -> Response:
        if name not in static:
            raise HTTPException(404)
        content, content_type = static[name]
        return Response(content, headers={"content-security-policy": POLICY}, media_type=content_type)

    return routes
