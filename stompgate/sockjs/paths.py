"""The paths below the place where a SockJS service is mounted, and the methods that each takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

_IFRAME: Final = re.compile(r"/iframe[^/]*\.html")
_SESSION: Final = re.compile(r"/([^/.;]+)/([^/.;]+)/([a-z_]+)")
"""Server and session are free text but for dots (sockjs-protocol, "Session URLs"), and for what begins a matrix parameter."""


class Endpoint(Enum):
    """What there is below a mount. Those of a session have the name that they have in a path."""

    GREETING = "greeting"
    IFRAME = "iframe"
    INFO = "info"
    RAW_WEBSOCKET = "raw websocket"
    WEBSOCKET = "websocket"
    XHR = "xhr"
    XHR_STREAMING = "xhr_streaming"
    XHR_SEND = "xhr_send"
    EVENTSOURCE = "eventsource"
    HTMLFILE = "htmlfile"
    JSONP = "jsonp"
    JSONP_SEND = "jsonp_send"


OF_A_SESSION: Final = frozenset(
    set(Endpoint) - {Endpoint.GREETING, Endpoint.IFRAME, Endpoint.INFO, Endpoint.RAW_WEBSOCKET},
)
SENDING: Final = frozenset({Endpoint.XHR_SEND, Endpoint.JSONP_SEND})

METHODS: Final[Mapping[Endpoint, tuple[str, ...]]] = {
    Endpoint.GREETING: ("GET",),
    Endpoint.IFRAME: ("GET",),
    Endpoint.INFO: ("OPTIONS", "GET"),
    Endpoint.RAW_WEBSOCKET: ("GET",),
    Endpoint.WEBSOCKET: ("GET",),
    Endpoint.XHR: ("OPTIONS", "POST"),
    Endpoint.XHR_STREAMING: ("OPTIONS", "POST"),
    Endpoint.XHR_SEND: ("OPTIONS", "POST"),
    Endpoint.EVENTSOURCE: ("OPTIONS", "GET"),
    Endpoint.HTMLFILE: ("GET",),
    Endpoint.JSONP: ("GET",),
    Endpoint.JSONP_SEND: ("POST",),
}
"""In the order that ``Access-Control-Allow-Methods`` has them."""

_BY_NAME: Final = {endpoint.value: endpoint for endpoint in OF_A_SESSION}


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names. ``session`` is the client's own id, "" where there is none."""

    endpoint: Endpoint
    session: str = ""


def read_path(tail: str) -> Place | None:
    """Read what follows the mount's own path; None if there is nothing there. The server's id says nothing, and is dropped."""
    match tail:
        case "" | "/":
            return Place(Endpoint.GREETING)
        case "/info":
            return Place(Endpoint.INFO)
        case "/websocket":
            return Place(Endpoint.RAW_WEBSOCKET)
    if _IFRAME.fullmatch(tail):
        return Place(Endpoint.IFRAME)
    found = _SESSION.fullmatch(tail)
    endpoint = _BY_NAME.get(found[3]) if found else None
    return Place(endpoint, found[2]) if found and endpoint else None
