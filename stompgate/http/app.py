"""The HTTP application: every path on one FastAPI, behind one gate. It opens nothing and owns no task."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from stompgate import __version__
from stompgate.access.origins import AllowedOrigins

from .chat import chat_routes
from .debug import debug_routes
from .docs import docs_routes
from .gate import Gate
from .health import health_routes
from .inquiries import inquiry_routes
from .metrics import metrics_routes
from .objects import PROBLEM_SCHEMA
from .operator import operator_routes
from .pages import page_routes
from .parts import EVERYONE, HttpParts, HttpSettings
from .problems import install_problems
from .requests import token_only
from .rooms import room_routes

DESCRIPTION = """
Rooms of a buyer and a seller, their history, and who is connected. The chat itself is STOMP over a WebSocket on `/ws-stomp`:
subscribe to `/sub/chat/room/{roomUUID}`, send to `/pub/room/{roomUUID}/message`.

Every error is a problem document (RFC 9457) with a stable `code`.
"""


def build_app(parts: HttpParts, settings: HttpSettings) -> FastAPI:
    """Return the application that answers everything but WebSocket upgrades."""
    app = _application(
        settings.allowed_origins,
        room_routes(parts, settings),
        chat_routes(parts, settings),
        inquiry_routes(parts, settings),
        debug_routes(parts, settings),
        operator_routes(parts, settings, [token_only(settings)]),
        health_routes(parts.health),
        metrics_routes(parts.sources, settings),
        page_routes(),
        docs_routes(),
    )

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
            schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    return app


def build_operator_app(parts: HttpParts, settings: HttpSettings) -> FastAPI:
    """Return the application of the operator's socket. Whoever can open that is an operator."""
    return _application(
        AllowedOrigins(()),
        operator_routes(parts, settings),
        health_routes(parts.health),
        metrics_routes(parts.sources, HttpSettings(operators=EVERYONE)),
    )


def _application(origins: AllowedOrigins, *every: APIRouter) -> FastAPI:
    app = FastAPI(title="stompgate", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    install_problems(app)
    app.add_middleware(Gate, origins=origins)
    for routes in every:
        app.include_router(routes)
    return app
