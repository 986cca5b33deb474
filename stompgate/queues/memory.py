"""Queues in the memory of one server: fast, and gone with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stompgate.model.queues import Claim, QueueMessage
from stompgate.ports.part import SetupError
from stompgate.ports.queues import QueueFull


@dataclass(slots=True)
class _Waiting:
    message: QueueMessage
    deliveries: int = 0
    holder: tuple[str, str] | None = None  # owner and attempt


class MemoryQueues:
    """``ports.queues.Queues`` of one process, whose lease never ends."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[str, _Waiting]] = {}

    async def open(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Forget everything."""
        self._queues.clear()

    async def ping(self) -> None:
        """Memory always works."""

    async def put(self, messages: Sequence[QueueMessage], *, limit: int, again: bool = False) -> None:
        new = {message.id: message for message in messages if message.id not in self._queues.get(message.queue, {})}
        for queue, number in Counter(message.queue for message in new.values()).items():
            if len(self._queues.get(queue, {})) + number > limit:
                raise QueueFull(queue)
        for message in new.values():
            self._queues.setdefault(message.queue, {})[message.id] = _Waiting(message, deliveries=int(again))

    async def claim(self, queue: str, limit: int, *, owner: str, attempt: str, again: bool = False) -> Sequence[Claim]:
        waiting = self._queues.get(queue, {}).values()
        found = [one for one in waiting if again and one.holder == (owner, attempt)]
        if not found:
            found = [one for one in waiting if one.holder is None][:limit]
            for one in found:
                one.holder = (owner, attempt)
                one.deliveries += 1
        return [Claim(one.message, one.deliveries) for one in found]

    async def claimable(self, queues: Sequence[str], *, owner: str) -> Sequence[str]:  # noqa: ARG002 (all have leases)
        return [queue for queue in queues if any(one.holder is None for one in self._queues.get(queue, {}).values())]

    async def settle(self, owner: str, *, consumed: Sequence[Claim], returned: Sequence[Claim]) -> None:
        for claim in returned:
            if (one := self._held(owner, claim)) is not None:
                one.holder = None
        for claim in consumed:
            if self._held(owner, claim) is not None:
                queue = self._queues[claim.message.queue]
                del queue[claim.message.id]
                if not queue:
                    del self._queues[claim.message.queue]

    def _held(self, owner: str, claim: Claim) -> _Waiting | None:
        one = self._queues.get(claim.message.queue, {}).get(claim.message.id)
        is_held = one is not None and one.holder is not None and one.holder[0] == owner and one.deliveries == claim.deliveries
        return one if is_held else None


def from_url(url: str, **_others: object) -> MemoryQueues:
    """Return what ``memory:`` means, not opened yet. Raises ``SetupError`` if the URL says more than that."""
    if url != "memory:":
        raise SetupError("queues: expected memory: with nothing behind it")
    return MemoryQueues()
