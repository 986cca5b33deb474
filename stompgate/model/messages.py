"""Chat messages: as a sender drafts them, and as the store keeps them; and the position that a client comes back with."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked message on its way to the store.

    ``members_version`` is the version of the room's member list that the sender was checked against. ``client_id`` is the
    sender's own id (header ``client-message-id``), unique per room and sender. ``sent_at_us``: microseconds since 1970, UTC.
    ``transaction``: drafts of one group with the same name here, unless it is empty, are stored together or not at all.
    """

    id: str
    room: str
    sender: str
    content: str
    client_id: str | None
    sent_at_us: int
    members_version: int
    transaction: str = ""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A stored message. ``seq`` counts its room's messages from 1 without gaps; imported history has 0 and below."""

    id: str
    room: str
    seq: int
    sender: str
    content: str
    sent_at_us: int
    epoch: str
    members_version: int

    @property
    def position(self) -> str:
        return str(Position.of(self))


@dataclass(frozen=True, slots=True)
class Position:
    """How far a client has seen a room: the store's epoch, a ``seq``, and a short hash of that message's id.

    Clients hold it as an opaque text. ``mark`` is empty before a room's first message.
    """

    epoch: str
    seq: int
    mark: str

    @classmethod
    def of(cls, message: ChatMessage) -> Position:
        return cls(message.epoch, message.seq, mark_of(message.id))

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Read a position back from its text; None if no server ever wrote it so."""
        epoch, dot, rest = text.partition(".")
        seq, second_dot, mark = rest.partition(".")
        if not (dot and second_dot and epoch.isalnum() and len(text) <= 64):
            return None
        if not (seq.isascii() and seq.removeprefix("-").isdigit()):
            return None
        return cls(epoch, int(seq), mark)

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}.{self.mark}"


def mark_of(message_id: str) -> str:
    """Return 8 hexadecimal digits that tell a message from another one that once had its number."""
    return blake2b(message_id.encode(), digest_size=4).hexdigest()
