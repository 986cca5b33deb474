"""History is read by those who may, whole or by pages; whoever is removed meanwhile gets nothing stored after that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from stompgate.chat.history import History
from stompgate.model.causes import Cause, Refusal
from stompgate.model.messages import ChatMessage
from tests.steered_store import SteeredStore

ROOM = "r1"


@pytest.fixture
def store() -> SteeredStore:
    store = SteeredStore()
    store.make_room(ROOM)
    for _ in range(7):
        store.put(ROOM)
    return store


async def whole(store: SteeredStore, user: str | None = "ann", page_messages: int = 3) -> list[list[int]]:
    return [seqs(page) async for page in History(store, page_messages).whole(ROOM, user)]


def seqs(page: Sequence[ChatMessage]) -> list[int]:
    return [message.seq for message in page]


async def test_the_whole_comes_in_pages_oldest_first(store: SteeredStore) -> None:
    assert await whole(store) == [[1, 2, 3], [4, 5, 6], [7]]
    assert await whole(store, page_messages=7) == [[1, 2, 3, 4, 5, 6, 7], []]
    store.make_room(ROOM)
    assert await whole(store) == [[]]


async def test_a_page_is_the_newest_below_a_number(store: SteeredStore) -> None:
    history = History(store, 3)
    assert seqs(await history.page(ROOM, "ann", before=None, limit=3)) == [5, 6, 7]
    assert seqs(await history.page(ROOM, None, before=5, limit=3)) == [2, 3, 4]


@pytest.mark.parametrize("case", ["stranger", "deleted", "unknown"])
@pytest.mark.parametrize("user", ["ann", None])
async def test_a_room_that_is_not_the_readers_is_refused(store: SteeredStore, case: str, user: str | None) -> None:
    if case == "deleted":
        await store.delete_room(ROOM)
    elif case == "unknown":
        del store.rooms[ROOM]
    elif user is None:
        assert await whole(store, None) == [[1, 2, 3], [4, 5, 6], [7]]  # where the history is open
        return
    else:
        store.remove(ROOM, user)
    with pytest.raises(Refusal) as refused:
        await whole(store, user)
    assert refused.value.cause is Cause.NO_SUCH_ROOM
    with pytest.raises(Refusal):
        await History(store, 3).page(ROOM, user, before=None, limit=3)


async def test_one_removed_while_a_page_is_read_gets_nothing_stored_after_that(store: SteeredStore) -> None:
    hold = store.hold("history")
    page = asyncio.create_task(History(store, 3).page(ROOM, "bob", before=None, limit=3))
    await hold.reached.wait()
    store.remove(ROOM, "bob")
    store.put(ROOM)
    hold.let_go()
    with pytest.raises(Refusal):
        await page


async def test_one_removed_between_two_pages_gets_the_older_ones_alone(store: SteeredStore) -> None:
    pages = History(store, 3).whole(ROOM, "bob")
    assert seqs(await anext(pages)) == [1, 2, 3]
    store.remove(ROOM, "bob")
    for _ in range(3):
        store.put(ROOM)
    assert seqs(await anext(pages)) == [4, 5, 6]
    with pytest.raises(Refusal):
        await anext(pages)


async def test_one_who_stays_reads_on_over_a_removal(store: SteeredStore) -> None:
    store.remove(ROOM, "bob")
    store.put(ROOM)
    checks = store.calls["members"]
    assert await whole(store) == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert store.calls["members"] == checks + 1
