"""The frames that a server answers with: CONNECTED, RECEIPT and ERROR.

Every text in an ERROR is public; a log's detail never gets here.
"""

from __future__ import annotations

from collections.abc import Mapping

from stompgate.model.causes import Cause

from .frames import Command, Frame
from .heartbeats import HeartBeat
from .versions import Version


def connected(version: Version, heart_beat: HeartBeat, headers: Mapping[str, str] | None = None) -> Frame:
    """Return CONNECTED. ``heart_beat`` is what this server offers; further headers (session, server) follow."""
    return Frame(Command.CONNECTED, {"version": version.value, "heart-beat": str(heart_beat), **(headers or {})})


def receipt(receipt_id: str, headers: Mapping[str, str] | None = None) -> Frame:
    """Return the RECEIPT of a frame that asked for one, with headers of our own after it."""
    return Frame(Command.RECEIPT, {"receipt-id": receipt_id, **(headers or {})})


def error(
    cause: Cause, explanation: str = "", receipt_id: str | None = None, headers: Mapping[str, str] | None = None
) -> Frame:
    """Return the ERROR of a cause.

    ``message`` is the cause's text, ``code`` its stable name, ``retry`` whether trying again may help, and the body says
    what was expected. ``receipt_id``: the receipt that the refused frame asked for (STOMP 1.2, ERROR).
    """
    facts = {"message": cause.text, "code": cause.code, "retry": "true" if cause.retry else "false"}
    if receipt_id is not None:
        facts["receipt-id"] = receipt_id
    facts["content-type"] = "text/plain;charset=utf-8"
    return Frame(Command.ERROR, {**facts, **(headers or {})}, (explanation or cause.text).encode("utf-8", "replace"))
