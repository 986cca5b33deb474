"""A lane of connections for one kind of call: it lends them, tries again what may be tried again, and says what became of it.

No driver's error leaves it, no call outlasts its deadline, and no call that may have taken effect is ever said not to have.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from stompgate.ports.part import SetupError
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

from .mysql_connection import ConnectionLost, MysqlConnection, NotSendable, StatementFailed

T = TypeVar("T")
Work = Callable[[MysqlConnection], Awaitable[T]]

DEADLOCK, LOCK_WAIT, DUPLICATE = 1213, 1205, 1062

_TRIES = 5
_PROBE_IDLE_S = 5.0
"""A connection that was silent for so long is asked before it is used: a proxy may have forgotten it without a word."""


@dataclass(slots=True)
class LaneFigures:
    """What a lane has seen since it was made."""

    lost: int = 0
    retries: int = 0
    deadlocks: int = 0
    lock_waits: int = 0


class Lane:
    """Up to ``size`` connections, made by ``connect`` when they are needed. After ``idle_s`` the database ends an idle one."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Awaitable[MysqlConnection]],
        *,
        size: int,
        max_waiting: int,
        deadline_s: float,
        idle_s: float,
    ) -> None:
        self.name = name
        self._connect = connect
        self._size = size
        self._max_waiting = max_waiting
        self._deadline_s = deadline_s
        self._idle_s = idle_s
        self._free = asyncio.Semaphore(size)
        self._idle: deque[MysqlConnection] = deque()
        self._busy: set[MysqlConnection] = set()
        self._waiting = 0
        self._is_closed = False
        self.figures = LaneFigures()

    @property
    def open_connections(self) -> int:
        return len(self._idle) + len(self._busy)

    def adopt(self, connection: MysqlConnection) -> None:
        """Take a connection that was made outside."""
        self._idle.append(connection)

    async def call(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """Return what ``work`` returns. It may be begun again on another connection as long as nothing of it can be committed.

        Raises ``StoreUnavailable`` (nothing of it was done) and ``OutcomeUnknown``.
        """
        doubt: list[MysqlConnection] = []
        try:
            async with asyncio.timeout(self._deadline_s if deadline_s is None else deadline_s):
                return await self._call(work, doubt)
        except TimeoutError as error:
            if doubt and doubt[-1].in_doubt:
                raise OutcomeUnknown("the database has not answered in time") from error
            raise StoreUnavailable("the database has not answered in time") from error

    async def _call(self, work: Work[T], used: list[MysqlConnection]) -> T:
        for tries_left in reversed(range(_TRIES)):
            try:
                connection = await self._take()
            except (ConnectionLost, SetupError) as error:
                raise StoreUnavailable(str(error)) from error
            used.append(connection)
            try:
                return await self._attempt(connection, work)
            except NotSendable as error:
                raise StoreUnavailable(str(error)) from error
            except (ConnectionLost, StatementFailed) as error:
                if connection.in_doubt:
                    raise OutcomeUnknown(str(error)) from error
                if not tries_left or not self._may_try_again(error):
                    raise StoreUnavailable(str(error)) from error
                self.figures.retries += 1
            finally:
                self._give_back(connection)
        raise AssertionError("the last try returns or raises")

    async def _attempt(self, connection: MysqlConnection, work: Work[T]) -> T:
        connection.in_doubt = False
        try:
            return await work(connection)
        except StatementFailed as error:
            self.note(error)
            if not connection.in_doubt:
                await _undo(connection)
            raise
        except NotSendable:
            await _undo(connection)
            raise

    def _may_try_again(self, error: ConnectionLost | StatementFailed) -> bool:
        return isinstance(error, ConnectionLost) or error.code in (DEADLOCK, DUPLICATE)

    def note(self, error: StatementFailed) -> None:
        """Count what came in the way of a statement."""
        self.figures.deadlocks += error.code == DEADLOCK
        self.figures.lock_waits += error.code == LOCK_WAIT

    async def _take(self) -> MysqlConnection:
        if self._is_closed:
            raise StoreUnavailable("closed")
        if self._waiting >= self._max_waiting:
            raise StoreUnavailable(f"{self._waiting} calls are waiting already")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            connection = await self._idle_one() or await self._connect()
        except BaseException:
            self._free.release()
            raise
        self._busy.add(connection)
        return connection

    async def _idle_one(self) -> MysqlConnection | None:
        """The connection that was used last, if it still works."""
        while self._idle:
            connection = self._idle.pop()
            try:
                if connection.is_open and await self._is_alive(connection):
                    return connection
            except BaseException:
                connection.cut()
                raise
            self.figures.lost += _age_s(connection) < self._idle_s
            connection.cut()
        return None

    async def _is_alive(self, connection: MysqlConnection) -> bool:
        if _age_s(connection) < _PROBE_IDLE_S:
            return True
        try:
            async with asyncio.timeout(self._deadline_s / 4):
                await connection.run(("SELECT 1", ()))
        except (ConnectionLost, StatementFailed, TimeoutError):
            return False
        return True

    def _give_back(self, connection: MysqlConnection) -> None:
        self._busy.discard(connection)
        if connection.is_open and connection.is_idle and not self._is_closed:
            self._idle.append(connection)
        else:
            self.figures.lost += not self._is_closed
            connection.cut()
        self._free.release()

    async def close(self, *, deadline_s: float) -> None:
        """Let calls under way end within ``deadline_s``, then cut everything off."""
        self._is_closed = True
        try:
            async with asyncio.timeout(deadline_s):
                for _ in range(self._size):
                    await self._free.acquire()
        except TimeoutError:
            for connection in tuple(self._busy):
                connection.cut()
        while self._idle:
            self._idle.pop().cut()


def _age_s(connection: MysqlConnection) -> float:
    return asyncio.get_running_loop().time() - connection.last_used_s


async def _undo(connection: MysqlConnection) -> None:
    try:
        await connection.roll_back()
    except (ConnectionLost, StatementFailed):
        connection.cut()
