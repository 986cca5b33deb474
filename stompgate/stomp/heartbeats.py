"""The arithmetic of heart-beats (STOMP 1.2, Heart-beating). When one is due is for whoever has a clock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stompgate.model.causes import Cause, Refusal

_PAIR: Final = re.compile(r" *([0-9]{1,18}) *, *([0-9]{1,18}) *")


@dataclass(frozen=True, slots=True)
class HeartBeat:
    """What one side offers: it can send every ``send_ms`` milliseconds, and would like to receive every ``receive_ms``.

    0 means that it cannot, or does not wish to.
    """

    send_ms: int
    receive_ms: int

    def __str__(self) -> str:
        return f"{self.send_ms},{self.receive_ms}"


NO_HEARTBEAT: Final = HeartBeat(0, 0)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What holds on this server's side, in seconds; 0.0 means that a direction has no heart-beats.

    Something must be sent within every ``send_every_s``, and is expected from the peer within every ``expect_every_s``.
    """

    send_every_s: float
    expect_every_s: float


def parse(value: str | None) -> HeartBeat:
    """Read a ``heart-beat`` header; an absent one means none. Raises ``Refusal`` if it is not two numbers."""
    if value is None:
        return NO_HEARTBEAT
    pair = _PAIR.fullmatch(value)
    if pair is None:
        raise Refusal(Cause.BAD_HEADER, "The heart-beat header must be two numbers of milliseconds, as in 10000,10000 .")
    return HeartBeat(int(pair[1]), int(pair[2]))


def negotiate(client: HeartBeat, server: HeartBeat) -> Agreement:
    """Return what client and server agree on: each direction by itself, off if either side says 0, else the slower."""
    return Agreement(_interval_s(server.send_ms, client.receive_ms), _interval_s(client.send_ms, server.receive_ms))


def _interval_s(can_ms: int, wish_ms: int) -> float:
    return max(can_ms, wish_ms) / 1000 if can_ms and wish_ms else 0.0
