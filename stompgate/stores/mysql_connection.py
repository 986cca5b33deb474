"""One connection to MySQL or MariaDB: statements go out in one packet, their results come back.

A connection whose answers may be out of step with its questions must never be used again: whatever ends an exchange before its
last result, cancellation included, cuts it off. Values are parameters, always: a packet may hold several statements.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, SERVER_STATUS
from pymysql.converters import escape_string as escape_with_backslashes
from pymysql.err import MySQLError

from stompgate.ports.part import SetupError

MARIADB_COLLATION, MYSQL_COLLATION = "utf8mb4_nopad_bin", "utf8mb4_0900_bin"
OLDEST = {MARIADB_COLLATION: (10, 6), MYSQL_COLLATION: (8, 0, 17)}
"""By the collation that tells the two apart: SKIP LOCKED came with MariaDB 10.6, utf8mb4_0900_bin with MySQL 8.0.17."""

Statement = tuple[str, Sequence[object]]
"""A statement with %s for each of its values."""

# Beside the driver's own errors, what it raises when the bytes it reads make no sense: no database, a broken proxy;
# and RuntimeError by uvloop for a write to a socket that was reset just now.
_BROKEN = (
    *(MySQLError, OSError, EOFError, RuntimeError),
    *(LookupError, ValueError, TypeError, AttributeError, AssertionError, struct.error),
)

_REFUSED_FOR_GOOD = {1044, 1045, 1049, 1251, 1524, 1698, 2059}
"""Who we are, or what we ask for, is not known there: waiting does not help."""

BEGIN: Statement = ("BEGIN", ())
COMMIT: Statement = ("COMMIT", ())

_HANGING_UP = {1053, 1077, 1079, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1290, 1792, 1836, 1927, 3169, 4031}
"""The server ends the connection, or is read-only now: the next connection may lead to another server."""


_UNDECIDED = {1053, 1180, 1927, 3169}
"""A statement that commits by itself may be done in spite of these."""


class ConnectionLost(Exception):
    """The connection is cut off, or there is none. What a transaction did is undone unless its COMMIT was sent."""


class NotSendable(Exception):
    """Nothing was sent: a text is no Unicode, or the packet would be larger than the server takes."""


class StatementFailed(Exception):
    """The server refused a statement; those before it are done, those behind it are not. ``number`` counts from 0."""

    def __init__(self, code: int, text: str, number: int) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.number = number


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is, and who we are there. ``tls``: nothing is said but encrypted."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"database {self.database} on {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Session:
    """What each connection is set to. ``lock_wait_s``: how long a statement waits for a lock. ``idle_s``: silence after which
    the server lets go of the connection and its locks. ``connect_s``: how long connecting may take."""

    lock_wait_s: int
    idle_s: int
    connect_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """Of one statement: its rows, how many it changed, and the number that it gave to the first row it inserted."""

    rows: Sequence[tuple[Any, ...]]
    changed: int
    inserted_id: int


class _Driver(aiomysql.Connection):  # type: ignore[misc]  # it brings no types
    """The driver's connection, which by itself would go on unencrypted where the server offers no TLS."""

    async def _request_authentication(self) -> None:
        if self._ssl_context is not None and not self.server_capabilities & CLIENT.SSL:
            raise SetupError(f"{self.host}:{self.port} offers no TLS, and tls_ca asks for it")
        await super()._request_authentication()


class MysqlConnection:
    """A connection that is open, until it is not. One exchange at a time."""

    __slots__ = ("_driver", "_loop", "collation", "in_doubt", "last_used_s", "max_packet_bytes")

    def __init__(self, driver: Any, collation: str, max_packet_bytes: int) -> None:
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self.collation = collation
        self.max_packet_bytes = max_packet_bytes
        self.in_doubt = False
        """A packet that commits was sent, and its end is not known."""
        self.last_used_s = self._loop.time()

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as this side has heard."""
        if self._driver.closed:
            return False
        reader = self._driver._reader
        return not (reader.eof_received or reader.at_eof() or reader.exception() is not None)

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open, by the last answer that told."""
        return not self._driver.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS

    def fits(self, text: str, *, spare_bytes: int) -> bool:
        """Whether a packet can hold a value, with so much beside it."""
        room_bytes = self.max_packet_bytes - spare_bytes
        return len(text) * 8 <= room_bytes or len(self._driver.escape(text).encode()) <= room_bytes

    async def run(self, *statements: Statement, commits: bool = False) -> list[Result]:
        """Send the statements in one packet; return the result of each. ``commits``: the last one makes them durable.

        Raises ``NotSendable``, ``StatementFailed`` (with ``in_doubt`` if it was the one that commits) and ``ConnectionLost``.
        Has no deadline of its own: who cancels it cuts the connection off.
        """
        packet = self._packet(statements)
        results: list[Result] = []
        self.in_doubt = commits
        try:
            # Not by a cursor: that asks for the text of each warning, by a statement of its own.
            await self._driver.query(packet)
            results.append(_result_of(self._driver))
            while len(results) < len(statements):
                await self._driver.next_result()
                results.append(_result_of(self._driver))
        except MySQLError as error:
            if self._driver.closed or not _is_answer(error):
                self.cut()
                raise ConnectionLost(_reason(error)) from error
            code = error.args[0]
            at_the_end = len(results) == len(statements) - 1
            decided = not at_the_end or (statements[-1] != COMMIT and code not in _UNDECIDED)
            self.in_doubt = commits and not decided
            if self.in_doubt or code in _HANGING_UP:
                self.cut()
            raise StatementFailed(code, str(error.args[1]), len(results)) from error
        except _BROKEN as error:
            self.cut()
            raise ConnectionLost(_reason(error)) from error
        except BaseException:
            self.cut()
            raise
        self.in_doubt = False
        self.last_used_s = self._loop.time()
        return results

    async def roll_back(self) -> None:
        """End the transaction without a trace. What cannot be asked for any more the server does when it misses us."""
        if self.is_open:
            await self.run(("ROLLBACK", ()))

    def cut(self) -> None:
        """Close at once; what was not sent yet never will be."""
        writer = self._driver._writer
        if writer is not None:
            writer.transport.abort()
        self._driver.close()

    def _packet(self, statements: Sequence[Statement]) -> bytes:
        text = ";".join([sql % self._literals(values) if values else sql for sql, values in statements])
        try:
            packet = text.encode()
        except UnicodeEncodeError as error:
            raise NotSendable(f"a text is no Unicode: {error.reason}") from error
        if len(packet) >= self.max_packet_bytes:
            raise NotSendable(f"{len(packet)} bytes are more than the database takes (max_allowed_packet)")
        return packet

    def _literals(self, values: Sequence[object]) -> tuple[object, ...]:
        """Values as SQL, by the driver's rules. The kinds that come in their thousands take the short way through it."""
        driver = self._driver
        has_backslashes = not driver.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES
        escape, escape_string = driver.escape, escape_with_backslashes if has_backslashes else driver.escape_string
        return tuple(
            [
                f"'{escape_string(value)}'" if type(value) is str else value if type(value) is int else escape(value)
                for value in values
            ]
        )


