"""The middleware around every answer: cross-origin calls are decided here, and the headers that all answers share are set.

It only adds headers that an answer lacks, so that an application mounted beside ours keeps its own.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stompgate.access.origins import AllowedOrigins
from stompgate.model.causes import Cause, Refusal

from .problems import problem
from .requests import OPERATOR_PREFIX

ALLOWED_METHODS = "GET, POST, DELETE, OPTIONS"
ALLOWED_HEADERS = "Content-Type, X-Auth-User"
PREFLIGHT_AGE_S = 600

NO_STORE = "no-cache, no-store, max-age=0, must-revalidate"

_PREFLIGHT = {
    "access-control-allow-methods": ALLOWED_METHODS,
    "access-control-allow-headers": ALLOWED_HEADERS,
    "access-control-max-age": str(PREFLIGHT_AGE_S),
}

_COMMON = (
    ("cache-control", NO_STORE),
    ("pragma", "no-cache"),
    ("expires", "0"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
)


class Gate:
    """ASGI middleware: CORS (Fetch standard, section 3.3) by the allowed origins, and the common headers."""

    def __init__(self, app: ASGIApp, origins: AllowedOrigins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        # No page is ever an operator: whatever origins are allowed, these paths are granted to none.
        is_open = not scope["path"].startswith(OPERATOR_PREFIX)
        admitted = is_open and origin is not None and self._origins.admit(origin, headers.get("host", ""))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _COMMON:
                    answer.setdefault(name, value)
                answer.add_vary_header("Origin")
                if admitted and origin is not None:
                    self._admit(answer, origin)
            await send(message)

        if origin is not None and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            answer = Response(None, 204, _PREFLIGHT) if admitted else problem(Refusal(Cause.ORIGIN_REFUSED))
            await answer(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _admit(self, answer: MutableHeaders, origin: str) -> None:
        answer["access-control-allow-origin"] = origin
        if not self._origins.every:  # who admits all origins has not meant that any page may act with a user's cookies
            answer["access-control-allow-credentials"] = "true"
