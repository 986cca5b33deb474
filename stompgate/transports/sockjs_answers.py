"""The answers of SockJS over HTTP: caching, the cookie, refusals, and responses that carry frames."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import orjson

from stompgate.model.causes import Refusal
from stompgate.sockjs.carriers import Carrier

if TYPE_CHECKING:
    from starlette.types import Send

    from .sockjs_receiving import Receiving

Header = tuple[bytes, bytes]

YEAR_S: Final = 31_536_000
COOKIE: Final = "JSESSIONID"

NOT_CACHED: Final[Header] = (b"cache-control", b"no-store, no-cache, must-revalidate, max-age=0")
CACHED: Final[tuple[Header, ...]] = (
    (b"cache-control", f"public, max-age={YEAR_S}".encode()),
    (b"expires", b"Thu, 31 Dec 2037 23:55:55 GMT"),
)
"""``expires`` for those who know nothing else: late enough, and within 32 bits."""

_REFUSED: Final[tuple[Header, ...]] = (
    (b"cache-control", b"no-cache, no-store, max-age=0, must-revalidate"),
    (b"pragma", b"no-cache"),
    (b"expires", b"0"),
)
_COMMON: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"Origin"),
)
_COOKIE_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]{1,256}")


def content_type(value: str) -> Header:
    """The header, as it is: SockJS wants these to the letter."""
    return b"content-type", value.encode()


class Asked:
    """What the heads of an answer need to know of its request."""

    __slots__ = ("headers", "method", "query")

    def __init__(self, method: str, headers: Iterable[Header], query: bytes) -> None:
        self.method = method
        self.headers: Mapping[bytes, str] = {name: value.decode("latin-1") for name, value in headers}
        self.query = query

    def cookie(self) -> Header:
        """``JSESSIONID`` as the client has it, or a dummy: some balancers keep together what has it ("JSESSIONID cookie")."""
        value = "dummy"
        for pair in self.headers.get(b"cookie", "").split(";"):
            name, _, given = pair.strip().partition("=")
            if name == COOKIE and _COOKIE_VALUE.fullmatch(given):
                value = given
        return b"set-cookie", f"{COOKIE}={value}; path=/".encode()


async def start(send: Send, status: int, headers: Iterable[Header]) -> None:
    """Begin an answer."""
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_COMMON]})


async def whole(send: Send, status: int, headers: Iterable[Header], body: bytes = b"") -> None:
    """Give an answer whose body is known."""
    length: tuple[Header, ...] = () if status in (204, 304) else ((b"content-length", str(len(body)).encode()),)
    await start(send, status, (*headers, *length))
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, refusal: Refusal, headers: Iterable[Header] = ()) -> None:
    """Answer with a problem document (RFC 9457)."""
    body = orjson.dumps(refusal.problem())
    head = (*headers, *_REFUSED, content_type("application/problem+json"))
    await whole(send, refusal.cause.http_status, head, body)


async def nothing(send: Send, status: int, headers: Iterable[Header] = ()) -> None:
    """Refuse without a word."""
    await whole(send, status, (*headers, *_REFUSED))


class FrameAnswer:
    """A response that carries frames, each as a piece of its own."""

    __slots__ = ("_callback", "_carrier", "_left_bytes", "_send")

    def __init__(self, carrier: Carrier, callback: str, send: Send, limit_bytes: int) -> None:
        self._carrier = carrier
        self._callback = callback
        self._send = send
        self._left_bytes = limit_bytes if carrier.streams else 1

    async def begin(self, headers: Sequence[Header]) -> None:
        """Send the head, and what comes before all frames."""
        await start(self._send, 200, headers)
        prelude = self._carrier.prelude(self._callback)
        if prelude:
            await self._send({"type": "http.response.body", "body": prelude, "more_body": True})

    async def carry(self, receiver: Receiving) -> None:
        """Send frames until it is enough, the session is over, or the client is gone."""
        while (frame := await receiver.next_frame()) is not None:
            data = self._carrier.wrap(frame, self._callback)
            self._left_bytes -= len(data)
            is_last = self._left_bytes <= 0 or frame.startswith(b"c")
            await self._send({"type": "http.response.body", "body": data, "more_body": not is_last})
            if is_last:
                return

    async def end(self, frame: bytes) -> None:
        """Send one frame, the last."""
        await self._send({"type": "http.response.body", "body": self._carrier.wrap(frame, self._callback)})
