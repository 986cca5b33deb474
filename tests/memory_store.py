"""A store in memory: rows that several servers share, each through a handle of its own. It keeps the whole contract of the
port; when a call takes effect and what becomes of its answer is for its pace to say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from stompgate.model.causes import Cause
from stompgate.model.ids import new_epoch
from stompgate.model.inquiries import Inquiry
from stompgate.model.messages import ChatMessage, Draft
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.model.rooms import Members, Room, RoomHead, RoomSummary, RoomUser
from stompgate.ports.clock import Clock
from stompgate.ports.store import (
    CLOCK_SLACK_S,
    LEASE_S,
    MAIL_CLAIM_S,
    PUT_OFF_LIMIT_S,
    Lease,
    Outcome,
    Rejected,
    Stored,
    StoreUnavailable,
)
from tests.fakes import FakeClock

T = TypeVar("T")
_LEASE_US = round(LEASE_S * 1_000_000)
_CLAIM_US = round(MAIL_CLAIM_S * 1_000_000)
_PUT_OFF_US = round(PUT_OFF_LIMIT_S * 1_000_000)
_SLACK_US = round(CLOCK_SLACK_S * 1_000_000)


class Pace(Protocol):
    """When calls take effect. ``work`` is one transaction: it does everything or, by an exception, nothing."""

    async def run(self, name: str, work: Callable[[], T], *, writes: bool) -> T: ...


class AtOnce:
    """Every call takes effect in the next turn of the loop, in the order of the calls."""

    async def run(self, name: str, work: Callable[[], T], *, writes: bool) -> T:
        await asyncio.sleep(0)
        return work()


@dataclass(slots=True)
class Row:
    """A stored message. ``number`` counts all rows of the store and all removals, in the order of their commits."""

    number: int
    message: ChatMessage
    client_id: str | None
    unrelayed_by: str | None


@dataclass(slots=True)
class RoomRow:
    room: Room
    key: tuple[str, str, str]
    members: list[RoomUser]
    created_at_us: int = 0
    version: int = 1
    deleted: bool = False
    unrelayed_by: str | None = None
    rows: list[Row] = field(default_factory=list)
    pruned: int = 0
    """Messages up to this number are cleared away: they keep their rows here, and the handles don't show them."""

    @property
    def users(self) -> frozenset[str]:
        return frozenset(member.user for member in self.members)

    @property
    def last_seq(self) -> int:
        return len(self.rows)

    @property
    def summary(self) -> RoomSummary:
        buyer, seller, _ = self.key
        return RoomSummary(self.room, buyer, seller, self.last_seq, self.created_at_us)

    @property
    def messages(self) -> list[ChatMessage]:
        """Those that are not pruned, in rising ``seq``."""
        return [row.message for row in self.rows[self.pruned :]]


