"""A group of messages in one transaction: the hot path of the store.

Each kind of row is read or written by one statement for the whole group. The thread gives the interpreter away at every
step of a statement and must win it back from the event loop, so a statement per row costs a busy server milliseconds each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stompgate.model.causes import Cause
from stompgate.model.messages import Draft
from stompgate.ports.store import Outcome, Rejected

from .grouping import ROW_COLUMNS, Read, RoomState, allot, client_keys, outcomes_in_order, rooms_to_check, without
from .sqlite_file import UNSTORABLE, transact
from .sqlite_values import ROWS_PER_STATEMENT, padded, place_holders, slices
from .stored_rows import MESSAGE_COLUMNS, message_of

_NOT_STORABLE = Rejected(Cause.BAD_BODY, "a text is no Unicode, or a number has more than 64 bits")


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
            good = without(drafts, {draft.id for draft in drafts if not _is_storable(draft)})
            told = transact(connection, lambda writer: self._append(writer, good))
            return outcomes_in_order(drafts, good, told, _NOT_STORABLE)

    def _append(self, connection: sqlite3.Connection, drafts: Sequence[Draft]) -> list[Outcome]:
        rooms = _rooms(connection, drafts)
        for room in rooms_to_check(drafts, rooms):
            rows = connection.execute("SELECT user FROM sg_member WHERE room_id = ?", (room.id,)).fetchall()
            room.users = frozenset(user for (user,) in rows)
        by_id = {row[0]: message_of(row, self._epoch) for row in _stored_ids(connection, drafts)}
        by_client_id = {row[:3]: message_of(row[3:], self._epoch) for row in _stored_client_ids(connection, drafts, rooms)}
        allotted = allot(drafts, Read(rooms, by_id, by_client_id), self._epoch)
        if allotted.new:
            _set_last_seq(connection, allotted.rooms)
            _insert(connection, allotted.rows(self._server_id))
        return allotted.outcomes


def _is_storable(draft: Draft) -> bool:
    try:
        for text in (draft.id, draft.room, draft.sender, draft.content, draft.client_id or ""):
            text.encode()
    except UnicodeEncodeError:
        return False
    return draft.sent_at_us.bit_length() < 64


def _rooms(connection: sqlite3.Connection, drafts: Sequence[Draft]) -> dict[str, RoomState]:
    rooms: dict[str, RoomState] = {}
    for uuids in map(padded, slices(list({draft.room for draft in drafts}))):
        rows = connection.execute(
            f"SELECT uuid, id, last_seq, members_version, deleted FROM sg_room WHERE uuid IN ({place_holders(len(uuids))})",
            uuids,
        )
        for uuid, number, last_seq, members_version, deleted in rows.fetchall():
            rooms[uuid] = RoomState(number, last_seq, members_version, bool(deleted))
    return rooms


def _stored_ids(connection: sqlite3.Connection, drafts: Sequence[Draft]) -> Iterator[tuple[Any, ...]]:
    for ids in map(padded, slices([draft.id for draft in drafts])):
        yield from connection.execute(
            f"SELECT {MESSAGE_COLUMNS} FROM sg_message m JOIN sg_room r ON r.id = m.room_id"
            f" WHERE m.id IN ({place_holders(len(ids))})",
            ids,
        ).fetchall()


def _stored_client_ids(
    connection: sqlite3.Connection, drafts: Sequence[Draft], rooms: Mapping[str, RoomState]
) -> Iterator[tuple[Any, ...]]:
    for keys in map(padded, slices(client_keys(drafts, rooms))):
        yield from connection.execute(
            f"SELECT m.room_id, m.sender, m.client_id, {MESSAGE_COLUMNS}"
            f" FROM (VALUES {place_holders(len(keys), '(?, ?, ?)')}) w"
            " CROSS JOIN sg_message m INDEXED BY sg_message_client_id"
            " ON m.room_id = w.column1 AND m.sender = w.column2 AND m.client_id = w.column3 AND m.client_id IS NOT NULL"
            " JOIN sg_room r ON r.id = m.room_id",
            [value for key in keys for value in key],
        ).fetchall()


def _set_last_seq(connection: sqlite3.Connection, rooms: Iterable[RoomState]) -> None:
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
            f"INSERT INTO sg_message ({ROW_COLUMNS}) VALUES {place_holders(size, '(?, ?, ?, ?, ?, ?, ?, ?, ?)')}",
            [value for row in rows[start : start + size] for value in row],
        )
        start += size
