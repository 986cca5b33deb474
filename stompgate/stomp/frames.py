"""What a frame is, which commands there are, and which headers belong to the server.

A frame is a value: nothing here knows how it looks on the wire, and its header texts are already unescaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stompgate.model.causes import Cause, Refusal


class Command:
    """The commands of all versions. Plain texts, since each frame is compared with several of them."""

    CONNECT: Final = "CONNECT"
    STOMP: Final = "STOMP"
    SEND: Final = "SEND"
    SUBSCRIBE: Final = "SUBSCRIBE"
    UNSUBSCRIBE: Final = "UNSUBSCRIBE"
    ACK: Final = "ACK"
    NACK: Final = "NACK"
    BEGIN: Final = "BEGIN"
    COMMIT: Final = "COMMIT"
    ABORT: Final = "ABORT"
    DISCONNECT: Final = "DISCONNECT"

    CONNECTED: Final = "CONNECTED"
    MESSAGE: Final = "MESSAGE"
    RECEIPT: Final = "RECEIPT"
    ERROR: Final = "ERROR"


CLIENT_COMMANDS: Final[frozenset[str]] = frozenset(
    {
        Command.CONNECT,
        Command.STOMP,
        Command.SEND,
        Command.SUBSCRIBE,
        Command.UNSUBSCRIBE,
        Command.ACK,
        Command.NACK,
        Command.BEGIN,
        Command.COMMIT,
        Command.ABORT,
        Command.DISCONNECT,
    }
)
SERVER_COMMANDS: Final[frozenset[str]] = frozenset({Command.CONNECTED, Command.MESSAGE, Command.RECEIPT, Command.ERROR})

COMMANDS_WITH_BODY: Final[frozenset[str]] = frozenset({Command.SEND, Command.MESSAGE, Command.ERROR})
"""Only these may have a body (STOMP 1.2, Body)."""

CONNECTING_COMMANDS: Final[frozenset[str]] = frozenset({Command.CONNECT, Command.STOMP, Command.CONNECTED})
"""Frames of the handshake: never escaped, since the version is not agreed on yet (STOMP 1.2, Value Encoding).

1.2 names CONNECT and CONNECTED alone, but has a STOMP frame read just as CONNECT.
"""

RESERVED_ON_SEND: Final[frozenset[str]] = frozenset(
    {
        "destination",
        "message-id",
        "subscription",
        "ack",
        "content-length",
        "receipt",
        "transaction",
        "client-message-id",
        "position",
        "redelivered",
    }
)
"""Headers of a SEND that are meant for the server or set by it; every other one reaches the MESSAGE (STOMP 1.2, SEND)."""

HEARTBEAT: Final = b"\n"
"""What is sent when there is nothing else to send (STOMP 1.2, Heart-beating)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame. ``headers`` keep their order; of repeated ones the first is kept (STOMP 1.2, Repeated Header Entries)."""

    command: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class FrameRefusal(Refusal):
    """A frame cannot be read. ``receipt`` is what its ``receipt`` header asked for, where that was readable."""

    def __init__(self, cause: Cause, explanation: str, *, receipt: str | None) -> None:
        super().__init__(cause, explanation)
        self.receipt = receipt


def user_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the headers of a SEND that its MESSAGE carries on, in their order."""
    return tuple(header for header in headers.items() if header[0] not in RESERVED_ON_SEND)
