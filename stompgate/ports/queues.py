"""Where the messages of queues wait for a consumer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from stompgate.model.queues import Claim, QueueMessage

from .part import Part


class QueueFull(Exception):
    """A queue holds as many messages as it may; nothing of the call was put. The text names the queue."""


class MessageTooLarge(Exception):
    """A message is larger than this place takes; nothing of the call was put. The text says by what."""


@runtime_checkable
class Queues(Part, Protocol):
    """Queues that the servers of a group share. They come into being with their first message, and go with the last.

    Every method raises ``StoreUnavailable`` or ``OutcomeUnknown`` of ``ports.store``, as there.
    """

    async def put(self, messages: Sequence[QueueMessage], *, limit: int, again: bool = False) -> None:
        """Let messages wait, in their order, all of them or none; durable when the call returns.

        One whose ``id`` waits already is not put again. ``again``: after ``OutcomeUnknown`` of the same call. Its messages may
        have been put, and consumed since: so what is put now counts as claimed once before, and is redelivered.
        Raises ``QueueFull`` if a queue would come to hold more than ``limit`` messages, the claimed ones included; servers that
        put at the same moment may together go beyond that, by a call each. Raises ``MessageTooLarge``.
        """

    async def claim(self, queue: str, limit: int, *, owner: str, attempt: str, again: bool = False) -> Sequence[Claim]:
        """Take up to ``limit`` messages into this server's hands, in the order they were put.

        None that somebody holds: a claim is held from here until it is settled, or until ``owner``, which is the owner of this
        server's lease, holds no valid lease any more. ``attempt``: a name that no other call has. ``again``: after
        ``OutcomeUnknown`` of the same call; returns what that has claimed, or claims if it has come to nothing. Nothing is kept
        for a call that is never made again, since its caller knows what it is.
        """

    async def claimable(self, queues: Sequence[str], *, owner: str) -> Sequence[str]:
        """In which of these queues there is something that ``owner`` might claim now. One call for all; it changes nothing."""

    async def settle(self, owner: str, *, consumed: Sequence[Claim], returned: Sequence[Claim]) -> None:
        """Let go of claims: ``consumed`` messages are gone, ``returned`` ones wait again, at their old place.

        A claim that this owner does not hold any more is passed over.
        """
