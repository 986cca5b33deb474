"""The HTTP application: every path on one FastAPI, behind one gate. It opens nothing and owns no task."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from stompgate import __version__

from .chat import chat_routes
from .debug import debug_routes
from .docs import docs_routes
from .gate import Gate
from .health import health_routes
from .inquiries import inquiry_routes
from .metrics import metrics_routes
from .objects import PROBLEM_SCHEMA
from .pages import page_routes
from .parts import HttpParts, HttpSettings
from .problems import install_problems
from .rooms import room_routes

DESCRIPTION = """
Rooms of a buyer and a seller, their history, and who is connected. The chat itself is STOMP over a WebSocket on `/ws-stomp`:
subscribe to `/sub/chat/room/{roomUUID}`, send to `/pub/room/{roomUUID}/message`.

Every error is a problem document (RFC 9457) with a stable `code`.
"""


def build_app(parts: HttpParts, settings: HttpSettings) -> FastAPI:
    """Return the application that answers everything but WebSocket upgrades."""
    app = FastAPI(title="stompgate", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    install_problems(app)
    app.add_middleware(Gate, origins=settings.allowed_origins)
    for routes in (
        room_routes(parts, settings),
        chat_routes(parts, settings),
        inquiry_routes(parts, settings),
        debug_routes(parts, settings),
        health_routes(parts.health),
        metrics_routes(parts.sources, settings),
        page_routes(),
        docs_routes(),
    ):
        app.include_router(routes)

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
            schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    return app
