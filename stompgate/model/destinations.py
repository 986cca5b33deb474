"""Where frames go: a destination that has been checked, in the one form that every later step uses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a destination is for."""

    INTAKE = "intake"  # SEND only: a chat message for a room
    ROOM = "room"  # SUBSCRIBE only: the messages of a room, stored and in order
    BROADCAST = "broadcast"  # both: to all who subscribe, not stored
    OWN = "own"  # both: SUBSCRIBE to what is sent to oneself; SEND reaches this connection alone
    USER = "user"  # SEND only: to every session of a user
    QUEUE = "queue"  # both: each message goes to one consumer
    REPLY = "reply"  # SEND only: an answer to whoever gave this name away


@dataclass(frozen=True, slots=True)
class Destination:
    """A canonical destination. ``room`` is set for INTAKE and ROOM; ``is_pattern`` only ever for BROADCAST.

    ``is_servers``: only the server itself sends there.
    """

    name: str
    kind: Kind
    room: str = ""
    is_pattern: bool = False
    is_servers: bool = False
