"""The schema in MySQL or MariaDB, brought up to date under a lock; and the epoch, the name of this life of the data.

The database commits each statement that changes a table by itself. So a migration cut in half is done again from its start,
and its number is written last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stompgate.model.ids import new_epoch
from stompgate.ports.part import SetupError
from stompgate.ports.store import CLOCK_SLACK_S, LEASE_S, StoreUnavailable

from .migrations import Migration, version_key
from .mysql_connection import BEGIN, COMMIT, MysqlConnection, NotSendable, Statement, StatementFailed

NOW_US = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
"""Microseconds since 1970 by the clock of the database, as the statement began: the same at every place in it."""

LEASE_US = round(LEASE_S * 1_000_000)
_SLACK_US = round(CLOCK_SLACK_S * 1_000_000)


def in_force(end: str, longest_us: int) -> str:
    """Whether what lasts so long at most, and ends at the time in that column, still lasts."""
    return f"({end} > {NOW_US} AND {end} <= {NOW_US} + {longest_us + _SLACK_US})"


IS_VALID = in_force("expires_at_us", LEASE_US)
"""Whether a row of sg_lease is in force."""

# Of this database, among all of the server. A digest since names of locks are short; MySQL 9.6 and later know no SHA1.
LOCK_NAME = "CONCAT('stompgate.', LEFT(SHA2(DATABASE(), 256), 40))"


async def migrate(
    connection: MysqlConnection, migrations: Sequence[Migration], program_version: str, *, lock_wait_s: float
) -> None:
    """Apply the migrations that are missing, while no other server does. Raises ``SetupError`` and ``ConnectionLost``.

    A schema that a newer program has changed is refused only where that program said that this one can't work on it.
    """
    try:
        (answer,) = await connection.run((f"SELECT GET_LOCK({LOCK_NAME}, %s)", (lock_wait_s,)))
        if answer.rows[0][0] != 1:
            raise SetupError(f"another server was still bringing the database up to date after {lock_wait_s:g} s")
        # The lock goes with the connection if anything below fails.
        await _migrate(connection, migrations, program_version)
        await connection.run((f"DO RELEASE_LOCK({LOCK_NAME})", ()))
    except (StatementFailed, NotSendable) as error:
        raise SetupError(f"cannot bring the database up to date: {error}") from error


async def _migrate(connection: MysqlConnection, migrations: Sequence[Migration], program_version: str) -> None:
    await connection.run(
        (
            "CREATE TABLE IF NOT EXISTS sg_migration (number INT NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL,"
            " min_program VARCHAR(64) NOT NULL, applied_at_us BIGINT NOT NULL)"
            f" ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {connection.collation}",
            (),
        )
    )
    (applied,) = await connection.run(("SELECT number, min_program FROM sg_migration ORDER BY number", ()))
    for number, min_program in applied.rows:
        if version_key(min_program) > version_key(program_version):
            raise SetupError(
                f"the database is of a newer version: its change {number} needs stompgate {min_program} or later,"
                f" this is {program_version}"
            )
    known = {number for number, _ in applied.rows}
    for migration in migrations:
        if migration.number in known:
            continue
        for sql in statements_of(migration.sql.replace("{collation}", connection.collation)):
            await connection.run((sql, ()))
        await connection.run(
            (
                f"INSERT INTO sg_migration (number, name, min_program, applied_at_us) VALUES (%s, %s, %s, {NOW_US})",
                (migration.number, migration.name, migration.min_program),
            )
        )


def statements_of(sql: str) -> Iterator[str]:
    """Cut a migration into its statements: each ends with a semicolon at the end of a line."""
    lines = [line for line in sql.splitlines() if not line.startswith("--")]
    for statement in "\n".join(lines).split(";\n"):
        if statement.strip().rstrip(";"):
            yield statement.strip().rstrip(";")


# The epoch


async def read_epoch(connection: MysqlConnection) -> str:
    """Return the name of this life of the data; a new database is given one."""
    _, found = await connection.run(
        ("INSERT IGNORE INTO sg_meta (name, value) VALUES ('epoch', %s)", (new_epoch(),)), _EPOCH, commits=True
    )
    return str(found.rows[0][0])


_EPOCH: Statement = ("SELECT value FROM sg_meta WHERE name = 'epoch'", ())


async def write_new_epoch(connection: MysqlConnection) -> str:
    """Name the next life of the data. Raises ``StoreUnavailable`` while a lease is valid.

    Who takes a lease locks the epoch's row first, so no lease is taken between the look and the change.
    """
    epoch = new_epoch()
    _, _, leases = await connection.run(
        BEGIN, (_EPOCH[0] + " FOR UPDATE", ()), (f"SELECT server_id FROM sg_lease WHERE {IS_VALID}", ())
    )
    if leases.rows:
        await connection.roll_back()
        raise StoreUnavailable(f"server {leases.rows[0][0]} runs on it")
    await connection.run(("UPDATE sg_meta SET value = %s WHERE name = 'epoch'", (epoch,)), COMMIT, commits=True)
    return epoch


async def probe_write(connection: MysqlConnection, server_id: str) -> None:
    """Write a row of no meaning: a database that is read-only, or whose disk is full, can still be read."""
    await connection.run(
        (
            "INSERT INTO sg_meta (name, value) VALUES (%s, '1') ON DUPLICATE KEY UPDATE value = value + 1",
            (f"probe.{server_id}",),
        ),
        commits=True,
    )
