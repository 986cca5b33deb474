"""What becomes of each draft of a group, once its rooms are locked and what it may repeat is read. No database is asked here.

Every SQL store reads, hands over what it read, and writes what this answers, in one transaction: else numbers have gaps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from stompgate.model.causes import Cause
from stompgate.model.messages import ChatMessage, Draft
from stompgate.ports.store import Outcome, Rejected, Stored

_NO_ROOM = Rejected(Cause.NO_SUCH_ROOM, "the room is unknown or deleted")
_NOT_YOURS = Rejected(Cause.NO_SUCH_ROOM, "the sender is no member")
_BLOCKED = Rejected(Cause.STORE_UNAVAILABLE, "another transaction holds the room")

ClientKey = tuple[int, str, str]
"""Room number, sender, client id."""


@dataclass(slots=True)
class RoomState:
    """A locked room. ``users`` is needed only where ``rooms_to_check`` names the room; ``last_seq`` is counted on."""

    id: int
    last_seq: int
    members_version: int
    deleted: bool
    users: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Read:
    """What a store has read for a group: ``rooms`` by UUID, and the stored messages that it may repeat.

    ``blocked``: rooms that exist and could not be locked in time.
    """

    rooms: Mapping[str, RoomState]
    by_id: dict[str, ChatMessage]
    by_client_id: dict[ClientKey, ChatMessage]
    blocked: Collection[str] = ()


@dataclass(slots=True)
class Allotted:
    """``outcomes``: one per draft, in order. ``new``: what is to be inserted, in order, for the rooms numbered so far."""

    outcomes: list[Outcome] = field(default_factory=list)
    new: list[tuple[RoomState, Draft, ChatMessage]] = field(default_factory=list)

    @property
    def rooms(self) -> list[RoomState]:
        """The rooms that have a new ``last_seq``, each once, in the order of their ids."""
        return sorted({room.id: room for room, _, _ in self.new}.values(), key=lambda room: room.id)

    def rows(self, server_id: str) -> list[tuple[object, ...]]:
        """The values of ``ROW_COLUMNS`` for what is new; ``server_id`` owes its publication."""
        return [
            (
                room.id,
                message.seq,
                draft.id,
                draft.client_id,
                draft.sender,
                draft.content,
                draft.sent_at_us,
                message.members_version,
                server_id,
            )
            for room, draft, message in self.new
        ]


ROW_COLUMNS = "room_id, seq, id, client_id, sender, content, sent_at_us, members_version, unrelayed_by"


def rooms_to_check(drafts: Sequence[Draft], rooms: Mapping[str, RoomState]) -> list[RoomState]:
    """Return the living rooms whose members must be read, since a draft was checked against another version of them."""
    found = {
        room.id: room
        for draft in drafts
        if (room := rooms.get(draft.room)) is not None and draft.members_version != room.members_version and not room.deleted
    }
    return list(found.values())


def client_keys(drafts: Sequence[Draft], rooms: Mapping[str, RoomState]) -> list[ClientKey]:
    """Return what is to be looked up for the drafts that have a client id."""
    return [
        (rooms[draft.room].id, draft.sender, draft.client_id)
        for draft in drafts
        if draft.client_id is not None and draft.room in rooms
    ]


def allot(drafts: Sequence[Draft], read: Read, epoch: str) -> Allotted:
    """Number what can be stored; one outcome per draft. The contract is that of ``Store.append``."""
    failed = {
        draft.transaction: objection
        for draft in drafts
        if draft.transaction and (objection := _objection(draft, read)) is not None
    }
    allotted = Allotted()
    for draft in drafts:
        objection = failed.get(draft.transaction) or _objection(draft, read)
        if objection is not None:
            allotted.outcomes.append(objection)
            continue
        room = read.rooms[draft.room]
        earlier = _earlier(draft, room, read)
        if earlier is not None:
            allotted.outcomes.append(Stored(earlier, repeated=True))
            continue
        message = _next_message(draft, room, epoch)
        read.by_id[draft.id] = message
        if draft.client_id is not None:
            read.by_client_id[room.id, draft.sender, draft.client_id] = message
        allotted.outcomes.append(Stored(message, repeated=False))
        allotted.new.append((room, draft, message))
    return allotted


def without(drafts: Sequence[Draft], bad: Collection[str]) -> list[Draft]:
    """Return the drafts whose id is not ``bad``, nor that of one of the same transaction."""
    failed = {draft.transaction for draft in drafts if draft.id in bad} - {""}
    return [draft for draft in drafts if draft.id not in bad and draft.transaction not in failed]


def outcomes_in_order(drafts: Sequence[Draft], good: Sequence[Draft], told: Sequence[Outcome], other: Outcome) -> list[Outcome]:
    """Return ``told`` for the drafts that are among ``good``, and ``other`` for all that are not."""
    outcomes = dict(zip(map(id, good), told, strict=True))
    return [outcomes.get(id(draft), other) for draft in drafts]


def _next_message(draft: Draft, room: RoomState, epoch: str) -> ChatMessage:
    room.last_seq += 1
    return ChatMessage(
        draft.id,
        draft.room,
        room.last_seq,
        draft.sender,
        draft.content,
        draft.sent_at_us,
        epoch,
        room.members_version,
    )


def _objection(draft: Draft, read: Read) -> Rejected | None:
    """Why a draft cannot be stored, None if it can or is already."""
    if draft.room in read.blocked:
        return _BLOCKED
    room = read.rooms.get(draft.room)
    if room is None or room.deleted:
        return _NO_ROOM
    if _earlier(draft, room, read) is not None:
        return None
    # The caller's check holds as long as the list of members is the one it was made against; else it is made again here.
    if draft.members_version == room.members_version or draft.sender in room.users:
        return None
    return _NOT_YOURS


def _earlier(draft: Draft, room: RoomState, read: Read) -> ChatMessage | None:
    earlier = read.by_id.get(draft.id)
    if earlier is None and draft.client_id is not None:
        earlier = read.by_client_id.get((room.id, draft.sender, draft.client_id))
    return earlier