class MemoryRows:
    """What is stored. Rows of deleted rooms are kept for whoever looks from outside; the handles don't show them.

    ``clock``: the time of day by which leases expire.
    """

    def __init__(self, epoch: str = "e0", clock: Clock | None = None) -> None:
        self.epoch = epoch
        self.clock = clock or FakeClock()
        self.leases: dict[str, Lease] = {}
        self.rooms: dict[str, RoomRow] = {}
        self.by_id: dict[str, Row] = {}
        self.by_client_id: dict[tuple[str, str, str], Row] = {}
        self.inquiries: dict[int, Inquiry] = {}
        self.mailed: set[int] = set()
        self.claims: dict[int, tuple[str, int]] = {}  # by inquiry: who mails it, until when
        self.next_tries: dict[int, int] = {}
        self.given_up: set[int] = set()
        self.removals: dict[tuple[str, str], int] = {}
        self.archive: list[ChatMessage] = []
        self._number = 0
        self._member_id = 0

    def living(self, room: str) -> RoomRow | None:
        found = self.rooms.get(room)
        return None if found is None or found.deleted else found

    def has_lease(self, server_id: str) -> bool:
        lease = self.leases.get(server_id)
        return lease is not None and self._in_force(lease.expires_at_us, _LEASE_US)

    def _in_force(self, end_us: int, longest_us: int) -> bool:
        return 0 < end_us - self.clock.utc_us() <= longest_us + _SLACK_US

    def is_owed_to(self, server_id: str, unrelayed_by: str | None) -> bool:
        """Whether a row with that mark is given to this server to be published."""
        return unrelayed_by is not None and (unrelayed_by == server_id or not self.has_lease(unrelayed_by))

    def claim_inquiries(self, server_id: str, limit: int) -> list[Inquiry]:
        now_us = self.clock.utc_us()
        nobody = ("", 0)
        waiting = [one for one in self.waiting_inquiries() if not self._in_force(self.next_tries.get(one.id, 0), _PUT_OFF_US)]
        free = [one for one in waiting if not self._in_force(self.claims.get(one.id, nobody)[1], _CLAIM_US)]
        ours = [one for one in waiting if one in free or self.claims[one.id][0] == server_id][:limit]
        self.claims |= {one.id: (server_id, now_us + _CLAIM_US) for one in ours}
        return ours

    def waiting_inquiries(self) -> list[Inquiry]:
        return [one for number, one in self.inquiries.items() if number not in self.mailed | self.given_up]

    def put_off_mail(self, server_id: str, delay_s: float, inquiry_id: int | None) -> None:
        now_us = self.clock.utc_us()
        for one in self.waiting_inquiries():
            if inquiry_id in (None, one.id):
                since_us = one.failing_since_us or now_us
                self.inquiries[one.id] = replace(one, failures=one.failures + 1, failing_since_us=since_us)
                self.next_tries[one.id] = now_us + (round(delay_s * 1_000_000) if inquiry_id is not None else 0)
                if self.claims.get(one.id, ("", 0))[0] == server_id:
                    self.claims.pop(one.id, None)

    def give_up_mail(self, failing_since_us: int, inquiry_id: int | None) -> list[int]:
        failing = [one for one in self.waiting_inquiries() if 0 < one.failing_since_us <= failing_since_us]
        ids = [one.id for one in failing if inquiry_id in (None, one.id)][:100]
        self.given_up.update(ids)
        return ids

    def begin_new_life(self) -> str:
        if any(map(self.has_lease, self.leases)):
            raise StoreUnavailable("a server has the store open")
        self.epoch = new_epoch()
        for row in self.by_id.values():
            row.message = replace(row.message, epoch=self.epoch)
        return self.epoch

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def make_room(self, uuid: str, key: tuple[str, str, str], users: Sequence[tuple[str, str]]) -> RoomRow:
        """Make a room. ``users``: each member and whom they talk to."""
        room = Room(len(self.rooms) + 1, uuid, key[2])
        members = [self._new_member(room, user, other) for user, other in users]
        found = self.rooms[uuid] = RoomRow(room, key, members, self.clock.utc_us())
        return found

    def add_member(self, room: str, user: str) -> None:
        """Make one more member. That is announced to nobody: only who loses a right must be kept out in time."""
        found = self.rooms[room]
        found.members.append(self._new_member(found.room, user, ""))
        found.version += 1

    def _new_member(self, room: Room, user: str, other: str) -> RoomUser:
        self._member_id += 1
        return RoomUser(self._member_id, room, user, other)

    def append_group(self, drafts: Sequence[Draft], server_id: str) -> Sequence[Outcome]:
        failed = {
            draft.transaction: objection
            for draft in reversed(drafts)
            if draft.transaction and (objection := self._objection(draft)) is not None
        }
        return [failed.get(draft.transaction) or self._append(draft, server_id) for draft in drafts]

    def _objection(self, draft: Draft) -> Rejected | None:
        room = self.living(draft.room)
        if not _is_storable(draft):
            return Rejected(Cause.BAD_BODY, "not storable")
        if room is None:
            return Rejected(Cause.NO_SUCH_ROOM, "the room is unknown or deleted")
        if self._earlier(draft) is None and draft.members_version != room.version and draft.sender not in room.users:
            return Rejected(Cause.NO_SUCH_ROOM, "the sender is no member")
        return None

    def _earlier(self, draft: Draft) -> Row | None:
        earlier = self.by_id.get(draft.id)
        if earlier is None and draft.client_id is not None:
            earlier = self.by_client_id.get((draft.room, draft.sender, draft.client_id))
        return earlier

    def _append(self, draft: Draft, server_id: str) -> Outcome:
        objection = self._objection(draft)
        if objection is not None:
            return objection
        earlier = self._earlier(draft)
        if earlier is not None:
            return Stored(earlier.message, repeated=True)
        return Stored(self.add_message(draft, server_id), repeated=False)

    def add_message(self, draft: Draft, unrelayed_by: str | None) -> ChatMessage:
        """Make the next row of a room, no questions asked. ``unrelayed_by``: who owes its publication; None: nobody."""
        room = self.rooms[draft.room]
        seq, version = room.last_seq + 1, room.version
        message = ChatMessage(draft.id, draft.room, seq, draft.sender, draft.content, draft.sent_at_us, self.epoch, version)
        row = Row(self.next_number(), message, draft.client_id, unrelayed_by)
        room.rows.append(row)
        self.by_id[draft.id] = row
        if draft.client_id is not None:
            self.by_client_id[draft.room, draft.sender, draft.client_id] = row
        return message

    def owed_to(self, server_id: str) -> list[ChatRecord | RoomChanged]:
        """What this server is given to be published, in the order of ``Store.unrelayed``."""
        rooms = self.rooms.values()
        changes = [
            RoomChanged(one.room.uuid, one.version, one.deleted, self.epoch)
            for one in rooms
            if self.is_owed_to(server_id, one.unrelayed_by)
        ]
        living = [row for one in rooms if not one.deleted for row in one.rows]
        owed = [row for row in living if self.is_owed_to(server_id, row.unrelayed_by)]
        owed.sort(key=lambda row: row.number)
        return [*changes, *(ChatRecord(row.message) for row in owed)]

    def prune(self, before_us: int, limit: int) -> list[ChatMessage]:
        """Take away the oldest of each room, as far as they may go; return them."""
        gone: list[ChatMessage] = []
        for room in self.rooms.values():
            for row in [] if room.deleted else room.rows[room.pruned : -1]:
                if len(gone) >= limit or row.message.sent_at_us >= before_us or row.unrelayed_by is not None:
                    break
                gone.append(row.message)
                self.forget(room, row.message.seq)
        return gone

    def forget(self, room: RoomRow, up_to: int) -> None:
        """Clear messages away up to a number; their ids and client ids are free again."""
        for row in room.rows[room.pruned : up_to]:
            self.by_id.pop(row.message.id, None)
            self.by_client_id.pop((row.message.room, row.message.sender, row.client_id or ""), None)
        room.pruned = max(up_to, room.pruned)

    def remove_member(self, room: str, user: str, unrelayed_by: str | None) -> RoomChanged | None:
        """Take one member out of a room. ``unrelayed_by``: who owes the publication of that; None: nobody."""
        found = self.living(room)
        if found is None or user not in found.users:
            return None
        found.members = [member for member in found.members if member.user != user]
        self.removals[room, user] = self.next_number()
        return self.changed(found, unrelayed_by)

    def changed(self, room: RoomRow, unrelayed_by: str | None) -> RoomChanged:
        room.version += 1
        room.unrelayed_by = unrelayed_by
        return RoomChanged(room.room.uuid, room.version, room.deleted, self.epoch)


