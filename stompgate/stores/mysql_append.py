"""A group of messages in one transaction: the hot path of the store.

First it is tried in one packet, COMMIT included, so that no room stays locked while this process or the network is slow. The
database itself checks everything in it: what can't be numbered blindly (a room that is gone, other members, a repeat) violates
a constraint, and nothing is done. Then the group is read, settled and written with care, in a transaction of two packets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from stompgate.model.causes import Cause
from stompgate.model.messages import ChatMessage, Draft
from stompgate.ports.store import Outcome, Rejected, Stored

from .grouping import (
    ROW_COLUMNS,
    Allotted,
    Read,
    RoomState,
    allot,
    outcomes_in_order,
    without,
)
from .mysql_connection import BEGIN, COMMIT, MysqlConnection, NotSendable, Statement, StatementFailed
from .mysql_lane import DUPLICATE, LOCK_WAIT
from .mysql_rooms import place_holders
from .stored_rows import HIGHEST, LOWEST, MESSAGE_COLUMNS, message_of

T = TypeVar("T")

_NOT_STORABLE = Rejected(Cause.BAD_BODY, "a text is no Unicode or too long, or a number has more than 64 bits")

_ROWS_AT_ONCE = 256
"""Rows of a statement. Both databases plan more of them badly, and the whole of a larger group is written with care."""

_NULL = 1048
_DATA_ERRORS = {1264, 1265, 1366, 1367, 1406, 3988}
"""A number or a text does not fit into its column."""

_ID_CHARS, _CLIENT_ID_CHARS, _CONTENT_BYTES = 255, 64, (1 << 24) - 1
_ROW_BYTES = 4096
"""More than all of a row takes in a packet beside its content."""

_DRAFT = (
    "SELECT %s AS n, %s AS room, %s AS k, %s AS id, %s AS client_id, %s AS sender, %s AS content, %s AS sent_at_us, %s AS v"
)
_NEXT_DRAFT = " UNION ALL SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s"

# Where the drafts come first and in their order, for number is to rise as they do. A draft without its room, or with another
# version of its members, has no r.id: strict mode refuses the statement. All of UNION, since MySQL and MariaDB
# have no way to write a table of values in common.
_INSERT_HEAD = (
    f"INSERT INTO sg_message ({ROW_COLUMNS})"
    " SELECT r.id, r.last_seq + w.k, w.id, w.client_id, w.sender, w.content, w.sent_at_us, w.v, %s FROM ("
)
_INSERT_TAIL = (
    ") w LEFT JOIN sg_room r FORCE INDEX (sg_room_uuid) ON r.uuid = w.room AND r.deleted = 0 AND r.members_version = w.v"
    " ORDER BY w.n"
)


@dataclass(slots=True)
class AppendFigures:
    """Counted since the start. ``with_care``: groups that did not go in one packet."""

    groups: int = 0
    with_care: int = 0


class Appender:
    """Appends groups for one server to a store of one epoch. ``note`` is told of statements that failed on the way."""

    def __init__(self, *, server_id: str, epoch: str, note: Callable[[StatementFailed], None]) -> None:
        self._server_id = server_id
        self._epoch = epoch
        self._note = note
        self.figures = AppendFigures()

    async def append(self, connection: MysqlConnection, drafts: Sequence[Draft], *, again: bool) -> list[Outcome]:
        """Store what can be stored; one outcome per draft, in order. The contract is that of ``Store.append``.

        ``again``: an earlier attempt may still be under way in the database. Then rooms that cannot be locked in time are not
        answered as blocked, for that attempt may be what blocks them.
        """
        self.figures.groups += 1
        waits = True
        if not again and len(drafts) <= _ROWS_AT_ONCE and all(map(_has_time_that_fits, drafts)):
            try:
                return await self._append_at_once(connection, drafts)
            except NotSendable:
                pass
            except StatementFailed as error:
                if error.code not in (_NULL, DUPLICATE, LOCK_WAIT, *_DATA_ERRORS):
                    raise
                waits = error.code != LOCK_WAIT
                self._note(error)
        self.figures.with_care += 1
        return await self._append_with_care(connection, drafts, again=again, waits=waits)

    async def _append_at_once(self, connection: MysqlConnection, drafts: Sequence[Draft]) -> list[Outcome]:
        counts: dict[str, int] = {}
        values: list[object] = [self._server_id]
        for number, draft in enumerate(drafts):
            count = counts[draft.room] = counts.get(draft.room, 0) + 1
            values += (
                number,
                draft.room,
                count,
                draft.id,
                draft.client_id,
                draft.sender,
                draft.content,
                draft.sent_at_us,
                draft.members_version,
            )
        rooms = sorted(counts)
        _, locked, *_ = await connection.run(
            BEGIN,
            # One row for all rooms: reading a row costs the driver more than everything else that is done for a message.
            (
                f"{_LOCK_ROOMS.format('GROUP_CONCAT(last_seq ORDER BY uuid)')} ({place_holders(len(rooms))}) FOR UPDATE",
                rooms,
            ),
            (_INSERT_HEAD + _DRAFT + _NEXT_DRAFT * (len(drafts) - 1) + _INSERT_TAIL, values),
            *_count_on(counts),
            COMMIT,
            commits=True,
        )
        last_seq = dict(zip(rooms, map(int, locked.rows[0][0].split(",")), strict=True))
        return [Stored(self._next_message(draft, last_seq), repeated=False) for draft in drafts]

    def _next_message(self, draft: Draft, last_seq: dict[str, int]) -> ChatMessage:
        seq = last_seq[draft.room] = last_seq[draft.room] + 1
        return ChatMessage(
            draft.id,
            draft.room,
            seq,
            draft.sender,
            draft.content,
            draft.sent_at_us,
            self._epoch,
            draft.members_version,
        )

    async def _append_with_care(
        self, connection: MysqlConnection, drafts: Sequence[Draft], *, again: bool, waits: bool
    ) -> list[Outcome]:
        """``waits``: for rooms that another transaction has locked; else the drafts of those are answered as blocked."""
        bad = {draft.id for draft in drafts if not _is_storable(draft, connection)}
        good = without(drafts, bad) if bad else drafts
        if not good:
            return [_NOT_STORABLE] * len(drafts)
        try:
            read = await self._read(connection, good, waits=waits)
        except StatementFailed as error:
            if error.code != LOCK_WAIT or again:
                raise
            self._note(error)
            read = await self._read(connection, good, waits=False)
        allotted = allot(good, read, self._epoch)
        await self._write(connection, allotted)
        return outcomes_in_order(drafts, good, allotted.outcomes, _NOT_STORABLE)

    async def _read(self, connection: MysqlConnection, drafts: Sequence[Draft], *, waits: bool) -> Read:
        """Lock the rooms, and read what decides over the drafts: all in one packet."""
        uuids = sorted({draft.room for draft in drafts})
        asked = _locks(uuids, waits=waits), _ids(drafts), _client_ids(drafts), _users(uuids), [] if waits else _known(uuids)
        _, *results = await connection.run(BEGIN, *chain.from_iterable(asked))
        answers = iter(results)
        locked, ids, client_ids, members, known = (
            [row for _ in statements for row in next(answers).rows] for statements in asked
        )
        users: dict[str, set[str]] = {}
        for uuid, user in members:
            users.setdefault(uuid, set()).add(user)
        rooms = {
            uuid: RoomState(number, last_seq, members_version, bool(deleted), frozenset(users.get(uuid, ())))
            for uuid, number, last_seq, members_version, deleted in locked
        }
        return Read(
            rooms,
            {row[0]: message_of(row, self._epoch) for row in ids},
            {row[:3]: message_of(row[3:], self._epoch) for row in client_ids},
            blocked=frozenset(uuid for (uuid,) in known) - rooms.keys(),
        )

    async def _write(self, connection: MysqlConnection, allotted: Allotted) -> None:
        """Insert what is new, in as many packets as its size needs, and commit with the last one."""
        counts: dict[str, int] = {}
        for _, draft, _ in allotted.new:
            counts[draft.room] = counts.get(draft.room, 0) + 1
        *first, last = list(_packets(allotted.rows(self._server_id), connection.max_packet_bytes)) or [[]]
        for statements in first:
            await connection.run(*statements)
        await connection.run(*last, *_count_on(counts), COMMIT, commits=bool(allotted.new))


# One order of locking for all writers, that of the UUIDs: their index is forced, for a small table would be read in another.
_LOCK_ROOMS = "SELECT {} FROM sg_room FORCE INDEX (sg_room_uuid) WHERE uuid IN"


def _locks(uuids: Sequence[str], *, waits: bool) -> list[Statement]:
    lock = "FOR UPDATE" if waits else "FOR UPDATE SKIP LOCKED"
    columns = "uuid, id, last_seq, members_version, deleted"
    return [(f"{_LOCK_ROOMS.format(columns)} ({place_holders(len(some))}) {lock}", some) for some in _slices(uuids)]


def _known(uuids: Sequence[str]) -> list[Statement]:
    return [(f"SELECT uuid FROM sg_room WHERE uuid IN ({place_holders(len(some))})", some) for some in _slices(uuids)]


def _users(uuids: Sequence[str]) -> list[Statement]:
    return [
        (
            "SELECT r.uuid, m.user FROM sg_room r FORCE INDEX (sg_room_uuid) STRAIGHT_JOIN sg_member m ON m.room_id = r.id"
            f" WHERE r.uuid IN ({place_holders(len(some))}) AND r.deleted = 0",
            some,
        )
        for some in _slices(uuids)
    ]


def _ids(drafts: Sequence[Draft]) -> list[Statement]:
    return [
        (
            f"SELECT {MESSAGE_COLUMNS} FROM sg_message m FORCE INDEX (sg_message_id) JOIN sg_room r ON r.id = m.room_id"
            f" WHERE m.id IN ({place_holders(len(ids))})",
            ids,
        )
        for ids in _slices([draft.id for draft in drafts])
    ]


def _client_ids(drafts: Sequence[Draft]) -> list[Statement]:
    return [
        (
            f"SELECT m.room_id, m.sender, m.client_id, {MESSAGE_COLUMNS}"
            f" FROM (SELECT %s AS room, %s AS sender, %s AS client_id{' UNION ALL SELECT %s, %s, %s' * (len(keys) - 1)}) w"
            " STRAIGHT_JOIN sg_room r FORCE INDEX (sg_room_uuid) ON r.uuid = w.room"
            " STRAIGHT_JOIN sg_message m FORCE INDEX (sg_message_client_id)"
            " ON m.room_id = r.id AND m.sender = w.sender AND m.client_id = w.client_id",
            [value for key in keys for value in key],
        )
        for keys in _slices([(one.room, one.sender, one.client_id) for one in drafts if one.client_id is not None])
    ]


def _count_on(counts: Mapping[str, int]) -> list[Statement]:
    """Raise ``last_seq`` by so many messages of each room. In most groups few rooms have another number of them than one."""
    rooms_with: dict[int, list[str]] = {}
    for room, count in counts.items():
        rooms_with.setdefault(count, []).append(room)
    return [
        (
            "UPDATE sg_room FORCE INDEX (sg_room_uuid) SET last_seq = last_seq + %s"
            f" WHERE uuid IN ({place_holders(len(some))})",
            (count, *some),
        )
        for count, rooms in rooms_with.items()
        for some in _slices(rooms)
    ]


def _packets(rows: Sequence[tuple[object, ...]], limit_bytes: int) -> Iterator[list[Statement]]:
    """Cut rows into packets that are small enough, of statements that are small enough."""
    packet: list[tuple[object, ...]] = []
    size = 0
    for row in rows:
        row_bytes = _ROW_BYTES + 2 * len(str(row[5]).encode())  # each byte may be escaped
        if packet and size + row_bytes > limit_bytes - _ROW_BYTES:
            yield _inserts(packet)
            packet, size = [], 0
        packet.append(row)
        size += row_bytes
    if packet:
        yield _inserts(packet)


def _inserts(rows: Sequence[tuple[object, ...]]) -> list[Statement]:
    return [
        (
            f"INSERT INTO sg_message ({ROW_COLUMNS}) VALUES {place_holders(len(some), '(%s, %s, %s, %s, %s, %s, %s, %s, %s)')}",
            [value for row in some for value in row],
        )
        for some in _slices(rows)
    ]


def _slices(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _ROWS_AT_ONCE):
        yield values[start : start + _ROWS_AT_ONCE]


def _has_time_that_fits(draft: Draft) -> bool:
    """Not left to the database: early releases of MySQL 8.0 let INSERT … SELECT store another number that fits."""
    return LOWEST <= draft.sent_at_us <= HIGHEST


def _is_storable(draft: Draft, connection: MysqlConnection) -> bool:
    try:
        for text in (draft.id, draft.room, draft.sender, draft.client_id or ""):
            text.encode()
        size = len(draft.content.encode())
    except UnicodeEncodeError:
        return False
    return (
        max(len(draft.id), len(draft.sender)) <= _ID_CHARS
        and len(draft.client_id or "") <= _CLIENT_ID_CHARS
        and size <= _CONTENT_BYTES
        and connection.fits(draft.content, spare_bytes=2 * _ROW_BYTES)
        and _has_time_that_fits(draft)
    )
