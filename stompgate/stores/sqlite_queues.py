"""Messages of queues, as SQL on the connection that writes. One process has the file: nobody but its owner holds any."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from stompgate.model.queues import Claim, QueueMessage
from stompgate.ports.queues import QueueFull

from .queue_rows import COLUMNS, claims_of, distinct, headers_text
from .sqlite_values import padded, place_holders, slices

_FREE = "claimed_by = NULL, attempt = NULL"


def put(connection: sqlite3.Connection, messages: Sequence[QueueMessage], limit: int, *, again: bool) -> None:
    """The contract is that of ``Queues.put``."""
    known = _known(connection, messages)
    new = [message for message in distinct(messages) if (message.queue, message.id) not in known]
    for queue, number in Counter(message.queue for message in new).items():
        (waiting,) = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM sg_queue_message INDEXED BY sg_queue_message_claim WHERE queue = ? LIMIT ?)",
            (queue, limit + 1),
        ).fetchone()
        if waiting + number > limit:
            raise QueueFull(queue)
    for some in slices(new):
        connection.execute(
            "INSERT INTO sg_queue_message (queue, id, headers, body, sent_at_us, deliveries)"
            f" VALUES {place_holders(len(some), '(?, ?, ?, ?, ?, ?)')}",
            [
                value
                for message in some
                for value in (message.queue, message.id, headers_text(message), message.body, message.sent_at_us, int(again))
            ],
        )


def _known(connection: sqlite3.Connection, messages: Sequence[QueueMessage]) -> set[tuple[str, str]]:
    known: set[tuple[str, str]] = set()
    for ids in map(padded, slices([message.id for message in messages])):
        known.update(
            connection.execute(
                f"SELECT queue, id FROM sg_queue_message WHERE id IN ({place_holders(len(ids))})", ids
            ).fetchall()
        )
    return known


def claim(connection: sqlite3.Connection, queue: str, limit: int, claimant: tuple[str, str], *, again: bool) -> list[Claim]:
    """The contract is that of ``Queues.claim``. ``claimant``: owner and attempt."""
    owner, attempt = claimant
    for other in ("claimed_by < ?", "claimed_by > ?"):  # both along the index; <> would read the whole queue
        connection.execute(f"UPDATE sg_queue_message SET {_FREE} WHERE queue = ? AND {other}", (queue, owner))
    select = f"SELECT number, {COLUMNS} FROM sg_queue_message INDEXED BY sg_queue_message_claim WHERE queue = ?"
    if again:
        held = connection.execute(f"{select} AND claimed_by = ? AND attempt = ? ORDER BY number", (queue, *claimant))
        if mine := claims_of(queue, held.fetchall(), more=0):
            return mine
    free = connection.execute(
        f"{select} AND claimed_by IS NULL AND attempt IS NULL ORDER BY number LIMIT ?", (queue, limit)
    ).fetchall()
    for numbers in map(padded, slices([row[0] for row in free])):
        connection.execute(
            "UPDATE sg_queue_message SET claimed_by = ?, attempt = ?, deliveries = deliveries + 1"
            f" WHERE number IN ({place_holders(len(numbers))})",
            (owner, attempt, *numbers),
        )
    return claims_of(queue, free, more=1)


def claimable(connection: sqlite3.Connection, queues: Sequence[str], owner: str) -> list[str]:
    """The contract is that of ``Queues.claimable``."""
    found: list[str] = []
    exists = "EXISTS (SELECT 1 FROM sg_queue_message m INDEXED BY sg_queue_message_claim WHERE m.queue = w.column1 AND"
    for some in slices(queues):
        rows = connection.execute(
            f"SELECT w.column1 FROM (VALUES {place_holders(len(some), '(?)')}) w WHERE {exists} m.claimed_by IS NULL)"
            f" OR {exists} m.claimed_by < ?) OR {exists} m.claimed_by > ?)",
            [*some, owner, owner],
        )
        found += [queue for (queue,) in rows.fetchall()]
    return found


def settle(connection: sqlite3.Connection, owner: str, consumed: Sequence[Claim], returned: Sequence[Claim]) -> None:
    """The contract is that of ``Queues.settle``."""
    for change, claims in (("DELETE FROM sg_queue_message", consumed), (f"UPDATE sg_queue_message SET {_FREE}", returned)):
        for some in map(padded, slices(claims)):
            connection.execute(
                f"{change} WHERE number IN (SELECT m.number FROM (VALUES {place_holders(len(some), '(?, ?, ?)')}) w"
                " CROSS JOIN sg_queue_message m ON m.id = w.column1 AND m.queue = w.column2 AND m.deliveries = w.column3"
                " WHERE m.claimed_by = ?)",
                [*(value for one in some for value in (one.message.id, one.message.queue, one.deliveries)), owner],
            )
