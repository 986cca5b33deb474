"""Rooms and messages in MySQL or MariaDB, for any number of servers. Keeps the whole contract of ``ports.store.Store``.

Groups of messages go through one connection, other writes and reads through some of their own, so that a page of history never
waits for a commit. Whatever the database does, a caller hears of it in the words of the port, within its deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from stompgate import __version__
from stompgate.model.inquiries import Inquiry
from stompgate.model.messages import ChatMessage, Draft
from stompgate.model.queues import Claim, QueueMessage
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.model.rooms import Members, RoomHead, RoomSummary, RoomUser
from stompgate.ports.part import Figure, PartDown, SetupError
from stompgate.ports.store import Lease, Outcome, OutcomeUnknown, StoreUnavailable

from . import mysql_history as history_sql
from . import mysql_inquiries as inquiries_sql
from . import mysql_leases as leases_sql
from . import mysql_outbox as outbox_sql
from . import mysql_prune as prune_sql
from . import mysql_rooms as rooms_sql
from . import mysql_schema as schema
from .clearing import Clearing
from .migrations import migrations_for
from .mysql_append import Appender
from .mysql_connection import Address, ConnectionLost, MysqlConnection, Session, StatementFailed, connect
from .mysql_lane import Lane
from .mysql_queues import MysqlQueues
from .pruning import Walk

T = TypeVar("T")
Work = Callable[[MysqlConnection], Awaitable[T]]

_log = structlog.get_logger()
_PING_DEADLINE_S = 2.0
_START_RETRY_S = 0.5
_START_LOG_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class MysqlSettings:
    """Limits of the store, as the section ``mysql`` of the settings describes them."""

    deadline_s: float = 5.0
    connect_timeout_s: float = 2.0
    lock_wait_s: int = 2
    idle_timeout_s: int = 30
    start_wait_s: float = 60.0
    migrate_deadline_s: float = 300.0
    close_deadline_s: float = 10.0
    read_connections: int = 4
    write_connections: int = 2
    queue_connections: int = 2
    waiting_calls: int = 1024
    clear_slice_rows: int = 500
    tls_ca: str = ""


class MysqlStore:
    """``ports.store.Store`` and ``ports.queues.Queues`` in one database.

    ``server_id`` is written into what this server owes to the relay.
    """

    def __init__(self, address: Address, *, server_id: str, settings: MysqlSettings | None = None) -> None:
        self._address = address
        self._server_id = server_id
        self._settings = settings or MysqlSettings()
        self._session = Session(
            lock_wait_s=self._settings.lock_wait_s,
            idle_s=self._settings.idle_timeout_s,
            connect_s=self._settings.connect_timeout_s,
        )
        self._epoch = ""
        self._appends = self._lane("append", 1)
        self._writes = self._lane("write", self._settings.write_connections)
        self._reads = self._lane("read", self._settings.read_connections)
        self._queued = self._lane("queue", self._settings.queue_connections)
        self._queues = MysqlQueues(self._queued)
        self._appender = Appender(
            server_id=server_id, epoch="", note=self._appends.note
        )  # anew with the epoch, once it is read
        self._in_doubt: frozenset[str] = frozenset()
        self._clearing = Clearing(self._clear_slice)
        self._walk = Walk()

    def _lane(self, name: str, size: int) -> Lane:
        return Lane(
            name,
            partial(connect, self._address, self._session),
            size=size,
            max_waiting=self._settings.waiting_calls,
            deadline_s=self._settings.deadline_s,
            idle_s=self._settings.idle_timeout_s,
        )

    @property
    def _lanes(self) -> Sequence[Lane]:
        return self._appends, self._writes, self._reads, self._queued

    # Its life

    async def open(self) -> None:
        """Connect, bring the schema up to date, read the epoch. Raises ``SetupError``.

        A database that is away is waited for, ``start_wait_s`` long; one that refuses us is not.
        """
        connection = await self._first_connection()
        try:
            async with asyncio.timeout(self._settings.migrate_deadline_s):
                await schema.migrate(
                    connection, migrations_for("mysql"), __version__, lock_wait_s=self._settings.migrate_deadline_s
                )
                self._epoch = await schema.read_epoch(connection)
        except (ConnectionLost, StatementFailed, TimeoutError) as error:
            connection.cut()
            raise SetupError(f"{self._address}: cannot be brought up to date: {error or 'too slow'}") from error
        except BaseException:
            connection.cut()
            raise
        self._writes.adopt(connection)
        self._appender = Appender(server_id=self._server_id, epoch=self._epoch, note=self._appends.note)
        self._clearing.begin()

    async def _first_connection(self) -> MysqlConnection:
        now_s = asyncio.get_running_loop().time
        began_s, logged_s = now_s(), float("-inf")
        while True:
            try:
                return await connect(self._address, self._session)
            except ConnectionLost as error:
                waited_s = now_s() - began_s
                if waited_s >= self._settings.start_wait_s:
                    raise SetupError(f"{self._address} did not answer for {waited_s:.0f} s: {error}") from error
                if now_s() - logged_s >= _START_LOG_EVERY_S:
                    logged_s = now_s()
                    _log.warning("waiting for the database", database=str(self._address), reason=str(error))
            await asyncio.sleep(_START_RETRY_S)

    async def close(self) -> None:
        """End what was asked for, within ``close_deadline_s``, and close all connections."""
        await self._clearing.close()
        deadline_s = self._settings.close_deadline_s
        await asyncio.gather(*(lane.close(deadline_s=deadline_s) for lane in self._lanes))
        await asyncio.sleep(0)  # sockets are closed in the next turn, and there may be no later one

    async def ping(self) -> None:
        """Read, and write a row of no meaning: a full disk, or a server that is read-only, can still be read."""
        deadline_s = min(_PING_DEADLINE_S, self._settings.deadline_s)
        try:
            async with asyncio.timeout(deadline_s):
                await self._probe()
        except (StoreUnavailable, OutcomeUnknown, TimeoutError) as error:
            raise PartDown(f"mysql: {error or 'the database has not answered in time'}") from error

    async def _probe(self) -> None:
        """A connection that broke while it was idle says nothing of the database: what is in doubt is done again."""
        try:
            await self._writes.call(lambda link: schema.probe_write(link, self._server_id))
        except OutcomeUnknown:
            await self._writes.call(lambda link: schema.probe_write(link, self._server_id))

    @property
    def epoch(self) -> str:
        return self._epoch

    def figures(self) -> Sequence[Figure]:
        lanes = self._lanes
        appended = self._appender.figures
        return [
            *(Figure("stompgate_store_connections", "Open connections", lane.open_connections, lane.name) for lane in lanes),
            *(
                Figure("stompgate_store_lost_connections_total", "Connections cut off", lane.figures.lost, lane.name)
                for lane in lanes
            ),
            *(Figure("stompgate_store_retries_total", "Calls begun again", lane.figures.retries, lane.name) for lane in lanes),
            *(Figure("stompgate_store_deadlocks_total", "Deadlocks", lane.figures.deadlocks, lane.name) for lane in lanes),
            *(
                Figure("stompgate_store_lock_waits_total", "Locks not had in time", lane.figures.lock_waits, lane.name)
                for lane in lanes
            ),
            Figure("stompgate_store_groups_total", "Groups of messages tried", appended.groups),
            Figure("stompgate_store_groups_with_care_total", "Groups that took more than a packet", appended.with_care),
        ]

    async def new_epoch(self) -> str:
        return await self._writes.call(schema.write_new_epoch)

    # Leases

    async def take_lease(self, owner: str) -> Lease:
        return await self._writes.call(lambda link: leases_sql.take_lease(link, self._epoch, self._server_id, owner))

    async def release_lease(self, owner: str) -> None:
        await self._writes.call(lambda link: leases_sql.release_lease(link, self._server_id, owner))

    # Messages

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        """After an unknown outcome the first attempt may still be under way, so its drafts are remembered."""
        if not drafts:
            return []
        again = bool(self._in_doubt) and any(draft.id in self._in_doubt for draft in drafts)
        try:
            outcomes = await self._appends.call(lambda link: self._appender.append(link, drafts, again=again))
        except (OutcomeUnknown, asyncio.CancelledError):
            self._in_doubt = frozenset(draft.id for draft in drafts)
            raise
        self._in_doubt = frozenset()
        return outcomes

    async def history(
        self, room: str, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[ChatMessage]:
        return await self._reads.call(lambda link: history_sql.history(link, self._epoch, room, (before, after), limit))

    async def message_at(self, room: str, seq: int) -> ChatMessage | None:
        return await self._reads.call(lambda link: history_sql.message_at(link, self._epoch, room, seq))

    async def heads(self, rooms: Sequence[str]) -> Sequence[RoomHead]:
        if not rooms:
            return []
        return await self._reads.call(lambda link: rooms_sql.heads(link, rooms))

    # The outbox

    async def unrelayed(self, limit: int) -> Sequence[ChatRecord | RoomChanged]:
        return await self._reads.call(lambda link: outbox_sql.unrelayed(link, self._epoch, self._server_id, limit))

    async def mark_relayed(self, records: Sequence[ChatRecord | RoomChanged]) -> None:
        if records:
            await self._writes.call(lambda link: outbox_sql.mark_relayed(link, records))

    async def prune(self, before_us: int, limit: int, *, archive: bool) -> int:
        return await self._walk.prune(
            lambda after: self._reads.call(lambda link: prune_sql.look(link, after, before_us)),
            lambda rooms: self._writes.call(lambda link: prune_sql.take(link, rooms, before_us, limit, archive=archive)),
        )

    # Rooms

    async def create_room(self, uuid: str, *, buyer: str, seller: str, product_name: str) -> tuple[RoomUser, RoomUser]:
        return await self._writes.call(lambda link: rooms_sql.create_room(link, uuid, buyer, seller, product_name))

    async def members(self, room: str) -> Members | None:
        return await self._reads.call(lambda link: rooms_sql.members(link, room))

    async def room_user(self, room: str, user: str) -> RoomUser | None:
        return await self._reads.call(lambda link: rooms_sql.room_user(link, room, user))

    async def rooms_of(self, user: str) -> Sequence[RoomUser]:
        return await self._reads.call(lambda link: rooms_sql.rooms_of(link, user))

    async def all_room_users(self) -> Sequence[RoomUser]:
        return await self._reads.call(rooms_sql.all_room_users)

    async def list_rooms(self, *, user: str | None = None, before: int | None = None, limit: int) -> Sequence[RoomSummary]:
        return await self._reads.call(lambda link: rooms_sql.list_rooms(link, user, before, limit))

    async def delete_room(self, room: str) -> RoomChanged | None:
        try:
            version = await self._writes.call(lambda link: rooms_sql.delete_room(link, room, self._server_id))
        except OutcomeUnknown:  # it may be deleted; asked again, the answer would be that there is no such room
            self._clearing.begin()
            raise
        if version is None:
            return None
        self._clearing.begin()
        return RoomChanged(room, version, deleted=True, epoch=self._epoch)

    async def _clear_slice(self) -> bool:
        rows = self._settings.clear_slice_rows
        return await self._writes.call(lambda link: rooms_sql.clear_slice(link, rows))

    # Inquiries

    async def add_inquiry(self, inquiry: Inquiry) -> Inquiry:
        return await self._writes.call(lambda link: inquiries_sql.add_inquiry(link, inquiry))

    async def unmailed(self, limit: int) -> Sequence[Inquiry]:
        return await self._writes.call(lambda link: inquiries_sql.unmailed(link, self._server_id, limit))

    async def mark_mailed(self, inquiry_id: int) -> None:
        await self._writes.call(lambda link: inquiries_sql.mark_mailed(link, inquiry_id))

    async def put_off_mail(self, delay_s: float, inquiry_id: int | None = None) -> None:
        if inquiry_id is None:
            await self._writes.call(lambda link: inquiries_sql.put_off_all_mail(link, self._server_id))
        else:
            await self._writes.call(lambda link: inquiries_sql.put_off_mail(link, self._server_id, delay_s, inquiry_id))

    async def give_up_mail(self, failing_since_us: int, inquiry_id: int | None = None) -> Sequence[int]:
        return await self._writes.call(lambda link: inquiries_sql.give_up_mail(link, failing_since_us, inquiry_id))

    # Queues

    async def put(self, messages: Sequence[QueueMessage], *, limit: int, again: bool = False) -> None:
        await self._queues.put(messages, limit=limit, again=again)

    async def claim(self, queue: str, limit: int, *, owner: str, attempt: str, again: bool = False) -> Sequence[Claim]:
        return await self._queues.claim(queue, limit, owner=owner, attempt=attempt, again=again)

    async def claimable(self, queues: Sequence[str], *, owner: str) -> Sequence[str]:
        return await self._queues.claimable(queues, owner=owner)

    async def settle(self, owner: str, *, consumed: Sequence[Claim], returned: Sequence[Claim]) -> None:
        await self._queues.settle(owner, consumed=consumed, returned=returned)
