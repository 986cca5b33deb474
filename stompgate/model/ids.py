"""Identifiers that the server makes: random, never guessable, never a capability."""

from __future__ import annotations

import secrets
import uuid


def new_message_id(now_us: int) -> str:
    """Return a new message id: a UUID version 7 (RFC 9562), 36 characters, from microseconds since 1970 and 74 random bits.

    Ids that rise with time keep the store's index pages warm; written by hand, since this is done for every message.
    """
    time_ms = f"{now_us // 1000:012x}"
    chance = secrets.token_hex(10)
    variant = "89ab"[int(chance[3], 16) & 3]
    return f"{time_ms[:8]}-{time_ms[8:12]}-7{chance[:3]}-{variant}{chance[4:7]}-{chance[7:19]}"


def new_room_id() -> str:
    """Return a new room id (UUID version 4, 36 characters)."""
    return str(uuid.uuid4())


def new_session_id() -> str:
    """Return a new session id (128 random bits as a UUID, as existing readers expect one)."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def new_epoch() -> str:
    """Return a name for a new life of a store or server (48 random bits, 12 hexadecimal digits)."""
    return secrets.token_hex(6)
