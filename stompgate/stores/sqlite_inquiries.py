"""Inquiries, and which of them are owed to the mail, as SQL on one connection.

sg_mail_failure has a row for each that could not be mailed. A time further ahead than it can be was written by a clock that has
been set back since, and counts as over.
"""

from __future__ import annotations

import sqlite3

from stompgate.model.inquiries import Inquiry
from stompgate.ports.store import MAIL_CLAIM_S, PUT_OFF_LIMIT_S

from .sqlite_file import utc_us

_CLAIM_US = round(MAIL_CLAIM_S * 1_000_000)
_PUT_OFF_US = round(PUT_OFF_LIMIT_S * 1_000_000)
_GIVEN_UP_AT_A_TIME = 100

_WAITS = "mailed_at_us IS NULL AND given_up_at_us IS NULL"
_WITH_FAILURES = "sg_inquiry LEFT JOIN sg_mail_failure ON inquiry_id = id"


def add_inquiry(connection: sqlite3.Connection, inquiry: Inquiry) -> Inquiry:
    """One that waits word for word already is answered with that one."""
    texts = (inquiry.name, inquiry.email, inquiry.phone, inquiry.message)
    found = connection.execute(
        f"SELECT id FROM {_WITH_FAILURES} WHERE {_WAITS} AND name = ? AND email = ? AND phone = ? AND message = ?", texts
    ).fetchone()
    number = found[0] if found else _insert_inquiry(connection, texts)
    return Inquiry(number or 0, *texts)


def _insert_inquiry(connection: sqlite3.Connection, texts: tuple[str, str, str, str]) -> int | None:
    return connection.execute(
        "INSERT INTO sg_inquiry (name, email, phone, message, created_at_us) VALUES (?, ?, ?, ?, ?)", (*texts, utc_us())
    ).lastrowid


def unmailed(connection: sqlite3.Connection, server_id: str, limit: int) -> list[Inquiry]:
    """Claim the oldest that are free or ours. The file may have been another server's before."""
    now_us = utc_us()
    rows = connection.execute(
        "SELECT id, name, email, phone, message, COALESCE(failures, 0), COALESCE(first_failed_at_us, 0)"
        f" FROM {_WITH_FAILURES} WHERE {_WAITS}"
        " AND (claimed_by IS NULL OR claimed_by = ? OR NOT (claimed_until_us > ? AND claimed_until_us <= ?))"
        " AND (next_try_at_us IS NULL OR NOT (next_try_at_us > ? AND next_try_at_us <= ?))"
        " ORDER BY id LIMIT ?",
        (server_id, now_us, now_us + _CLAIM_US, now_us, now_us + _PUT_OFF_US, limit),
    ).fetchall()
    connection.executemany(
        "UPDATE sg_inquiry SET claimed_by = ?, claimed_until_us = ? WHERE id = ?",
        [(server_id, now_us + _CLAIM_US, row[0]) for row in rows],
    )
    return [Inquiry(*row) for row in rows]


def mark_mailed(connection: sqlite3.Connection, inquiry_id: int) -> None:
    connection.execute("UPDATE sg_inquiry SET mailed_at_us = ? WHERE id = ? AND mailed_at_us IS NULL", (utc_us(), inquiry_id))
    connection.execute("DELETE FROM sg_mail_failure WHERE inquiry_id = ?", (inquiry_id,))


def put_off_mail(connection: sqlite3.Connection, delay_s: float, inquiry_id: int | None) -> None:
    """Count a failure of one inquiry, or of each that waits. One that is mailed by now has none.

    This process is the only one that has the database, so all claims are its own.
    """
    now_us = utc_us()
    which = "mailed_at_us IS NULL AND id = ?" if inquiry_id is not None else "mailed_at_us IS NULL"
    one = (inquiry_id,) if inquiry_id is not None else ()
    next_try_us = now_us + round(delay_s * 1_000_000) if inquiry_id is not None else now_us
    connection.execute(f"UPDATE sg_inquiry SET claimed_by = NULL WHERE {which}", one)
    connection.execute(
        "INSERT INTO sg_mail_failure (inquiry_id, failures, first_failed_at_us, next_try_at_us)"
        f" SELECT id, 1, ?, ? FROM sg_inquiry WHERE {which}"
        " ON CONFLICT (inquiry_id) DO UPDATE SET failures = failures + 1, next_try_at_us = excluded.next_try_at_us",
        (now_us, next_try_us, *one),
    )


def give_up_mail(connection: sqlite3.Connection, failing_since_us: int, inquiry_id: int | None) -> list[int]:
    """Mark those that have failed for so long. Asked for again in the same words each is a new inquiry."""
    rows = connection.execute(
        "SELECT inquiry_id FROM sg_mail_failure WHERE given_up_at_us IS NULL AND first_failed_at_us <= ?"
        f" AND (? IS NULL OR inquiry_id = ?) ORDER BY inquiry_id LIMIT {_GIVEN_UP_AT_A_TIME}",
        (failing_since_us, inquiry_id, inquiry_id),
    ).fetchall()
    connection.executemany(
        "UPDATE sg_mail_failure SET given_up_at_us = ? WHERE inquiry_id = ?", [(utc_us(), *row) for row in rows]
    )
    return [number for (number,) in rows]
