"""Inquiries, and which of them are owed to the mail, as SQL on one connection.

sg_mail_failure has a row for each that could not be mailed. A time further ahead than it can be was written by a clock that has
been set back since, and counts as over.
"""

from __future__ import annotations

from stompgate.model.inquiries import Inquiry
from stompgate.ports.store import MAIL_CLAIM_S, PUT_OFF_LIMIT_S

from .mysql_connection import BEGIN, COMMIT, MysqlConnection, Statement
from .mysql_rooms import place_holders
from .mysql_schema import NOW_US, in_force
from .stored_rows import key_of

_CLAIM_US = round(MAIL_CLAIM_S * 1_000_000)
_PUT_OFF_US = round(PUT_OFF_LIMIT_S * 1_000_000)
_GIVEN_UP_AT_A_TIME = 100

# Along the index by which `unmailed` goes: one order of locking on all servers, the index's entry and then the row.
_UNMAILED = "sg_inquiry FORCE INDEX (sg_inquiry_unmailed)"

_IS_BARRED = (
    "EXISTS (SELECT 1 FROM sg_mail_failure f WHERE f.inquiry_id = sg_inquiry.id AND (f.given_up_at_us IS NOT NULL"
    f" OR {in_force('f.next_try_at_us', _PUT_OFF_US)}))"
)


async def add_inquiry(connection: MysqlConnection, inquiry: Inquiry) -> Inquiry:
    """One that waits word for word already is answered with that one: LAST_INSERT_ID makes its number the answer."""
    texts = (inquiry.name, inquiry.email, inquiry.phone, inquiry.message)
    (added,) = await connection.run(
        (
            "INSERT INTO sg_inquiry (name, email, phone, message, waiting_key, created_at_us)"
            f" VALUES (%s, %s, %s, %s, %s, {NOW_US}) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)",
            (*texts, key_of(*texts)),
        ),
        commits=True,
    )
    return Inquiry(added.inserted_id, *texts)


async def unmailed(connection: MysqlConnection, server_id: str, limit: int) -> list[Inquiry]:
    """Claim the oldest that are free or ours, and return them."""
    _, _, found, _ = await connection.run(
        BEGIN,
        (
            f"UPDATE {_UNMAILED} SET claimed_by = %s, claimed_until_us = {NOW_US} + {_CLAIM_US} WHERE mailed_at_us IS NULL"
            " AND (claimed_by IS NULL OR claimed_by = %s"
            f" OR NOT {in_force('claimed_until_us', _CLAIM_US)}) AND NOT {_IS_BARRED}"
            " ORDER BY id LIMIT %s",
            (server_id, server_id, limit),
        ),
        (
            "SELECT id, name, email, phone, message, COALESCE(failures, 0), COALESCE(first_failed_at_us, 0) FROM sg_inquiry"
            " LEFT JOIN sg_mail_failure ON inquiry_id = id"
            f" WHERE mailed_at_us IS NULL AND claimed_by = %s AND NOT {_IS_BARRED} ORDER BY id LIMIT %s",
            (server_id, limit),
        ),
        COMMIT,
        commits=True,
    )
    return [Inquiry(*row) for row in found.rows]


async def mark_mailed(connection: MysqlConnection, inquiry_id: int) -> None:
    await connection.run(
        BEGIN,
        (
            f"UPDATE {_UNMAILED} SET mailed_at_us = {NOW_US}, waiting_key = NULL WHERE id = %s AND mailed_at_us IS NULL",
            (inquiry_id,),
        ),
        ("DELETE FROM sg_mail_failure WHERE inquiry_id = %s", (inquiry_id,)),
        COMMIT,
        commits=True,
    )


async def put_off_mail(connection: MysqlConnection, server_id: str, delay_s: float, inquiry_id: int) -> None:
    """Count a failure of one inquiry. One that is mailed by now has none, and another's claim stays: ours has run out then."""
    next_try = f"{NOW_US} + {round(delay_s * 1_000_000)}"
    await connection.run(
        BEGIN,
        (
            f"UPDATE {_UNMAILED} SET claimed_by = IF(claimed_by = %s, NULL, claimed_by) WHERE id = %s AND mailed_at_us IS NULL",
            (server_id, inquiry_id),
        ),
        (
            "INSERT INTO sg_mail_failure (inquiry_id, failures, first_failed_at_us, next_try_at_us)"
            f" SELECT id, 1, {NOW_US}, {next_try} FROM sg_inquiry WHERE id = %s AND mailed_at_us IS NULL"
            f" ON DUPLICATE KEY UPDATE failures = failures + 1, next_try_at_us = {next_try}",
            (inquiry_id,),
        ),
        COMMIT,
        commits=True,
    )


async def put_off_all_mail(connection: MysqlConnection, server_id: str) -> None:
    """Count a failure of each that waits. FOR UPDATE: one that another server is just marking as mailed waits no more."""
    await connection.run(
        BEGIN,
        (
            "INSERT INTO sg_mail_failure (inquiry_id, failures, first_failed_at_us, next_try_at_us)"
            f" SELECT id, 1, {NOW_US}, {NOW_US} FROM {_UNMAILED} WHERE mailed_at_us IS NULL FOR UPDATE"
            f" ON DUPLICATE KEY UPDATE failures = failures + 1, next_try_at_us = {NOW_US}",
            (),
        ),
        (f"UPDATE {_UNMAILED} SET claimed_by = NULL WHERE claimed_by = %s AND mailed_at_us IS NULL", (server_id,)),
        COMMIT,
        commits=True,
    )


async def give_up_mail(connection: MysqlConnection, failing_since_us: int, inquiry_id: int | None) -> list[int]:
    """Found first, under a lock, so that each is answered by one call. Asked again in the same words each is a new inquiry."""
    one: Statement = (" AND inquiry_id = %s", (inquiry_id,)) if inquiry_id is not None else ("", ())
    _, found = await connection.run(
        BEGIN,
        (
            "SELECT inquiry_id FROM sg_mail_failure WHERE given_up_at_us IS NULL AND first_failed_at_us <= %s"
            f"{one[0]} ORDER BY inquiry_id LIMIT {_GIVEN_UP_AT_A_TIME} FOR UPDATE",
            (failing_since_us, *one[1]),
        ),
    )
    ids = [int(row[0]) for row in found.rows]
    if not ids:
        await connection.run(COMMIT)
        return []
    these = place_holders(len(ids))
    await connection.run(
        (f"UPDATE sg_inquiry SET waiting_key = NULL, claimed_by = NULL WHERE id IN ({these})", ids),
        (f"UPDATE sg_mail_failure SET given_up_at_us = {NOW_US} WHERE inquiry_id IN ({these})", ids),
        COMMIT,
        commits=True,
    )
    return ids
