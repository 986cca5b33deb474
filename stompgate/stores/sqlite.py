"""Rooms and messages in one SQLite file, for a server that runs alone. Keeps the whole contract of ``ports.store.Store``.

Writes go through one thread and reads through another, so that a page of history never waits for a commit. Nothing here may
block the event loop, and no read transaction may stay open: it would let the write-ahead log grow without end.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from stompgate import __version__
from stompgate.model.inquiries import Inquiry
from stompgate.model.messages import ChatMessage, Draft
from stompgate.model.queues import Claim, QueueMessage
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.model.rooms import Members, RoomHead, RoomSummary, RoomUser
from stompgate.ports.part import PartDown
from stompgate.ports.store import LEASE_S, Lease, Outcome, OutcomeUnknown, StoreUnavailable

from . import sqlite_history as history_sql
from . import sqlite_inquiries as inquiries_sql
from . import sqlite_outbox as outbox_sql
from . import sqlite_prune as prune_sql
from . import sqlite_queues as queues_sql
from . import sqlite_rooms as rooms_sql
from .clearing import Clearing
from .migrations import migrations_for
from .pruning import Walk
from .sqlite_append import Appender
from .sqlite_file import (
    UNSTORABLE,
    Connect,
    connect_reader,
    connect_writer,
    lock_file,
    migrate,
    read,
    read_epoch,
    transact,
    utc_us,
    write_new_epoch,
)
from .sqlite_thread import SqliteThread

T = TypeVar("T")

_PING_DEADLINE_S = 2.0


def _write(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    try:
        return transact(connection, work)
    except UNSTORABLE as error:
        raise StoreUnavailable(f"a value that the database cannot hold: {error}") from error


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    """Limits of the store.

    ``deadline_s``: how long a call may take. ``busy_timeout_s``: how long a write waits for another program that has locked the
    file; less than the deadline, so that it ends with a reason. ``open_deadline_s``: opening, migrations included.
    ``max_jobs``: calls that may wait for one thread. ``clear_slice_rows``: rows of deleted rooms per transaction.
    """

    deadline_s: float = 5.0
    busy_timeout_s: float = 2.0
    open_deadline_s: float = 300.0
    close_deadline_s: float = 10.0
    max_jobs: int = 1024
    clear_slice_rows: int = 500


class SqliteStore:
    """``ports.store.Store`` and ``ports.queues.Queues`` on the file ``path``, whose folder is made if need be.

    ``server_id`` is written into what this server owes to the relay. ``connect`` makes both connections.
    """

    def __init__(
        self,
        path: Path,
        *,
        server_id: str,
        settings: SqliteSettings | None = None,
        connect: Connect = sqlite3.connect,
    ) -> None:
        self._path = path.absolute()
        self._server_id = server_id
        self._connect = connect
        self._settings = settings or SqliteSettings()
        self._epoch = ""
        self._appender: Appender
        self._lock = -1
        self._commit_failed = False  # of the writer's thread alone
        self._clearing = Clearing(self._clear_slice)
        self._walk = Walk()
        self._writer = SqliteThread("sqlite-writer", max_jobs=self._settings.max_jobs, late=OutcomeUnknown)
        self._reader = SqliteThread("sqlite-reader", max_jobs=self._settings.max_jobs, late=StoreUnavailable)

    # Its life

    async def open(self) -> None:
        """Lock the file, bring the schema up to date, start both threads. Raises ``SetupError``."""
        deadline_s = self._settings.open_deadline_s
        await self._writer.start(self._connect_writer, self._disconnect_writer, deadline_s=deadline_s)
        try:
            await self._reader.start(self._connect_reader, sqlite3.Connection.close, deadline_s=deadline_s)
        except BaseException:
            await self._writer.stop(deadline_s=self._settings.close_deadline_s)
            raise
        self._clearing.begin()

    async def close(self) -> None:
        """End what was asked for, within ``close_deadline_s`` for each thread, and release the file."""
        await self._clearing.close()
        await self._reader.stop(deadline_s=self._settings.close_deadline_s)
        await self._writer.stop(deadline_s=self._settings.close_deadline_s)

    async def ping(self) -> None:
        """Read, and write a row of no meaning: a full disk can still be read."""
        deadline_s = min(_PING_DEADLINE_S / 2, self._settings.deadline_s)
        try:
            await self._reader.run(partial(read, work=history_sql.probe_read), deadline_s=deadline_s)
            await self._writer.run(partial(transact, work=history_sql.probe_write), deadline_s=deadline_s)
        except (StoreUnavailable, OutcomeUnknown) as error:
            raise PartDown(f"sqlite: {error}") from error

    @property
    def epoch(self) -> str:
        return self._epoch

    def _connect_writer(self) -> sqlite3.Connection:
        lock = lock_file(self._path)
        try:
            connection = connect_writer(self._path, busy_timeout_s=self._settings.busy_timeout_s, connect=self._connect)
            try:
                migrate(connection, migrations_for("sqlite"), __version__)
                self._epoch = read_epoch(connection)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        self._appender = Appender(server_id=self._server_id, epoch=self._epoch)
        return connection

    def _disconnect_writer(self, connection: sqlite3.Connection) -> None:
        try:
            connection.close()
        finally:
            os.close(self._lock)

    def _connect_reader(self) -> sqlite3.Connection:
        return connect_reader(self._path, busy_timeout_s=self._settings.busy_timeout_s, connect=self._connect)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._reader.run(partial(read, work=work), deadline_s=self._settings.deadline_s)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._on_writer(partial(_write, work=work))

    async def _on_writer(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return await self._writer.run(partial(self._attempt, job=job), deadline_s=self._settings.deadline_s)

    def _attempt(self, connection: sqlite3.Connection, *, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do a job that writes, on the thread.

        After a COMMIT that failed, as on a full disk, the next one is tried on a row of no meaning first: what is refused
        then was never attempted, so that one call and not every call is left in doubt.
        """
        if self._commit_failed:
            try:
                transact(connection, history_sql.probe_write)
            except OutcomeUnknown as error:
                raise StoreUnavailable(str(error)) from error
        self._commit_failed = False
        try:
            return job(connection)
        except OutcomeUnknown:
            self._commit_failed = True
            raise

    async def new_epoch(self) -> str:
        return await self._write(write_new_epoch)

    # Leases: the lock on the file lets one process in, whatever its server id

    async def take_lease(self, owner: str) -> Lease:
        return Lease(owner, utc_us() + round(LEASE_S * 1_000_000))

    async def release_lease(self, owner: str) -> None:
        """The lock goes when the store is closed."""

    # Messages

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        if not drafts:
            return []
        return await self._on_writer(partial(self._appender.append, drafts=drafts))

    async def history(
        self, room: str, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[ChatMessage]:
        return await self._read(lambda connection: history_sql.history(connection, self._epoch, room, before, after, limit))

    async def message_at(self, room: str, seq: int) -> ChatMessage | None:
        return await self._read(lambda connection: history_sql.message_at(connection, self._epoch, room, seq))

    async def heads(self, rooms: Sequence[str]) -> Sequence[RoomHead]:
        return await self._read(lambda connection: rooms_sql.heads(connection, rooms))

    # The outbox

    async def unrelayed(self, limit: int) -> Sequence[ChatRecord | RoomChanged]:
        return await self._read(lambda connection: outbox_sql.unrelayed(connection, self._epoch, limit))

    async def mark_relayed(self, records: Sequence[ChatRecord | RoomChanged]) -> None:
        if records:
            await self._write(lambda connection: outbox_sql.mark_relayed(connection, records))

    async def prune(self, before_us: int, limit: int, *, archive: bool) -> int:
        return await self._walk.prune(
            lambda after: self._read(lambda connection: prune_sql.look(connection, after, before_us)),
            lambda rooms: self._write(lambda connection: prune_sql.take(connection, rooms, before_us, limit, archive=archive)),
        )

    # Rooms

    async def create_room(self, uuid: str, *, buyer: str, seller: str, product_name: str) -> tuple[RoomUser, RoomUser]:
        return await self._write(lambda connection: rooms_sql.create_room(connection, uuid, buyer, seller, product_name))

    async def members(self, room: str) -> Members | None:
        return await self._read(lambda connection: rooms_sql.members(connection, room))

    async def room_user(self, room: str, user: str) -> RoomUser | None:
        return await self._read(lambda connection: rooms_sql.room_user(connection, room, user))

    async def rooms_of(self, user: str) -> Sequence[RoomUser]:
        return await self._read(lambda connection: rooms_sql.rooms_of(connection, user))

    async def all_room_users(self) -> Sequence[RoomUser]:
        return await self._read(rooms_sql.all_room_users)

    async def list_rooms(self, *, user: str | None = None, before: int | None = None, limit: int) -> Sequence[RoomSummary]:
        return await self._read(lambda connection: rooms_sql.list_rooms(connection, user, before, limit))

    async def delete_room(self, room: str) -> RoomChanged | None:
        try:
            version = await self._write(lambda connection: rooms_sql.delete_room(connection, room, self._server_id))
        except OutcomeUnknown:  # it may be deleted; asked again, the answer would be that there is no such room
            self._clearing.begin()
            raise
        if version is None:
            return None
        self._clearing.begin()
        return RoomChanged(room, version, deleted=True, epoch=self._epoch)

    async def _clear_slice(self) -> bool:
        rows = self._settings.clear_slice_rows
        return await self._write(lambda connection: rooms_sql.clear_slice(connection, rows))

    # Inquiries

    async def add_inquiry(self, inquiry: Inquiry) -> Inquiry:
        return await self._write(lambda connection: inquiries_sql.add_inquiry(connection, inquiry))

    async def unmailed(self, limit: int) -> Sequence[Inquiry]:
        return await self._write(lambda connection: inquiries_sql.unmailed(connection, self._server_id, limit))

    async def mark_mailed(self, inquiry_id: int) -> None:
        await self._write(lambda connection: inquiries_sql.mark_mailed(connection, inquiry_id))

    async def put_off_mail(self, delay_s: float, inquiry_id: int | None = None) -> None:
        await self._write(lambda connection: inquiries_sql.put_off_mail(connection, delay_s, inquiry_id))

    async def give_up_mail(self, failing_since_us: int, inquiry_id: int | None = None) -> Sequence[int]:
        return await self._write(lambda connection: inquiries_sql.give_up_mail(connection, failing_since_us, inquiry_id))

    # Queues

    async def put(self, messages: Sequence[QueueMessage], *, limit: int, again: bool = False) -> None:
        if messages:
            await self._write(lambda connection: queues_sql.put(connection, messages, limit, again=again))

    async def claim(self, queue: str, limit: int, *, owner: str, attempt: str, again: bool = False) -> Sequence[Claim]:
        claimant = owner, attempt
        return await self._write(lambda connection: queues_sql.claim(connection, queue, limit, claimant, again=again))

    async def claimable(self, queues: Sequence[str], *, owner: str) -> Sequence[str]:
        return await self._read(lambda connection: queues_sql.claimable(connection, queues, owner)) if queues else []

    async def settle(self, owner: str, *, consumed: Sequence[Claim], returned: Sequence[Claim]) -> None:
        if consumed or returned:
            await self._write(lambda connection: queues_sql.settle(connection, owner, consumed, returned))
