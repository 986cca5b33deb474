"""Messages of queues in MySQL or MariaDB: put by many servers, claimed by each under its lease, settled once.

No server waits for another's claim, and none reads more of a queue than it takes. What COMMIT makes durable is locked before
COMMIT is sent, in a packet that was answered: so whoever tries again after a COMMIT without an answer waits until the
first attempt has come to its end, and can't be overtaken by it.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from stompgate.model.queues import Claim, QueueMessage
from stompgate.ports.queues import MessageTooLarge, QueueFull

from .mysql_connection import BEGIN, COMMIT, MysqlConnection, Statement
from .mysql_lane import Lane
from .mysql_rooms import place_holders
from .mysql_schema import IS_VALID
from .queue_rows import COLUMNS, claims_of, distinct, headers_text

Row = tuple[str, str, str, str, int, int]

_ROWS_AT_ONCE = 256
_ROW_BYTES = 4096
"""More than all of a row takes in a packet beside its headers and body."""

_TABLE = "sg_queue_message FORCE INDEX (sg_queue_message_claim)"
_FREE = "claimed_by = NULL, attempt = NULL"
_IS_FREE = "queue = %s AND claimed_by IS NULL AND attempt IS NULL"
_VALID = f"SELECT owner FROM sg_lease WHERE {IS_VALID}"

_TAKE = f"SELECT number, {COLUMNS} FROM {_TABLE} WHERE {_IS_FREE} ORDER BY number LIMIT %s FOR UPDATE SKIP LOCKED"
_HELD = f"SELECT number, {COLUMNS} FROM {_TABLE} WHERE queue = %s AND claimed_by = %s AND attempt = %s ORDER BY number"

Gap = tuple[str, str]
"""Owners between whom none holds a lease that is in force. The last gap ends with "", which stands for no end."""


class MysqlQueues:
    """``ports.queues.Queues`` but for its life, by way of ``lane``."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._owners: list[str] = []  # of leases, as a claim saw them last

    async def put(self, messages: Sequence[QueueMessage], *, limit: int, again: bool) -> None:
        if messages:
            await self._lane.call(lambda link: _put(link, distinct(messages), limit, again=again))

    async def claim(self, queue: str, limit: int, *, owner: str, attempt: str, again: bool) -> Sequence[Claim]:
        return await self._lane.call(lambda link: self._claim(link, queue, limit, (owner, attempt), again=again))

    async def claimable(self, queues: Sequence[str], *, owner: str) -> Sequence[str]:
        if not queues:
            return []
        statements = [
            _claimable(queues[start : start + _ROWS_AT_ONCE], owner) for start in range(0, len(queues), _ROWS_AT_ONCE)
        ]
        results = await self._lane.call(lambda link: link.run(*statements))
        return [queue for result in results for (queue,) in result.rows]

    async def settle(self, owner: str, *, consumed: Sequence[Claim], returned: Sequence[Claim]) -> None:
        statements = [
            *_settlements("DELETE m", "", owner, consumed),
            *_settlements("UPDATE", f"SET m.{_FREE.replace(', ', ', m.')}", owner, returned),
        ]
        if statements:
            await self._lane.call(lambda link: link.run(BEGIN, *statements, COMMIT, commits=True))

    async def _claim(
        self, connection: MysqlConnection, queue: str, limit: int, claimant: tuple[str, str], *, again: bool
    ) -> Sequence[Claim]:
        """Lock what is free, passing over what others are about to take; then write whose it is, and commit."""
        if again and (mine := await _claimed_before(connection, queue, claimant)):
            return mine
        begin = [] if again else [BEGIN]
        take, seen = (_TAKE, (queue, limit)), self._owners
        *_, valid, gaps, free = await connection.run(*begin, (_VALID, ()), _left_behind(queue, seen), take)
        self._owners = sorted(owner for (owner,) in valid.rows)
        if self._owners != seen:
            (gaps,) = await connection.run(_left_behind(queue, self._owners))
        if gaps.rows:
            *_, free = await connection.run(*_releases(queue, gaps.rows), take)
        numbers = [row[0] for row in free.rows]
        await connection.run(*_takings(claimant, numbers), COMMIT, commits=bool(numbers))
        return claims_of(queue, free.rows, more=1)


