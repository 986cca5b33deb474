"""A group of messages in one transaction: the hot path of the store.

Each kind of row is read or written by one statement for the whole group. The thread gives the interpreter away at every
step of a statement and must win it back from the event loop, so a statement per row costs a busy server milliseconds each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stompgate.model.causes import Cause
from stompgate.model.messages import ChatMessage, Draft
from stompgate.ports.store import Outcome, Rejected, Stored

from .sqlite_file import UNSTORABLE, transact
from .sqlite_values import MESSAGE_COLUMNS, ROWS_PER_STATEMENT, message_of, padded, place_holders, slices

_NO_ROOM = Rejected(Cause.NO_SUCH_ROOM, "the room is unknown or deleted")
_NOT_STORABLE = Rejected(Cause.BAD_BODY, "a text is no Unicode, or a number has more than 64 bits")
_NOT_YOURS = Rejected(Cause.NO_SUCH_ROOM, "the sender is no member")


@dataclass(slots=True)
class _Room:
    id: int
    last_seq: int
    members_version: int
    deleted: bool
    users: frozenset[str] | None = None


class Appender:
    """Appends groups for one server to a store of one epoch."""

    def __init__(self, *, server_id: str, epoch: str) -> None:
        self._server_id = server_id
        self._epoch = epoch

    def append(self, connection: sqlite3.Connection, drafts: Sequence[Draft]) -> list[Outcome]:
        """Store what can be stored; one outcome per draft, in order. The contract is that of ``Store.append``."""
        try:
            return transact(connection, lambda writer: self._append(writer, drafts))
        except UNSTORABLE:
            bad = {draft.id for draft in drafts if not _is_storable(draft)}
            failed = {draft.transaction for draft in drafts if draft.id in bad} - {""}
            good = [draft for draft in drafts if draft.id not in bad and draft.transaction not in failed]
            outcomes = dict(zip(map(id, good), transact(connection, lambda writer: self._append(writer, good)), strict=True))
            return [outcomes.get(id(draft), _NOT_STORABLE) for draft in drafts]

    def _append(self, connection: sqlite3.Connection, drafts: Sequence[Draft]) -> list[Outcome]:
        rooms = _rooms(connection, drafts)
        repeats = _Repeats(connection, drafts, rooms, self._epoch)
        outcomes: list[Outcome] = []
        rows: list[tuple[object, ...]] = []
        changed: dict[int, _Room] = {}
        failed = {
            draft.transaction: objection
            for draft in drafts
            if draft.transaction and (objection := _objection(connection, draft, rooms, repeats)) is not None
        }
        for draft in drafts:
            objection = failed.get(draft.transaction) or _objection(connection, draft, rooms, repeats)
            if objection is not None:
                outcomes.append(objection)
                continue
            room = rooms[draft.room]
            earlier = repeats.of(draft, room)
            if earlier is not None:
                outcomes.append(Stored(earlier, repeated=True))
                continue
            room.last_seq += 1
            changed[room.id] = room
            message = self._message(draft, room)
            repeats.remember(draft, room, message)
            outcomes.append(Stored(message, repeated=False))
            rows.append(self._row(draft, room))
        if rows:
            _set_last_seq(connection, changed.values())
            _insert(connection, rows)
        return outcomes

    def _message(self, draft: Draft, room: _Room) -> ChatMessage:
        return ChatMessage(
            draft.id,
            draft.room,
            room.last_seq,
            draft.sender,
            draft.content,
            draft.sent_at_us,
            self._epoch,
            room.members_version,
        )

    def _row(self, draft: Draft, room: _Room) -> tuple[object, ...]:
        return (
            room.id,
            room.last_seq,
            draft.id,
            draft.client_id,
            draft.sender,
            draft.content,
            draft.sent_at_us,
            room.members_version,
            self._server_id,
        )


class _Repeats:
    """The messages that drafts of this group repeat: found in the table at once, and in the group as it goes."""

    def __init__(self, connection: sqlite3.Connection, drafts: Sequence[Draft], rooms: dict[str, _Room], epoch: str) -> None:
        self._by_id = {row[0]: message_of(row, epoch) for row in _stored_ids(connection, drafts)}
        self._by_client_id = {row[:3]: message_of(row[3:], epoch) for row in _stored_client_ids(connection, drafts, rooms)}

    def of(self, draft: Draft, room: _Room) -> ChatMessage | None:
        earlier = self._by_id.get(draft.id)
        if earlier is None and draft.client_id is not None:
            earlier = self._by_client_id.get((room.id, draft.sender, draft.client_id))
        return earlier

    def remember(self, draft: Draft, room: _Room, message: ChatMessage) -> None:
        self._by_id[draft.id] = message
        if draft.client_id is not None:
            self._by_client_id[room.id, draft.sender, draft.client_id] = message


def _objection(connection: sqlite3.Connection, draft: Draft, rooms: dict[str, _Room], repeats: _Repeats) -> Rejected | None:
    """Why a draft cannot be stored, None if it can or is already."""
    room = rooms.get(draft.room)
    if room is None or room.deleted:
        return _NO_ROOM
    if repeats.of(draft, room) is not None or _may_send(connection, draft, room):
        return None
    return _NOT_YOURS


def _may_send(connection: sqlite3.Connection, draft: Draft, room: _Room) -> bool:
    """The caller's check holds as long as the list of members is the one it was made against; else it is made again here."""
    if draft.members_version == room.members_version:
        return True
    if room.users is None:
        rows = connection.execute("SELECT user FROM sg_member WHERE room_id = ?", (room.id,)).fetchall()
        room.users = frozenset(user for (user,) in rows)
    return draft.sender in room.users


