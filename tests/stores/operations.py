"""What the store is asked to do while its disk fails, each from the same data; and all that is in a file, to compare."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stompgate.model.inquiries import Inquiry
from stompgate.model.messages import Draft
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.ports.store import Store, Stored
from tests.ports.drafts import BUYER, SELLER, draft, make_room

from .rivals import ask

Answer = object
Ask = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Operation:
    """A call that writes. ``again`` is what the same call answers when all of it is there already, by its first answer."""

    name: str
    call: Callable[[Store], Awaitable[Answer]]
    again: Callable[[Answer], Answer]

    def __str__(self) -> str:
        return self.name


ROOMS = ("room-a", "room-b", "room-c")
_STORED = tuple(draft(room, f"{room} {n}", message_id=f"{room}-{n}", client_id=f"c{n}") for room in ROOMS for n in range(3))


async def furnish(store: Store) -> None:
    """The data that every operation begins with: rooms with messages, one of them deleted, all of it owed to the relay."""
    for room in (*ROOMS, "deleted"):
        await make_room(store, room)
    await store.append(_STORED)
    await store.delete_room("deleted")


def _drafts() -> list[Draft]:
    return [
        draft("room-a", "new", message_id="n1", client_id="new"),
        draft("room-b", "new", message_id="n2", sender=SELLER, members_version=0),
        draft("room-a", "again, by its client id", message_id="n3", client_id="c1"),
        draft("room-a", "again, within the group", message_id="n4", client_id="new"),
        draft("room-c", "again, by its id", message_id="room-c-0"),
        draft("room-b", "of a stranger", message_id="n5", sender="stranger", members_version=0),
        draft("no-such-room", message_id="n6"),
        draft("deleted", message_id="n7"),
        draft("room-a", "kept together", message_id="n8", transaction="t1"),
        draft("room-c", "kept together", message_id="n9", transaction="t1"),
        draft("room-b", "falls with its neighbour", message_id="n10", transaction="t2"),
        draft("no-such-room", message_id="n11", transaction="t2"),
        draft("room-c", "last", message_id="n12"),
    ]


def _drafts_with_bad_rows() -> list[Draft]:
    return [
        draft("room-a", "good", message_id="g1"),
        draft("room-a", "half a character \ud800", message_id="g2"),
        draft("room-b", "falls with its neighbour", message_id="g3", transaction="t1"),
        draft("room-b", "\udfff", message_id="g4", transaction="t1"),
        draft("room-b", "good", message_id="g5"),
    ]


def _repeated(answer: Answer) -> Answer:
    assert isinstance(answer, list)
    return [Stored(one.message, repeated=True) if isinstance(one, Stored) else one for one in answer]


async def _mark(store: Store) -> Answer:
    messages = [message for room in ROOMS for message in await store.history(room, limit=2)]
    await store.mark_relayed([RoomChanged("deleted", 2, deleted=True, epoch=store.epoch), *map(ChatRecord, messages)])
    return None


APPEND = Operation("append", lambda store: store.append(_drafts()), _repeated)
OPERATIONS = (
    APPEND,
    Operation("append bad rows", lambda store: store.append(_drafts_with_bad_rows()), _repeated),
    Operation("mark_relayed", _mark, lambda answer: answer),
    Operation(
        "create_room",
        lambda store: store.create_room("room-d", buyer=BUYER, seller=SELLER, product_name="a new one"),
        lambda answer: answer,
    ),
    Operation("delete_room", lambda store: store.delete_room("room-a"), lambda _: None),
    Operation("add_inquiry", lambda store: store.add_inquiry(Inquiry(0, "n", "e", "p", "m")), lambda answer: answer),
)

_LIVING = "room_id IN (SELECT id FROM sg_room WHERE deleted = 0)"
_ALL = (
    "SELECT id, uuid, product_name, live_key, last_seq, members_version, deleted, unrelayed_by FROM sg_room ORDER BY id",
    f"SELECT id, room_id, user, other FROM sg_member WHERE {_LIVING} ORDER BY id",
    "SELECT room_id, seq, id, client_id, sender, content, members_version, unrelayed_by FROM sg_message"
    f" WHERE {_LIVING} ORDER BY number",
    "SELECT id, name, email, phone, message, mailed_at_us FROM sg_inquiry ORDER BY id",
)


def snapshot(path: Path) -> list[list[tuple[object, ...]]]:
    """All that is committed, but for the time of day and what is left of deleted rooms."""
    return [ask(path, sql) for sql in _ALL]


def assert_no_gaps(path: Path) -> None:
    """Each room's messages have the numbers from 1 to its last one, and no id or client id is there twice."""
    assert_no_gaps_by(partial(ask, path))


def assert_no_gaps_by(ask_database: Ask) -> None:
    """The same, of a database that is asked by ``ask_database``."""
    assert (
        ask_database(
            "SELECT r.uuid FROM sg_room r LEFT JOIN sg_message m ON m.room_id = r.id WHERE r.deleted = 0"
            " GROUP BY r.id, r.uuid, r.last_seq"
            " HAVING count(m.seq) != r.last_seq OR count(DISTINCT m.seq) != r.last_seq OR coalesce(max(m.seq), 0) != r.last_seq"
            " OR count(DISTINCT m.client_id) != count(m.client_id) OR count(DISTINCT m.id) != count(m.id)"
        )
        == []
    )
