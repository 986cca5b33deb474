"""Memory speeds up a yes and never a no; what was heard of is never forgotten for an older answer; all of it is bounded."""

from __future__ import annotations

import asyncio

import pytest

from stompgate.chat.rooms import NAME_LIMIT_CHARS, RoomLimits, Rooms
from stompgate.model.causes import Cause, Refusal
from stompgate.model.records import RoomChanged
from stompgate.ports.store import StoreUnavailable
from tests.steered_store import SteeredStore

from .audience import settle

ROOM = "r1"


class Service:
    def __init__(self, limit: int = 100) -> None:
        self.store = SteeredStore()
        self.store.make_room(ROOM)
        self.announced: list[RoomChanged] = []
        self.rooms = Rooms(self.store, self.announced.append, RoomLimits(limit))

    async def cause_of_deleting(self, user: str) -> Cause:
        with pytest.raises(Refusal) as refused:
            await self.rooms.delete(ROOM, user)
        return refused.value.cause


@pytest.fixture
def service() -> Service:
    return Service()


async def test_members_are_remembered_until_something_newer_is_heard_of(service: Service) -> None:
    assert service.rooms.known(ROOM) is None
    read = await service.rooms.read(ROOM)
    assert read is not None
    assert service.rooms.known(ROOM) is read
    service.rooms.heard(ROOM, read.version)
    assert service.rooms.known(ROOM) is read
    service.rooms.heard(ROOM, read.version + 1)
    assert service.rooms.known(ROOM) is None


async def test_an_answer_older_than_what_was_heard_of_is_read_again(service: Service) -> None:
    hold = service.store.hold("members", after=True)
    reads = asyncio.create_task(service.rooms.read(ROOM))
    await hold.reached.wait()
    service.rooms.heard(ROOM, service.store.remove(ROOM, "bob").members_version)
    hold.let_go()
    members = await reads
    assert members is not None
    assert members.users == {"ann"}
    assert service.store.calls["members"] == 2


async def test_of_two_reads_the_older_answer_never_takes_the_newers_place(service: Service) -> None:
    hold = service.store.hold("members", after=True)
    slow = asyncio.create_task(service.rooms.read(ROOM))
    await hold.reached.wait()
    service.rooms.heard(ROOM, service.store.remove(ROOM, "bob").members_version)
    await service.rooms.read(ROOM)
    hold.let_go()
    members = await slow
    known = service.rooms.known(ROOM)
    assert members is not None
    assert known is not None
    assert members.users == known.users == {"ann"}


async def test_members_that_stay_older_than_what_was_heard_of_are_no_answer(service: Service) -> None:
    service.rooms.heard(ROOM, 7)
    with pytest.raises(StoreUnavailable):
        await service.rooms.read(ROOM)
    assert service.store.calls["members"] == 3
    assert service.rooms.known(ROOM) is None


async def test_an_unknown_room_is_not_remembered(service: Service) -> None:
    await service.rooms.read(ROOM)
    del service.store.rooms[ROOM]
    assert await service.rooms.read(ROOM) is None
    assert service.rooms.known(ROOM) is None


async def test_what_is_remembered_is_bounded() -> None:
    service = Service(limit=10)
    for number in range(50):
        service.rooms.heard(f"other {number}", 2)
        await service.rooms.read(service.store.make_room(f"room {number}"))
    assert len(service.rooms._known) == len(service.rooms._heard) == 10
    assert service.rooms.known("room 49") is not None
    assert service.rooms.known("room 39") is None


async def test_a_deleted_room_is_announced_once_it_is_stored_and_known_no_more(service: Service) -> None:
    await service.rooms.read(ROOM)
    await service.rooms.delete(ROOM, "ann")
    assert service.announced == [RoomChanged(ROOM, 2, deleted=True, epoch="e1")]
    assert service.rooms.known(ROOM) is None
    members = await service.rooms.read(ROOM)
    assert members is not None
    assert members.deleted


async def test_only_a_member_deletes_a_room_and_only_once(service: Service) -> None:
    assert await service.cause_of_deleting("eve") is Cause.NO_SUCH_ROOM
    await service.rooms.delete(ROOM, "ann")
    assert await service.cause_of_deleting("ann") is Cause.NO_SUCH_ROOM
    assert len(service.announced) == 1


async def test_of_two_who_delete_at_once_one_is_told_that_the_room_is_gone(service: Service) -> None:
    hold = service.store.hold("delete_room")
    first = asyncio.create_task(service.cause_of_deleting("ann"))
    await hold.reached.wait()
    await service.rooms.delete(ROOM, "bob")
    hold.let_go()
    await settle()
    assert await first is Cause.NO_SUCH_ROOM
    assert len(service.announced) == 1


@pytest.mark.parametrize(
    ("buyer", "seller", "product"),
    [
        ("", "bob", "p"),
        ("ann", " ", "p"),
        ("ann", "bob", ""),
        ("ann", "ann", "p"),
        ("a" * (NAME_LIMIT_CHARS + 1), "bob", "p"),
        ("ann", "bob", "p" * (NAME_LIMIT_CHARS + 1)),
    ],
)
async def test_a_room_needs_two_users_and_a_product(service: Service, buyer: str, seller: str, product: str) -> None:
    with pytest.raises(Refusal) as refused:
        await service.rooms.create(buyer=buyer, seller=seller, product_name=product)
    assert refused.value.cause is Cause.BAD_REQUEST


async def test_rooms_are_answered_as_the_store_has_them(service: Service) -> None:
    name = "상" * NAME_LIMIT_CHARS
    sellers, buyers = await service.rooms.create(buyer="cho", seller="dan", product_name=name)
    assert (sellers.user, sellers.other, buyers.user) == ("dan", "cho", "cho")
    assert [row.room.uuid for row in await service.rooms.of_user("cho")] == [sellers.room.uuid]
    assert len(await service.rooms.every_room_user()) == 4
    assert (await service.rooms.room_user(ROOM, "ann")).user == "ann"
    with pytest.raises(Refusal):
        await service.rooms.room_user(ROOM, "cho")


async def test_the_store_looks_for_itself_unless_the_remembered_members_have_the_user(service: Service) -> None:
    assert service.rooms.version_with(ROOM, "ann") == 0
    read = await service.rooms.read(ROOM)
    assert read is not None
    assert service.rooms.version_with(ROOM, "ann") == read.version
    assert service.rooms.version_with(ROOM, "stranger") == 0