class MemoryStore:
    """One server's handle on shared rows: ``ports.store.Store``."""

    def __init__(self, rows: MemoryRows, *, server_id: str, pace: Pace | None = None) -> None:
        self._rows = rows
        self._server_id = server_id
        self._pace = pace or AtOnce()

    async def open(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing is held."""

    async def ping(self) -> None:
        """Memory always works."""

    @property
    def epoch(self) -> str:
        return self._rows.epoch

    async def _read(self, name: str, work: Callable[[], T]) -> T:
        return await self._pace.run(name, work, writes=False)

    async def _write(self, name: str, work: Callable[[], T]) -> T:
        return await self._pace.run(name, work, writes=True)

    async def new_epoch(self) -> str:
        return await self._write("new_epoch", self._rows.begin_new_life)

    # Leases

    async def take_lease(self, owner: str) -> Lease:
        def work() -> Lease:
            leases, server_id = self._rows.leases, self._server_id
            if not self._rows.has_lease(server_id) or leases[server_id].owner == owner:
                leases[server_id] = Lease(owner, self._rows.clock.utc_us() + _LEASE_US)
            return leases[server_id]

        return await self._write("take_lease", work)

    async def release_lease(self, owner: str) -> None:
        def work() -> None:
            lease = self._rows.leases.get(self._server_id)
            if lease is not None and lease.owner == owner:
                del self._rows.leases[self._server_id]

        await self._write("release_lease", work)

    # Messages

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        group = list(drafts)
        return await self._write("append", lambda: self._rows.append_group(group, self._server_id))

    async def history(
        self, room: str, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[ChatMessage]:
        def work() -> Sequence[ChatMessage]:
            found = self._rows.living(room)
            messages = found.messages if found is not None else []
            messages = [one for one in messages if before is None or one.seq < before]
            messages = [one for one in messages if after is None or one.seq > after]
            count = max(0, min(limit, len(messages)))
            return messages[:count] if after is not None else messages[len(messages) - count :]

        return await self._read("history", work)

    async def message_at(self, room: str, seq: int) -> ChatMessage | None:
        def work() -> ChatMessage | None:
            found = self._rows.living(room)
            if found is None or not found.pruned < seq <= found.last_seq:
                return None
            return found.rows[seq - 1].message

        return await self._read("message_at", work)

    async def heads(self, rooms: Sequence[str]) -> Sequence[RoomHead]:
        def work() -> Sequence[RoomHead]:
            found = [self._rows.rooms[room] for room in dict.fromkeys(rooms) if room in self._rows.rooms]
            return [RoomHead(one.room.uuid, one.last_seq, one.version, one.deleted) for one in found]

        return await self._read("heads", work)

    # The outbox

    async def unrelayed(self, limit: int) -> Sequence[ChatRecord | RoomChanged]:
        return await self._read("unrelayed", lambda: self._rows.owed_to(self._server_id)[:limit])

    async def mark_relayed(self, records: Sequence[ChatRecord | RoomChanged]) -> None:
        def work() -> None:
            for record in records:
                if isinstance(record, ChatRecord):
                    row = self._rows.by_id.get(record.message.id)
                    if row is not None:
                        row.unrelayed_by = None
                else:
                    room = self._rows.rooms.get(record.room)
                    if room is not None and room.version <= record.members_version:
                        room.unrelayed_by = None

        await self._write("mark_relayed", work)

    async def prune(self, before_us: int, limit: int, *, archive: bool) -> int:
        def work() -> int:
            gone = self._rows.prune(before_us, limit)
            self._rows.archive += gone if archive else []
            return len(gone)

        return await self._write("prune", work)

    # Rooms

    async def create_room(self, uuid: str, *, buyer: str, seller: str, product_name: str) -> tuple[RoomUser, RoomUser]:
        def work() -> tuple[RoomUser, RoomUser]:
            key = (buyer, seller, product_name)
            if not all(map(_is_text, (uuid, *key))):
                raise StoreUnavailable("a text is no Unicode")
            found = next((one for one in self._rows.rooms.values() if one.key == key and not one.deleted), None)
            found = found or self._rows.make_room(uuid, key, [(seller, buyer), (buyer, seller)])
            return found.members[0], found.members[1]

        return await self._write("create_room", work)

    async def members(self, room: str) -> Members | None:
        def work() -> Members | None:
            found = self._rows.rooms.get(room)
            if found is None:
                return None
            users = frozenset() if found.deleted else found.users
            return Members(room, users, found.version, found.deleted, found.last_seq)

        return await self._read("members", work)

    async def room_user(self, room: str, user: str) -> RoomUser | None:
        return await self._read("room_user", lambda: next(iter(self._members_where(lambda m: m.room.uuid == room, user)), None))

    async def rooms_of(self, user: str) -> Sequence[RoomUser]:
        return await self._read("rooms_of", lambda: self._members_where(lambda _: True, user))

    async def all_room_users(self) -> Sequence[RoomUser]:
        return await self._read("all_room_users", lambda: self._members_where(lambda _: True, None))

    async def list_rooms(self, *, user: str | None = None, before: int | None = None, limit: int) -> Sequence[RoomSummary]:
        def work() -> list[RoomSummary]:
            rooms = [room for room in self._rows.rooms.values() if not room.deleted and (user is None or user in room.users)]
            rooms = [room for room in rooms if before is None or room.room.id < before]
            return [room.summary for room in sorted(rooms, key=lambda room: -room.room.id)[:limit]]

        return await self._read("list_rooms", work)

    def _members_where(self, holds: Callable[[RoomUser], bool], user: str | None) -> list[RoomUser]:
        members = [member for room in self._rows.rooms.values() if not room.deleted for member in room.members]
        members = [member for member in members if holds(member) and (user is None or member.user == user)]
        return sorted(members, key=lambda member: member.id)

    async def delete_room(self, room: str) -> RoomChanged | None:
        def work() -> RoomChanged | None:
            found = self._rows.living(room)
            if found is None:
                return None
            found.deleted = True
            for member in found.members:
                self._rows.removals.setdefault((room, member.user), self._rows.next_number())
            return self._rows.changed(found, self._server_id)

        return await self._write("delete_room", work)

    async def remove_member(self, room: str, user: str) -> RoomChanged | None:
        """Take one member out of a room: what ``RoomChanged`` is prepared for, beyond the port."""
        return await self._write("remove_member", lambda: self._rows.remove_member(room, user, self._server_id))

    # Inquiries

    async def add_inquiry(self, inquiry: Inquiry) -> Inquiry:
        def work() -> Inquiry:
            texts = (inquiry.name, inquiry.email, inquiry.phone, inquiry.message)
            for one in self._rows.waiting_inquiries():
                if (one.name, one.email, one.phone, one.message) == texts:
                    return Inquiry(one.id, *texts)
            number = len(self._rows.inquiries) + 1
            self._rows.inquiries[number] = Inquiry(number, *texts)
            return self._rows.inquiries[number]

        return await self._write("add_inquiry", work)

    async def unmailed(self, limit: int) -> Sequence[Inquiry]:
        return await self._write("unmailed", lambda: self._rows.claim_inquiries(self._server_id, limit))

    async def mark_mailed(self, inquiry_id: int) -> None:
        await self._write("mark_mailed", lambda: self._rows.mailed.add(inquiry_id))

    async def put_off_mail(self, delay_s: float, inquiry_id: int | None = None) -> None:
        await self._write("put_off_mail", lambda: self._rows.put_off_mail(self._server_id, delay_s, inquiry_id))

    async def give_up_mail(self, failing_since_us: int, inquiry_id: int | None = None) -> Sequence[int]:
        return await self._write("give_up_mail", lambda: self._rows.give_up_mail(failing_since_us, inquiry_id))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_storable(draft: Draft) -> bool:
    texts = (draft.id, draft.room, draft.sender, draft.content, draft.client_id or "")
    return all(map(_is_text, texts)) and draft.sent_at_us.bit_length() < 64