# Put


async def _put(connection: MysqlConnection, messages: Sequence[QueueMessage], limit: int, *, again: bool) -> None:
    """Count and insert in one packet, commit in another. Repeats are looked for only where it would be full with them."""
    first, *others = list(_packets(connection, messages, again=again))
    counts = Counter(message.queue for message in messages)
    _, found, *_ = await connection.run(BEGIN, _count(list(counts), limit), *first)
    full = _full(counts, found.rows, limit)
    if full:
        await connection.roll_back()
        found, known = await connection.run(_count(list(counts), limit), _known(messages, full))
        counts.subtract(queue for (queue,) in known.rows)
        full = _full(counts, found.rows, limit)
        if full:
            raise QueueFull(full[0])
        await connection.run(BEGIN, *first)
    for packet in others:
        await connection.run(*packet)
    await connection.run(COMMIT, commits=True)


def _full(counts: Mapping[str, int], waiting: Sequence[tuple[int, int]], limit: int) -> list[str]:
    waits = dict(waiting)
    return [queue for at, (queue, count) in enumerate(counts.items()) if count > 0 and waits[at] + count > limit]


def _count(queues: Sequence[str], limit: int) -> Statement:
    """How many messages wait in each queue, by its place in the list; none is counted further than it matters."""
    one = f"SELECT %s, COUNT(*) FROM (SELECT 1 FROM {_TABLE} WHERE queue = %s LIMIT %s) c"
    values = [value for at, queue in enumerate(queues) for value in (at, queue, limit + 1)]
    return " UNION ALL ".join([one] * len(queues)), values


def _known(messages: Sequence[QueueMessage], queues: Sequence[str]) -> Statement:
    asked = [message for message in messages if message.queue in queues]
    return (
        f"SELECT queue FROM sg_queue_message WHERE (id, queue) IN ({place_holders(len(asked), '(%s, %s)')})",
        [value for message in asked for value in (message.id, message.queue)],
    )


