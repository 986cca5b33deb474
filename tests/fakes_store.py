"""A ``Store`` in memory that a test owns: it can be down, lose answers, be slow before or after it did what was asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from stompgate.model.causes import Cause
from stompgate.model.inquiries import Inquiry
from stompgate.model.messages import ChatMessage, Draft
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.model.rooms import Members, Room, RoomHead, RoomUser
from stompgate.ports.store import Lease, Outcome, OutcomeUnknown, Rejected, Stored, StoreUnavailable

T = TypeVar("T")
Turn = Callable[[str], Awaitable[None]]


@dataclass
class _Room:
    users: set[str]
    version: int = 1
    deleted: bool = False
    last_seq: int = 0
    messages: dict[int, ChatMessage] = field(default_factory=dict)


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


class MemoryStore:
    """The messages, members and outbox of ``ports.store.Store``. ``before`` and ``after`` are awaited around each call."""

    def __init__(self, epoch: str = "e1") -> None:
        self.epoch = epoch
        self.down = False
        self.lose_answers = 0  # writes that are done, and whose answer is lost
        self.calls: Counter[str] = Counter()
        self.groups: list[list[str]] = []
        self.before: Turn = _at_once
        self.after: Turn = _at_once
        self.rooms: dict[str, _Room] = {}
        self.owed: dict[str, ChatRecord | RoomChanged] = {}
        self._by_id: dict[str, ChatMessage] = {}
        self._by_client_id: dict[tuple[str, str, str], ChatMessage] = {}

    # What a test does to it

    def make_room(self, room: str, *users: str) -> str:
        self.rooms[room] = _Room(set(users or ("ann", "bob")))
        return room

    def put(self, room: str, content: str = "hello", *, sender: str = "ann") -> ChatMessage:
        """Store a message as another server would."""
        row = self.rooms[room]
        row.last_seq += 1
        message_id = f"{room}-{row.last_seq}"
        message = ChatMessage(message_id, room, row.last_seq, sender, content, 0, self.epoch, row.version)
        row.messages[message.seq] = self._by_id[message_id] = message
        return message

    def remove(self, room: str, user: str) -> RoomChanged:
        row = self.rooms[room]
        row.users.discard(user)
        row.version += 1
        return RoomChanged(room, row.version, deleted=False, epoch=self.epoch)

    def prune(self, room: str, up_to: int) -> None:
        row = self.rooms[room]
        row.messages = {seq: message for seq, message in row.messages.items() if seq > up_to}

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

    # The port

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ping(self) -> None:
        pass

    async def _call(self, name: str, work: Callable[[], T], *, is_write: bool = False) -> T:
        self.calls[name] += 1
        await self.before(name)
        if self.down:
            raise StoreUnavailable("down")
        answer = work()
        await self.after(name)
        if is_write and self.lose_answers:
            self.lose_answers -= 1
            raise OutcomeUnknown("the answer was lost")
        return answer

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        self.groups.append([draft.content for draft in drafts])
        return await self._call("append", lambda: [self._append(draft) for draft in drafts], is_write=True)

    def _append(self, draft: Draft) -> Outcome:
        row = self.rooms.get(draft.room)
        earlier = self._by_id.get(draft.id)
        if earlier is None and draft.client_id is not None:
            earlier = self._by_client_id.get((draft.room, draft.sender, draft.client_id))
        if row is None or row.deleted or (earlier is None and draft.sender not in row.users):
            return Rejected(Cause.NO_SUCH_ROOM)
        if earlier is not None:
            return Stored(earlier, repeated=True)
        row.last_seq += 1
        message = ChatMessage(
            draft.id, draft.room, row.last_seq, draft.sender, draft.content, draft.sent_at_us, self.epoch, row.version
        )
        row.messages[message.seq] = self._by_id[draft.id] = message
        if draft.client_id is not None:
            self._by_client_id[draft.room, draft.sender, draft.client_id] = message
        self.owed[message.id] = ChatRecord(message)
        return Stored(message, repeated=False)

    async def history(
        self, room: str, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[ChatMessage]:
        def read() -> list[ChatMessage]:
            row = self.rooms.get(room)
            if row is None or row.deleted:
                return []
            rows = [message for _, message in sorted(row.messages.items())]
            if after is not None:
                return [message for message in rows if message.seq > after][:limit]
            return [message for message in rows if before is None or message.seq < before][-limit:]

        return await self._call("history", read)

    async def message_at(self, room: str, seq: int) -> ChatMessage | None:
        return await self._call("message_at", lambda: self.rooms[room].messages.get(seq))

    async def heads(self, rooms: Sequence[str]) -> Sequence[RoomHead]:
        def read() -> list[RoomHead]:
            found = [(room, self.rooms[room]) for room in rooms if room in self.rooms]
            return [RoomHead(room, row.last_seq, row.version, row.deleted) for room, row in found]

        return await self._call("heads", read)

    async def unrelayed(self, limit: int) -> Sequence[ChatRecord | RoomChanged]:
        return await self._call("unrelayed", lambda: list(self.owed.values())[:limit])

    async def mark_relayed(self, records: Sequence[ChatRecord | RoomChanged]) -> None:
        def mark() -> None:
            for record in records:
                self.owed.pop(record.message.id if isinstance(record, ChatRecord) else record.room, None)

        await self._call("mark_relayed", mark, is_write=True)

    async def members(self, room: str) -> Members | None:
        def read() -> Members | None:
            row = self.rooms.get(room)
            return None if row is None else Members(room, frozenset(row.users), row.version, row.deleted, row.last_seq)

        return await self._call("members", read)

    async def delete_room(self, room: str) -> RoomChanged | None:
        def delete() -> RoomChanged | None:
            row = self.rooms.get(room)
            if row is None or row.deleted:
                return None
            row.deleted, row.version = True, row.version + 1
            row.users.clear()
            change = self.owed[room] = RoomChanged(room, row.version, deleted=True, epoch=self.epoch)
            return change

        return await self._call("delete_room", delete, is_write=True)

    async def room_user(self, room: str, user: str) -> RoomUser | None:
        row = self.rooms.get(room)
        found = row is not None and not row.deleted and user in row.users
        return await self._call("room_user", lambda: RoomUser(1, Room(1, room, ""), user, "") if found else None)

    async def create_room(self, uuid: str, *, buyer: str, seller: str, product_name: str) -> tuple[RoomUser, RoomUser]:
        self.make_room(uuid, buyer, seller)
        room = Room(1, uuid, product_name)
        return RoomUser(1, room, seller, buyer), RoomUser(2, room, buyer, seller)

    async def rooms_of(self, user: str) -> Sequence[RoomUser]:
        return [row for row in await self.all_room_users() if row.user == user]

    async def all_room_users(self) -> Sequence[RoomUser]:
        return [
            RoomUser(number, Room(number, room, ""), user, "")
            for number, (room, row) in enumerate(self.rooms.items(), 1)
            for user in sorted(row.users)
        ]

    async def new_epoch(self) -> str:
        self.epoch += "'"
        return self.epoch

    async def take_lease(self, owner: str) -> Lease:
        return Lease(owner, 0)

    async def release_lease(self, owner: str) -> None:
        pass

    async def add_inquiry(self, inquiry: Inquiry) -> Inquiry:
        return inquiry

    async def unmailed(self, limit: int) -> Sequence[Inquiry]:
        return ()

    async def mark_mailed(self, inquiry_id: int) -> None:
        pass
