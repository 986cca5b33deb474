"""The seam between a connection's bytes and the gateway: what a transport hands to a peer, and takes from it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from stompgate.model.causes import Cause


class Framing(Protocol):
    """How a STOMP frame looks on a kind of wire. One object for all connections of that kind: it is compared by identity."""

    def wrap(self, frame: bytes, *, is_text: bool) -> bytes:
        """The bytes of one frame, or of a heart-beat, as every such connection sends them. ``is_text``: it is UTF-8."""


class Outbox(Protocol):
    """What waits to be sent on one connection, bounded in bytes and time."""

    @property
    def last_sent_s(self) -> float:
        """When something was last handed to the socket, monotonic seconds."""

    @property
    def messages(self) -> int:
        """How many messages were offered."""

    @property
    def sent_bytes(self) -> int:
        """How much was handed to the socket."""

    @property
    def waiting_bytes(self) -> int:
        """What was offered and the system has not taken yet."""

    def offer(self, data: bytes) -> None:
        """Send a message, wrapped, soon, in order, together with what else comes in this turn of the loop. Never raises."""

    def offer_other(self, data: bytes) -> None:
        """The same for what is no message: answers, heart-beats, frames of the transport's own."""

    @property
    def is_blocked(self) -> bool:
        """Whether so much waits that the peer should be given no more, as far as is known without sending what was offered."""

    def drained(self) -> Awaitable[None] | None:
        """None if the peer keeps up, else an awaitable that ends when it does again, or never will. Ends no connection."""


class Link(Protocol):
    """One connection as the gateway sees it."""

    @property
    def transport(self) -> str:
        """What it comes by, for the counters: ``websocket``, ``tcp``, or a transport of SockJS, the first that it came by."""

    @property
    def framing(self) -> Framing:
        """How frames look on it."""

    @property
    def outbox(self) -> Outbox:
        """What waits to be sent."""

    @property
    def last_received_s(self) -> float:
        """When anything last came, monotonic seconds."""

    @property
    def close_code(self) -> int | None:
        """The code with which the peer closed its WebSocket, None if it did not close first."""

    def admit(self) -> None:
        """The peer has said who it is: it may send as much at a time as the settings allow."""

    def close(self, cause: Cause) -> None:
        """Send what was offered, then close with the cause's code. The peer's ``lost`` follows. Closing again does nothing."""

    def pause_reading(self) -> None:
        """Take no more bytes for now."""

    def resume_reading(self) -> None:
        """Take bytes again."""

    def describe(self) -> str:
        """The remote address, for the log."""
