"""The table of archived messages, in both databases: what went in is what was stored, and it goes with its room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stompgate.model.records import ChatRecord
from stompgate.ports.store import Store
from stompgate.stores.sqlite import SqliteSettings, SqliteStore
from tests.ports.drafts import draft, make_room, stored
from tests.waiting import until

from . import mysql_rows, rivals

OLD_US, NEW_US = 1_000, 5_000
_ARCHIVED = (
    "SELECT r.uuid, a.seq, a.id, a.client_id, a.sender, a.content, a.sent_at_us, a.members_version"
    " FROM sg_archive a JOIN sg_room r ON r.id = a.room_id ORDER BY r.uuid, a.seq"
)


@dataclass
class Base:
    """A store, and a look into its database past it."""

    store: Store
    ask: Callable[[str], Sequence[tuple[Any, ...]]]


@pytest.fixture(params=["sqlite", "mysql"])
async def base(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Base]:
    if request.param == "mysql":
        url = mysql_rows.emptied_url(request.getfixturevalue("services"))
        async with mysql_rows.opened(url, clear_slice_rows=3) as store:
            yield Base(store, lambda sql: mysql_rows.ask(url, sql))
        return
    path = tmp_path / "chat.db"
    file = SqliteStore(path, server_id="server-1", settings=SqliteSettings(clear_slice_rows=3))
    await file.open()
    yield Base(file, lambda sql: rivals.ask(path, sql))
    await file.close()


async def fill(store: Store, room: str) -> list[tuple[Any, ...]]:
    """Seven old messages and a new one; return the old ones as the archive should have them."""
    drafts = [draft(room, f"안녕 {n}", client_id=f"c{n}" if n % 2 else None, sent_at_us=OLD_US + n) for n in range(7)]
    messages = [stored(one) for one in await store.append([*drafts, draft(room, "new", sent_at_us=NEW_US)])]
    await store.mark_relayed([ChatRecord(message) for message in messages])
    return [
        (room, number, one.id, one.client_id, one.sender, one.content, one.sent_at_us, 1)
        for number, one in enumerate(drafts, 1)
    ]


async def test_what_is_archived_is_what_was_stored(base: Base) -> None:
    rows: list[tuple[Any, ...]] = []
    for room in ("a", "b"):
        await make_room(base.store, room)
        rows += await fill(base.store, room)
    while await base.store.prune(NEW_US, 4, archive=True):
        pass
    assert list(base.ask(_ARCHIVED)) == rows
    assert list(base.ask("SELECT content FROM sg_message")) == [("new",), ("new",)]
    assert all(at_us > 1_600_000_000_000_000 for (at_us,) in base.ask("SELECT archived_at_us FROM sg_archive"))


async def test_without_the_setting_nothing_is_archived(base: Base) -> None:
    await make_room(base.store, "a")
    await fill(base.store, "a")
    assert await base.store.prune(NEW_US, 100, archive=False) == 7
    assert list(base.ask(_ARCHIVED)) == []


async def test_the_archive_of_a_deleted_room_goes_with_it(base: Base) -> None:
    kept: list[tuple[Any, ...]] = []
    for room in ("deleted", "kept"):
        await make_room(base.store, room)
        kept = await fill(base.store, room)
    while await base.store.prune(NEW_US, 100, archive=True):
        pass
    await base.store.delete_room("deleted")
    await until(lambda: list(base.ask("SELECT uuid FROM sg_room WHERE cleared = 1")) == [("deleted",)], "it is cleared")
    assert list(base.ask(_ARCHIVED)) == kept
    assert len(base.ask("SELECT id FROM sg_message")) == 1


async def test_a_row_number_that_is_given_out_again_is_archived_as_well(base: Base) -> None:
    await make_room(base.store, "a")
    await make_room(base.store, "last")
    await fill(base.store, "a")
    assert await base.store.prune(NEW_US, 100, archive=True) == 7
    await base.store.delete_room("a")
    await until(lambda: list(base.ask("SELECT uuid FROM sg_room WHERE cleared = 1")) == [("a",)], "it is cleared")
    rows = await fill(base.store, "last")
    assert await base.store.prune(NEW_US, 100, archive=True) == 7
    assert list(base.ask(_ARCHIVED)) == rows
