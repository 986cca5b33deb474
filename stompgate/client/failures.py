"""What can go wrong for a client, as exceptions, and what the server's words for it mean.

Pure. Each failure has the ``code`` of docs/errors.md where the server named one, and tells whether trying again may help.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from stompgate.model.causes import Cause

_RETRY_BY_CODE: Final = {cause.code: cause.retry for cause in Cause}


class Failure(Exception):
    """Something did not work. ``code`` is for programs, ``text`` for people; ``retry``: the same may work when tried again."""

    def __init__(self, code: str, text: str, *, retry: bool) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.retry = retry


class Refused(Failure):
    """The server has refused this very frame. It has had no effect, unless the code is ``outcome-unknown``."""


class ConnectionLost(Failure):
    """The connection has ended, or could not be made. What was not answered may or may not have taken effect.

    ``close_code`` is that of the WebSocket's close, where there was one.
    """

    def __init__(self, code: str, text: str, *, retry: bool = True, close_code: int | None = None) -> None:
        super().__init__(code, text, retry=retry)
        self.close_code = close_code


class NoAnswer(Failure, TimeoutError):
    """The answer did not come in time. What was asked for may or may not have taken effect."""

    def __init__(self, text: str) -> None:
        super().__init__("no-answer", text, retry=True)


def refused_by(headers: Mapping[str, str], body: bytes) -> Refused:
    """Read an ERROR, or the MESSAGE that a soft error is."""
    code = headers.get("code", "error")
    retry = headers.get("retry", "") == "true" if "retry" in headers else _RETRY_BY_CODE.get(code, False)
    explanation = _detail(body) if headers.get("content-type") == "application/json" else body.decode("utf-8", "replace")
    return Refused(code, explanation or headers.get("message", ""), retry=retry)


def lost_by_error(headers: Mapping[str, str], body: bytes) -> ConnectionLost:
    """What an ERROR means for all who did not send the refused frame: the connection is over.

    An ERROR that is about one frame says nothing against the next connection.
    """
    refused = refused_by(headers, body)
    return ConnectionLost(refused.code, refused.text, retry=refused.retry or "receipt-id" in headers)


def lost_by_close(close_code: int | None, reason: str) -> ConnectionLost:
    """What the close of a WebSocket means. None: it was cut."""
    code = reason or "connection-lost"
    text = f"The WebSocket was closed with {close_code}." if close_code is not None else "The connection was cut."
    return ConnectionLost(code, text, retry=_RETRY_BY_CODE.get(code, True), close_code=close_code)


def lost_before_open(error: Exception) -> ConnectionLost:
    """What it means that no connection was made. A certificate that is not trusted is none the next time either."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionLost("certificate-refused", error.verify_message, retry=False)
    return ConnectionLost("unreachable", str(error) or "no answer in time")


def lost_by_handshake(status: int, body: bytes) -> ConnectionLost:
    """What an HTTP answer other than 101 means."""
    retry = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
    return ConnectionLost(f"http-{status}", _detail(body) or "The server did not take the WebSocket.", retry=retry)


def _detail(problem: bytes) -> str:
    """The words of a problem document (RFC 9457); empty if it is none."""
    try:
        members = json.loads(problem)
    except ValueError:
        return ""
    return str(members.get("detail", "")) if isinstance(members, dict) else ""
