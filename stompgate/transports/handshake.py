"""The opening handshake of a WebSocket (RFC 6455 section 4.2): the head of a request in, the answer out. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote

import orjson
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from stompgate.access.origins import AllowedOrigins
from stompgate.gateway.link import Link
from stompgate.model.causes import Cause, Refusal
from stompgate.stomp.versions import choose_subprotocol

from .deflate import Deflate, Inflater

if TYPE_CHECKING:
    from .websocket import Receiver

_VERSION: Final = "13"


Attach = Callable[[Link], "Receiver"]


class Entrance(Protocol):
    """Who takes WebSockets at paths of its own."""

    def entrance(self, path: str) -> Attach | None:
        """Who takes a WebSocket that is opened at this path; None if nobody does."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """The answer to an upgrade request. Without ``refused`` the connection speaks WebSocket from here on; else it is closed.
    ``inflater`` is set where compression was agreed, ``attach`` where the path has a receiver of its own. ``forwarded``: the
    values of ``X-Forwarded-For``."""

    answer: bytes
    refused: Cause | None = None
    inflater: Inflater | None = None
    attach: Attach | None = None
    forwarded: Sequence[str] = ()


class Doorman:
    """Says who may open a WebSocket: on which paths, and from pages of which origins; and whether it is compressed.

    What is opened at ``paths`` is the gateway's. ``entrances`` have paths of their own.
    """

    def __init__(
        self,
        paths: Sequence[str],
        origins: AllowedOrigins,
        deflate: Deflate | None = None,
        entrances: Sequence[Entrance] = (),
    ) -> None:
        self._paths = frozenset(paths)
        self._origins = origins
        self._deflate = deflate
        self._entrances = entrances

    def answer(self, head: bytes) -> Handshake:
        """Answer the complete head of an upgrade request."""
        protocol = ServerProtocol(select_subprotocol=_select_subprotocol)
        protocol.receive_data(head)
        events = protocol.events_received()
        if not (events and isinstance(events[0], Request)):
            return _refusal(Refusal(Cause.BAD_REQUEST, "The head is not valid HTTP."))
        request = events[0]
        try:
            attach = self._check(request)
        except Refusal as refusal:
            return _refusal(refusal)
        if self._deflate is not None and (self._deflate.serves_strangers or "Origin" not in request.headers):
            # A browser, which tells its origin, compresses everything, CONNECT too: it must not be led to what is refused.
            protocol.available_extensions = [self._deflate]
        response = protocol.accept(request)
        if attach is not None and response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return Handshake(_bare(response).serialize(), Cause.BAD_REQUEST)
        if attach is not None and response.status_code == HTTPStatus.UPGRADE_REQUIRED:
            # SockJS wants 400 for a Connection header that a proxy has changed; the version comes to its 426 below.
            response.status_code, response.reason_phrase = HTTPStatus.BAD_REQUEST.value, HTTPStatus.BAD_REQUEST.phrase
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return Handshake(_as_problem(response, request.headers).serialize(), Cause.BAD_REQUEST)
        inflater = next((found for found in protocol.extensions if isinstance(found, Inflater)), None)
        forwarded = request.headers.get_all("X-Forwarded-For")
        return Handshake(response.serialize(), inflater=inflater, attach=attach, forwarded=forwarded)

    def _check(self, request: Request) -> Attach | None:
        path = request.path.partition("?")[0]
        attach = None if path in self._paths else self._entrance(path)
        if attach is None and path not in self._paths:
            raise Refusal(Cause.NOT_FOUND, f"WebSockets are served at {', '.join(sorted(self._paths))}.")
        origins = request.headers.get_all("Origin")
        host = ",".join(request.headers.get_all("Host"))
        if len(origins) > 1 or (origins and not self._origins.admit(origins[0], host)):
            raise Refusal(Cause.ORIGIN_REFUSED)
        return attach

    def _entrance(self, path: str) -> Attach | None:
        text = unquote(path, errors="replace")
        return next((attach for entrance in self._entrances if (attach := entrance.entrance(text)) is not None), None)


def _refusal(refusal: Refusal) -> Handshake:
    return Handshake(refused(refusal).serialize(), refusal.cause)


def refused(refusal: Refusal) -> Response:
    """A refusal as an HTTP response with a problem document (RFC 9457), after which the connection is closed."""
    body = orjson.dumps(refusal.problem())
    headers = Headers([("Connection", "close"), ("Content-Length", str(len(body)))])
    headers["Content-Type"] = "application/problem+json"
    status = refusal.cause.http_status
    return Response(status, refusal.cause.code, headers, body)


def _bare(response: Response) -> Response:
    """A refusal of the library's without its text, as SockJS wants it."""
    response.body = b""
    del response.headers["Content-Length"], response.headers["Content-Type"]
    response.headers["Content-Length"] = "0"
    return response


def _as_problem(response: Response, asked: Headers) -> Response:
    """A refusal of the library's, with a problem document in the place of its text."""
    versions = asked.get_all("Sec-WebSocket-Version")
    if response.status_code == HTTPStatus.BAD_REQUEST and versions and versions != [_VERSION]:
        # RFC 6455 section 4.2.2 point 4; the library says 400. RFC 9110 section 15.5.22 wants Upgrade beside 426.
        response.status_code, response.reason_phrase = HTTPStatus.UPGRADE_REQUIRED.value, HTTPStatus.UPGRADE_REQUIRED.phrase
        response.headers["Upgrade"] = "websocket"
        response.headers["Sec-WebSocket-Version"] = _VERSION
    explanation = (response.body or b"").decode("utf-8", "replace").strip().partition("\n")[0]
    problem = {**Refusal(Cause.BAD_REQUEST, explanation).problem(), "status": response.status_code}
    response.body = orjson.dumps(problem)
    del response.headers["Content-Length"], response.headers["Content-Type"]
    response.headers["Content-Length"] = str(len(response.body))
    response.headers["Content-Type"] = "application/problem+json"
    return response


def _select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    chosen = choose_subprotocol(offered)
    return Subprotocol(chosen) if chosen is not None else None