async def connect(address: Address, session: Session) -> MysqlConnection:
    """Connect, and set the session up. Raises ``ConnectionLost``, and ``SetupError`` where waiting does not help."""
    driver = _Driver(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        db=address.database,
        charset="utf8mb4",
        ssl=address.tls,
        connect_timeout=None,  # ours is kept by `_connected`: theirs, by `asyncio.wait_for`, may swallow a cancellation
        autocommit=None,
    )
    try:
        return await _connected(driver, session)
    except TimeoutError as error:
        raise ConnectionLost(f"{address.host}:{address.port} did not answer within {session.connect_s:g} s") from error
    except _BROKEN as error:
        if _is_final(error):
            raise SetupError(f"{address}, user {address.user}: {_reason(error)}") from error
        raise ConnectionLost(_reason(error)) from error


async def _connected(driver: Any, session: Session) -> MysqlConnection:
    try:
        async with asyncio.timeout(session.connect_s):
            await driver._connect()
            return await _set_up(driver, session)
    except BaseException:
        _abandon(driver)
        await asyncio.sleep(0)  # its socket is closed in the next turn, and there may be no later one
        raise


def _is_final(error: Exception) -> bool:
    """Whether waiting does not help: we are refused, do not trust the peer, or miss a package for this kind of password."""
    lacks_a_package = isinstance(error, RuntimeError) and "package" in str(error)
    is_refused = _is_answer(error) and error.args[0] in _REFUSED_FOR_GOOD
    return lacks_a_package or is_refused or isinstance(error.__cause__, ssl.SSLCertVerificationError)


async def _set_up(driver: Any, session: Session) -> MysqlConnection:
    version = str(driver.get_server_info())
    collation = MARIADB_COLLATION if "mariadb" in version.lower() else MYSQL_COLLATION
    connection = MysqlConnection(driver, collation, max_packet_bytes=1 << 20)
    try:
        *_, found = await connection.run(
            (f"SET NAMES utf8mb4 COLLATE {collation}", ()),
            ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", ()),
            (
                "SET SESSION autocommit = 1, time_zone = '+00:00',"
                # Strict: a value that does not fit is an error. Backslashes escape, as the driver counts on.
                " sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',"
                " group_concat_max_len = 1048576, innodb_lock_wait_timeout = %s, lock_wait_timeout = %s, wait_timeout = %s",
                (session.lock_wait_s, session.lock_wait_s, session.idle_s),
            ),
            ("SELECT VERSION(), @@max_allowed_packet", ()),
        )
    except StatementFailed as error:
        raise SetupError(f"the database, version {version}, does not take what this program needs: {error}") from error
    version, max_packet_bytes = found.rows[0]
    if release_of(version) < OLDEST[collation]:
        raise SetupError(f"the database is version {version}; MySQL 8.0.17 or MariaDB 10.6, or later, is needed")
    connection.max_packet_bytes = int(max_packet_bytes)
    return connection


def release_of(version: str) -> tuple[int, ...]:
    """Return the numbers of a version such as ``10.11.6-MariaDB-0+deb12u1``."""
    return tuple(int(number) for number in version.partition("-")[0].split(".") if number.isdecimal())


def _result_of(driver: Any) -> Result:
    found = driver._result
    return Result(found.rows or (), found.affected_rows, found.insert_id or 0)


def _is_answer(error: Exception) -> bool:
    """Whether the server said it, rather than the driver."""
    code = error.args[0] if error.args else None
    return isinstance(error, MySQLError) and isinstance(code, int) and (code < 2000 or code >= 3000 or code == 2059)


def _abandon(driver: Any) -> None:
    if driver._writer is not None:
        driver._writer.transport.abort()
    driver.close()


def _reason(error: Exception) -> str:
    if isinstance(error, MySQLError) and len(error.args) > 1:
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        return f"{error.args[1]}{cause}"
    return f"{type(error).__name__}: {error}"
