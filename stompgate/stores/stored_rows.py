"""What rows of the SQL stores mean, whatever the database: columns as values, bounds of a page. No SQL is run here."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from stompgate.model.messages import ChatMessage
from stompgate.model.rooms import Room, RoomSummary, RoomUser

LOWEST, HIGHEST = -(2**63), 2**63 - 1
"""What a column of whole numbers can hold. A client's position may name any number."""

MESSAGE_COLUMNS = "m.id, r.uuid, m.seq, m.sender, m.content, m.sent_at_us, m.members_version"
"""Of ``sg_message m`` and ``sg_room r``, as ``message_of`` takes them."""

ROOM_USER_COLUMNS = "m.id, r.id, r.uuid, r.product_name, m.user, m.other"
"""Of ``sg_member m`` and ``sg_room r``, as ``room_user_of`` takes them."""

SUMMARY_COLUMNS = "r.id, r.uuid, r.product_name, r.buyer, r.seller, r.last_seq, r.created_at_us"
"""Of ``sg_room r``, as ``summary_of`` takes them."""


def message_of(row: Sequence[Any], epoch: str) -> ChatMessage:
    """Return the message of a row of ``MESSAGE_COLUMNS``."""
    message_id, room, seq, sender, content, sent_at_us, members_version = row
    return ChatMessage(message_id, room, seq, sender, content, sent_at_us, epoch, members_version)


def room_user_of(row: Sequence[Any]) -> RoomUser:
    """Return the member's row of a row of ``ROOM_USER_COLUMNS``."""
    number, room_number, uuid, product_name, user, other = row
    return RoomUser(number, Room(room_number, uuid, product_name), user, other)


def summary_of(row: Sequence[Any]) -> RoomSummary:
    """Return the room of a row of ``SUMMARY_COLUMNS``."""
    number, uuid, product_name, buyer, seller, last_seq, created_at_us = row
    return RoomSummary(Room(number, uuid, product_name), buyer, seller, last_seq, created_at_us)


def summaries(place_holder: str, user: str | None, before: int | None, limit: int) -> tuple[str, tuple[str | int, ...]]:
    """Return the statement that lists rooms, the newest first, and its values."""
    conditions, values = ["r.deleted = 0"], list[str | int]()
    if user is not None:
        conditions.append(f"r.id IN (SELECT room_id FROM sg_member WHERE user = {place_holder})")
        values.append(user)
    if before is not None:
        conditions.append(f"r.id < {place_holder}")
        values.append(before)
    where = " AND ".join(conditions)
    return f"SELECT {SUMMARY_COLUMNS} FROM sg_room r WHERE {where} ORDER BY r.id DESC LIMIT {place_holder}", (*values, limit)


def page_bounds(before: int | None, after: int | None, limit: int) -> tuple[int, int] | None:
    """Return the lowest and the highest ``seq`` of a page of history; None if nothing can lie within."""
    upper = HIGHEST if before is None else min(before - 1, HIGHEST)
    lower = LOWEST if after is None else max(after + 1, LOWEST)
    if lower > upper or lower > HIGHEST or upper < LOWEST or limit <= 0:
        return None
    return lower, upper


def key_of(*parts: str) -> str:
    """Return one name of 64 signs for several texts, another for any others: it fits into any index."""
    digest = sha256()
    for part in parts:
        text = part.encode()
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()
