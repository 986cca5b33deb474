"""The store in memory with a test's hand on it: it can be down, lose answers, and stop before or after it did what was asked.
What it stores, and how it answers, is all ``MemoryStore``'s."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from stompgate.model.messages import ChatMessage, Draft
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.ports.store import Outcome, OutcomeUnknown, StoreUnavailable
from tests.memory_store import MemoryRows, MemoryStore, RoomRow

T = TypeVar("T")
Turn = Callable[[str], Awaitable[None]]
_SERVER_ID = "s1"


class Hold:
    """A call that was stopped at a point, until it is let go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._go = asyncio.Event()

    async def stop(self) -> None:
        self.reached.set()
        await self._go.wait()

    def let_go(self) -> None:
        self._go.set()


async def _at_once(name: str) -> None:
    """No turn of the loop is given away."""


class SteeredStore(MemoryStore):
    """One server's handle on rows of its own, and its own ``Pace``. ``before`` and ``after`` are awaited around each call."""

    def __init__(self) -> None:
        self._own = MemoryRows(epoch="e1")
        super().__init__(self._own, server_id=_SERVER_ID, pace=self)
        self.down = False
        self.lose_answers = 0  # writes that are done, and whose answer is lost
        self.calls: Counter[str] = Counter()
        self.groups: list[list[str]] = []
        self.before: Turn = _at_once
        self.after: Turn = _at_once

    async def run(self, name: str, work: Callable[[], T], *, writes: bool) -> T:
        self.calls[name] += 1
        await self.before(name)
        if self.down:
            raise StoreUnavailable("down")
        answer = work()
        await self.after(name)
        if writes and self.lose_answers:
            self.lose_answers -= 1
            raise OutcomeUnknown("the answer was lost")
        return answer

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        self.groups.append([draft.content for draft in drafts])
        return await super().append(drafts)

    def hold(self, name: str, *, after: bool = False) -> Hold:
        """Stop the next call of this name, before or after it read or wrote; others pass."""
        hold, free = Hold(), [True]

        async def turn(called: str) -> None:
            if called == name and free:
                free.clear()
                await hold.stop()

        if after:
            self.after = turn
        else:
            self.before = turn
        return hold

    # What others do to the rows, at once and unseen

    @property
    def rooms(self) -> dict[str, RoomRow]:
        return self._own.rooms

    @property
    def owed(self) -> list[ChatRecord | RoomChanged]:
        return self._own.owed_to(_SERVER_ID)

    def make_room(self, room: str, *users: str) -> str:
        self._own.make_room(room, ("", "", room), [(user, "") for user in users or ("ann", "bob")])
        return room

    def put(self, room: str, content: str = "hello", *, sender: str = "ann") -> ChatMessage:
        """Store a message as another server would, which publishes it as well."""
        message_id = f"{room}-{self.rooms[room].last_seq + 1}"
        return self._own.add_message(Draft(message_id, room, sender, content, None, 0, 0), unrelayed_by=None)

    def add(self, room: str, user: str) -> None:
        self._own.add_member(room, user)

    def remove(self, room: str, user: str) -> RoomChanged:
        change = self._own.remove_member(room, user, unrelayed_by=None)
        assert change is not None, "there was such a member"
        return change

    def forget(self, room: str, up_to: int) -> None:
        self._own.forget(self.rooms[room], up_to)
