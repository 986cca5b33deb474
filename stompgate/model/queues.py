"""Messages of queues: each goes to one consumer, and comes back until one has acknowledged it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message that waits in a queue. ``queue`` is its destination; ``sent_at_us``: microseconds since 1970, UTC."""

    id: str
    queue: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sent_at_us: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A message in the hands of one server. ``deliveries`` counts its claims, this one included.

    The number is the claim's token: whoever lost a message, by a lease that ran out, holds an older number than the one who
    has it now, and can settle nothing with it.
    """

    message: QueueMessage
    deliveries: int

    @property
    def is_redelivered(self) -> bool:
        return self.deliveries > 1
