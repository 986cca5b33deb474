"""Identifiers that the server makes: random, never guessable, never a capability."""

from __future__ import annotations

import secrets
import uuid


def new_message_id() -> str:
    """Return a new message id (UUID version 4, 36 characters)."""
    return str(uuid.uuid4())


def new_room_id() -> str:
    """Return a new room id (UUID version 4, 36 characters)."""
    return str(uuid.uuid4())


def new_session_id() -> str:
    """Return a new session id (128 random bits as a UUID, as existing readers expect one)."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def new_epoch() -> str:
    """Return a name for a new life of a store or server (48 random bits, 12 hexadecimal digits)."""
    return secrets.token_hex(6)
