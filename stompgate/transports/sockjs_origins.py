"""Which pages may use SockJS, on each of the ways that a page has to it: by CORS, within an iframe, as a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from stompgate.access.origins import SAME_ORIGIN, AllowedOrigins
from stompgate.sockjs.paths import OF_A_SESSION, Endpoint

from .sockjs_answers import Asked, Header

_NOBODY: Final = "'none'"


class SockJsOrigins:
    """The allowed origins, as SockJS asks for them."""

    def __init__(self, origins: AllowedOrigins) -> None:
        self._origins = origins

    def admits(self, asked: Asked, endpoint: Endpoint) -> bool:
        """Whether the page that a request comes from may have it. One without an origin comes from no page, but for JSONP."""
        if self._origins.every or endpoint not in OF_A_SESSION | {Endpoint.INFO}:
            return True
        host, origin = asked.headers.get(b"host", ""), asked.headers.get(b"origin")
        if origin is None and endpoint is Endpoint.JSONP:
            # A script is loaded from anywhere without an Origin, and its answer is for the page: the page must show itself.
            if asked.headers.get(b"sec-fetch-site") == "same-origin":
                return self._origins.admits_same
            origin = _origin_of(asked.headers.get(b"referer", ""))
        return origin is None or self._origins.admit(origin, host)

    def cors(self, asked: Asked) -> Sequence[Header]:
        """What lets a page read the answer. Who admits all origins is asked by ``null`` and by none as well."""
        origin = asked.headers.get(b"origin")
        if origin in (None, "null"):
            if not self._origins.every:
                return ()
            origin = "*"
        headers = [(b"access-control-allow-origin", str(origin).encode()), (b"access-control-allow-credentials", b"true")]
        wanted = asked.headers.get(b"access-control-request-headers")
        if wanted:
            headers.append((b"access-control-allow-headers", wanted.encode("latin-1")))
        return headers

    def frame_policy(self) -> Sequence[Header]:
        """Within an iframe a page acts as one of our own, so that only the pages that may connect may have one."""
        if self._origins.every:
            return ()
        shown = ["'self'" if origin == SAME_ORIGIN else origin for origin in self._origins.texts]
        return ((b"content-security-policy", f"frame-ancestors {' '.join(shown) or _NOBODY}".encode()),)


def _origin_of(url: str) -> str:
    """The origin of a page; of what is no URL, none that is ever allowed."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
