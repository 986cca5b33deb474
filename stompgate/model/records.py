"""What servers tell each other through the relay."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import ChatMessage


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """A stored chat message. May come again; may come out of order; ``message.seq`` puts that right."""

    message: ChatMessage


@dataclass(frozen=True, slots=True)
class ForeignRecord:
    """A chat message that another program wrote to the relay: delivered live, in the order it comes, and not stored.

    ``id`` is made from its place in the relay, so that it is the same on every server; it holds no ``@``.
    """

    id: str
    room: str
    sender: str
    content: str
    timestamp: str | None


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """A room lost a member or was deleted: what is known of its members before ``members_version`` is out of date."""

    room: str
    members_version: int
    deleted: bool
    epoch: str


@dataclass(frozen=True, slots=True)
class BrokerRecord:
    """A message to a destination that is not stored.

    ``origin`` is the epoch of the server that took it in, ``counter`` its number there, rising. ``partition`` is the lane
    of the relay that it came by, within which one origin's records keep their order but for repeats. ``headers`` are the
    sender's own, in their order, without those that the server sets.
    """

    origin: str
    counter: int
    id: str
    destination: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    partition: int = 0


@dataclass(frozen=True, slots=True)
class QueueHint:
    """A queue has messages that wait for a consumer. It may be lost, or late: whoever has consumers also looks by itself.

    ``origin`` is the epoch of the server that says so and has heard of it already; empty where that is not known.
    """

    queue: str
    origin: str


Record = ChatRecord | ForeignRecord | RoomChanged | BrokerRecord | QueueHint
