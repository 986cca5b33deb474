"""The OpenAPI document to click on, at ``/docs``: Swagger UI from an installed package. It loads nothing from elsewhere."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

ASSETS_PACKAGE = "fastapi_offline"

POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI sets styles of elements
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}

_START = b"""window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
"""

_PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>stompgate: REST</title>
<link rel="icon" href="test/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""


def assets_folder() -> Path | None:
    """Return where Swagger UI's files are installed, None where they are not."""
    spec = find_spec(ASSETS_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "static"


def docs_routes() -> APIRouter:
    """Return the route ``/docs`` and its files; none where Swagger UI is not installed. ``/openapi.json`` is there always."""
    routes = APIRouter(include_in_schema=False)
    folder = assets_folder()
    if folder is None:
        return routes
    files = {name: ((folder / name).read_bytes(), content_type) for name, content_type in _ASSETS.items()}
    files["start.js"] = (_START, "text/javascript; charset=utf-8")

    @routes.get("/docs")
    async def docs() -> Response:
        return Response(_PAGE, headers={"content-security-policy": POLICY}, media_type="text/html; charset=utf-8")

    @routes.get("/docs/{name}")
    async def file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        content, content_type = files[name]
        return Response(content, media_type=content_type)

    return routes
