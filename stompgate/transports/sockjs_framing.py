"""How a message looks to SockJS clients: as a JSON string, encoded once for all of them that share a kind of wire.

SockJS carries text alone. In the place of a message that is none goes what the mount says, and it is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from stompgate.gateway.link import Framing
from stompgate.sockjs.framing import HEARTBEAT, encode_message, messages_frame


@dataclass(slots=True)
class Texts:
    """What a mount's framings share. ``instead``: the message that goes in the place of one that is no text, None for none at
    all; ``not_text``: how many were met."""

    instead: bytes | None = None
    not_text: int = 0

    def encode(self, message: bytes) -> bytes:
        """The message as a JSON string; empty if there is nothing to send."""
        try:
            return encode_message(message)
        except UnicodeDecodeError:
            self.not_text += 1
            return b"" if self.instead is None else encode_message(self.instead)


class SockJsFraming:
    """A message as the JSON string that the responses of requests put into their frames."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def wrap(self, frame: bytes, *, is_text: bool) -> bytes:  # noqa: ARG002 (a lone surrogate is none, and goes all the same)
        """Return the JSON string."""
        return self._texts.encode(frame)


class SockJsMessageFraming:
    """A message as a SockJS frame in a WebSocket message of its own, on WebSockets of one kind."""

    __slots__ = ("_texts", "_wire")

    def __init__(self, texts: Texts, wire: Framing) -> None:
        self._texts = texts
        self._wire = wire

    def wrap(self, frame: bytes, *, is_text: bool) -> bytes:  # noqa: ARG002 (see above)
        """Return the WebSocket message."""
        encoded = self._texts.encode(frame)
        return self._wire.wrap(messages_frame((encoded,)) if encoded else HEARTBEAT, is_text=True)
