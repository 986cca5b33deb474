"""Identifiers that the server makes: random, never guessable, never a capability."""

from __future__ import annotations

import secrets
import uuid
from typing import Final

_CHANCE_BYTES: Final = 10
_IDS_AT_ONCE: Final = 256


def new_room_id() -> str:
    """Return a new room id (UUID version 4, 36 characters)."""
    return str(uuid.uuid4())


def new_session_id() -> str:
    """Return a new session id (128 random bits as a UUID, as existing readers expect one)."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def new_epoch() -> str:
    """Return a name for a new life of a store or server (48 random bits, 12 hexadecimal digits)."""
    return secrets.token_hex(6)


class MessageIds:
    """Makes message ids: UUIDs version 7 (RFC 9562), 36 characters, of a time and 74 random bits.

    Ids that rise with time keep the store's index pages warm. One is made for every message, so the system is asked for
    random bytes for many at a time.
    """

    __slots__ = ("_chance", "_used")

    def __init__(self) -> None:
        self._chance = ""
        self._used = 0

    def new(self, now_us: int) -> str:
        """Return a new id. ``now_us``: microseconds since 1970, UTC."""
        if self._used >= len(self._chance):
            self._chance = secrets.token_hex(_CHANCE_BYTES * _IDS_AT_ONCE)
            self._used = 0
        chance = self._chance[self._used : self._used + _CHANCE_BYTES * 2]
        self._used += _CHANCE_BYTES * 2
        time_ms = f"{now_us // 1000:012x}"
        variant = "89ab"[int(chance[3], 16) & 3]
        return f"{time_ms[:8]}-{time_ms[8:12]}-7{chance[:3]}-{variant}{chance[4:7]}-{chance[7:19]}"
