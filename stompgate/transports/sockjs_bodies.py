"""What requests of SockJS bring: a callback's name in the query, messages in the body or in a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from stompgate.model.causes import Cause, Refusal
from stompgate.sockjs.framing import NoPayload

if TYPE_CHECKING:
    from starlette.types import Receive

_FIELDS: Final = 16
"""Fields of a query or a form that are looked at."""


def callback_in(query: bytes) -> str | None:
    """The callback's name."""
    try:
        values = parse_qs(query.decode("ascii", "replace"), max_num_fields=_FIELDS)
    except ValueError:
        return None
    found = values.get("c") or values.get("callback")
    return found[0] if found else None


def payload_in_form(body: bytes) -> bytes:
    """The messages in a form, its field ``d``. Raises ``NoPayload``."""
    try:
        values = parse_qs(body.decode("ascii", "replace"), max_num_fields=_FIELDS, errors="surrogateescape")
    except ValueError as error:
        raise NoPayload from error
    found = values.get("d")
    if not found:
        raise NoPayload
    return found[0].encode("utf-8", "surrogateescape")


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """The body of a request. Raises ``Refusal`` (FRAME_TOO_LARGE) before more than the limit is held."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(Cause.PEER_LEFT)
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit_bytes:
            raise Refusal(Cause.FRAME_TOO_LARGE, f"The body may have {limit_bytes} bytes.")
    return bytes(body)
