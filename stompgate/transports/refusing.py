"""What becomes of a connection that is refused at a door: it is answered, and what it still sends goes nowhere.

It is not closed at once, for a reset would destroy the answer; but only so many linger at a time: each takes an open file.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from stompgate.model.causes import Cause, Refusal
from stompgate.stomp import answers
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version
from stompgate.timing.wheel import Entry

if TYPE_CHECKING:
    from .door import House

_LINGER_S: Final = 2.0
LINGERING: Final = 32
"""How many connections may be there beyond the limit, or stay on, to be told why they must go."""


def turn_away(house: House, transport: asyncio.Transport, answer: bytes, cause: Cause) -> None:
    """Send the answer, and nothing after it, to a connection that stays outside; let go of it when it has had time to read."""
    refused = _Refused(house)
    transport.set_protocol(refused)
    house.refused[cause] += 1
    transport.write(answer)
    ends_at_once = transport.can_write_eof()  # TLS waits for the peer's own end, and for longer than we want to
    if house.lingering < LINGERING:
        if ends_at_once:
            transport.write_eof()
        else:
            transport.close()
        refused.linger(transport)
    elif ends_at_once:
        transport.close()
    else:
        transport.abort()


def in_stomp(refusal: Refusal) -> bytes:
    """A refusal as an ERROR frame, for a peer of which no version is known. ``handshake.refused`` is the same in HTTP."""
    return serialize(answers.error(refusal.cause, refusal.explanation), Version.V1_2)


class _Refused(asyncio.Protocol):
    """Takes the place of the protocol that the connection would have had."""

    __slots__ = ("_house", "_until")

    def __init__(self, house: House) -> None:
        self._house = house
        self._until: Entry | None = None

    def linger(self, transport: asyncio.Transport) -> None:
        """Stay until the peer closes, but not for long."""
        self._house.lingering += 1
        flusher = self._house.flusher
        self._until = flusher.wheel.schedule(flusher.now_s() + _LINGER_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Thrown away."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """The peer has left, or was let go of."""
        if self._until is not None:
            self._until.cancel()
            self._until = None
            self._house.lingering -= 1