def _is_storable(draft: Draft) -> bool:
    try:
        for text in (draft.id, draft.room, draft.sender, draft.content, draft.client_id or ""):
            text.encode()
    except UnicodeEncodeError:
        return False
    return draft.sent_at_us.bit_length() < 64


def _rooms(connection: sqlite3.Connection, drafts: Sequence[Draft]) -> dict[str, _Room]:
    rooms: dict[str, _Room] = {}
    for uuids in map(padded, slices(list({draft.room for draft in drafts}))):
        rows = connection.execute(
            f"SELECT uuid, id, last_seq, members_version, deleted FROM sg_room WHERE uuid IN ({place_holders(len(uuids))})",
            uuids,
        )
        for uuid, number, last_seq, members_version, deleted in rows.fetchall():
            rooms[uuid] = _Room(number, last_seq, members_version, bool(deleted))
    return rooms


def _stored_ids(connection: sqlite3.Connection, drafts: Sequence[Draft]) -> Iterator[tuple[Any, ...]]:
    for ids in map(padded, slices([draft.id for draft in drafts])):
        yield from connection.execute(
            f"SELECT {MESSAGE_COLUMNS} FROM sg_message m JOIN sg_room r ON r.id = m.room_id"
            f" WHERE m.id IN ({place_holders(len(ids))})",
            ids,
        ).fetchall()


def _stored_client_ids(
    connection: sqlite3.Connection, drafts: Sequence[Draft], rooms: dict[str, _Room]
) -> Iterator[tuple[Any, ...]]:
    asked = [
        (rooms[draft.room].id, draft.sender, draft.client_id)
        for draft in drafts
        if draft.client_id is not None and draft.room in rooms
    ]
    for keys in map(padded, slices(asked)):
        yield from connection.execute(
            f"SELECT m.room_id, m.sender, m.client_id, {MESSAGE_COLUMNS}"
            f" FROM (VALUES {place_holders(len(keys), '(?, ?, ?)')}) w"
            " CROSS JOIN sg_message m INDEXED BY sg_message_client_id"
            " ON m.room_id = w.column1 AND m.sender = w.column2 AND m.client_id = w.column3 AND m.client_id IS NOT NULL"
            " JOIN sg_room r ON r.id = m.room_id",
            [value for key in keys for value in key],
        ).fetchall()


def _set_last_seq(connection: sqlite3.Connection, rooms: Iterable[_Room]) -> None:
    for some in map(padded, slices(list(rooms))):
        connection.execute(
            "UPDATE sg_room SET last_seq = w.column2"
            f" FROM (VALUES {place_holders(len(some), '(?, ?)')}) w WHERE id = w.column1",
            [value for room in some for value in (room.id, room.last_seq)],
        )


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows in their order, by as few statements as powers of two allow."""
    start = 0
    while start < len(rows):
        size = min(1 << (len(rows) - start).bit_length() - 1, ROWS_PER_STATEMENT)
        connection.execute(
            "INSERT INTO sg_message (room_id, seq, id, client_id, sender, content, sent_at_us, members_version, unrelayed_by)"
            f" VALUES {place_holders(size, '(?, ?, ?, ?, ?, ?, ?, ?, ?)')}",
            [value for row in rows[start : start + size] for value in row],
        )
        start += size