def _packets(connection: MysqlConnection, messages: Sequence[QueueMessage], *, again: bool) -> Iterator[list[Statement]]:
    """Cut messages into packets that the database takes. Raises ``MessageTooLarge`` for one that fits into none."""
    packet: list[Row] = []
    size = 0
    for message in messages:
        # As text, since a packet is text: the driver knows no way for bytes that are none.
        body, headers = b64encode(message.body).decode("ascii"), headers_text(message)
        row_bytes = len(body) + 2 * len(headers) + _ROW_BYTES
        if row_bytes > connection.max_packet_bytes - _ROW_BYTES:
            raise MessageTooLarge(f"{len(message.body)} bytes are more than the database takes (max_allowed_packet)")
        if packet and (size + row_bytes > connection.max_packet_bytes // 2 or len(packet) == _ROWS_AT_ONCE):
            yield [_insert(packet)]
            packet, size = [], 0
        packet.append((message.queue, message.id, headers, body, message.sent_at_us, int(again)))
        size += row_bytes
    yield [_insert(packet)]


def _insert(rows: Sequence[Row]) -> Statement:
    return (
        "INSERT INTO sg_queue_message (queue, id, headers, body, sent_at_us, deliveries)"
        f" VALUES {place_holders(len(rows), '(%s, %s, %s, FROM_BASE64(%s), %s, %s)')}"
        " ON DUPLICATE KEY UPDATE id = id",
        [value for row in rows for value in row],
    )


# Claim


async def _claimed_before(connection: MysqlConnection, queue: str, claimant: tuple[str, str]) -> Sequence[Claim]:
    """What an attempt without an answer has claimed. It may hold locks still, so it is waited for.

    If that is nothing, the transaction goes on and keeps its own locks: what comes late finds nothing to claim.
    """
    wait = f"SELECT COUNT(*) FROM {_TABLE} WHERE {_IS_FREE} FOR UPDATE"
    *_, mine = await connection.run(BEGIN, (wait, (queue,)), (_HELD, (queue, *claimant)))
    if mine.rows:
        await connection.roll_back()
    return claims_of(queue, mine.rows, more=0)


def _left_behind(queue: str, owners: Sequence[str]) -> Statement:
    """In which gaps between the owners of leases something is claimed: a step along the index for each gap.

    SELECT DISTINCT would say who has claimed, but reads all of their claims unless the database happens to know better.
    """
    edges = ["", *owners, ""]
    gaps = list(pairwise(edges))
    selects = [f"(SELECT %s AS low, %s AS high FROM {_TABLE} WHERE queue = %s AND {_within(high)} LIMIT 1)" for _, high in gaps]
    return " UNION ALL ".join(selects), [value for gap in gaps for value in (*gap, queue, *_ends(gap))]


def _claimable(queues: Sequence[str], owner: str) -> Statement:
    """In which queues something is free, or held by another without a lease. What is held is as much as consumers may hold."""
    exists = "EXISTS (SELECT 1 FROM sg_queue_message m FORCE INDEX (sg_queue_message_claim) WHERE m.queue = w.queue AND"
    return (
        f"SELECT w.queue FROM (SELECT %s AS queue{' UNION ALL SELECT %s' * (len(queues) - 1)}) w"
        f" WHERE {exists} m.claimed_by IS NULL) OR {exists} m.claimed_by <> %s AND m.claimed_by NOT IN ({_VALID}))",
        (*queues, owner),
    )


def _releases(queue: str, gaps: Sequence[Gap]) -> Iterator[Statement]:
    """Free what was left behind, if it still is: a server may have taken a lease since the look."""
    for gap in gaps:
        yield (
            f"UPDATE {_TABLE} SET {_FREE} WHERE queue = %s AND {_within(gap[1])} AND claimed_by NOT IN ({_VALID})",
            (queue, *_ends(gap)),
        )


def _within(high: str) -> str:
    return "claimed_by > %s AND claimed_by < %s" if high else "claimed_by > %s"


def _ends(gap: Gap) -> tuple[str, ...]:
    return gap if gap[1] else gap[:1]


def _takings(claimant: tuple[str, str], numbers: Sequence[int]) -> Iterator[Statement]:
    if numbers:
        yield (
            "UPDATE sg_queue_message SET claimed_by = %s, attempt = %s, deliveries = deliveries + 1"
            f" WHERE number IN ({place_holders(len(numbers))})",
            (*claimant, *numbers),
        )


# Settle


def _settlements(what: str, change: str, owner: str, claims: Sequence[Claim]) -> Iterator[Statement]:
    """Statements that do something to the claims that this owner still holds, in one order on all servers."""
    in_order = sorted(claims, key=lambda claim: (claim.message.id, claim.message.queue))
    source = "FROM " if what.startswith("DELETE") else ""
    for start in range(0, len(in_order), _ROWS_AT_ONCE):
        some = in_order[start : start + _ROWS_AT_ONCE]
        rows = " UNION ALL SELECT %s, %s, %s" * (len(some) - 1)
        yield (
            f"{what} {source}(SELECT %s AS id, %s AS queue, %s AS deliveries{rows}) w"
            " STRAIGHT_JOIN sg_queue_message m FORCE INDEX (sg_queue_message_id) ON m.id = w.id AND m.queue = w.queue"
            f" {change} WHERE m.claimed_by = %s AND m.deliveries = w.deliveries",
            [*(value for one in some for value in (one.message.id, one.message.queue, one.deliveries)), owner],
        )
