"""A user whom another program has deleted leaves with all rooms, and none is forgotten on the way."""

from __future__ import annotations

import pytest

from stompgate.chat.departures import Departures
from stompgate.chat.rooms import RoomLimits, Rooms
from stompgate.model.records import RoomChanged
from stompgate.ports.store import StoreUnavailable
from tests.steered_store import SteeredStore


class Service:
    def __init__(self) -> None:
        self.store = SteeredStore()
        self.announced: list[RoomChanged] = []
        self.departures = Departures(Rooms(self.store, self.announced.append, RoomLimits(10)))

    async def make_rooms(self) -> None:
        for room, seller in (("r1", "bob"), ("r2", "cid"), ("r3", "dan")):
            await self.store.create_room(room, buyer="ann" if room != "r3" else "eve", seller=seller, product_name="lamp")


@pytest.fixture
async def service() -> Service:
    service = Service()
    await service.make_rooms()
    return service


async def test_all_rooms_of_a_user_go_and_no_others(service: Service) -> None:
    await service.departures.depart("ann")
    assert [change.room for change in service.announced] == ["r1", "r2"]
    assert {row.room.uuid for row in await service.store.all_room_users()} == {"r3"}


async def test_a_user_without_rooms_is_no_mistake(service: Service) -> None:
    await service.departures.depart("nobody")
    await service.departures.depart("ann")
    await service.departures.depart("ann")
    assert len(service.announced) == 2


async def test_a_store_that_is_away_asks_to_be_told_again(service: Service) -> None:
    service.store.down = True
    with pytest.raises(StoreUnavailable):
        await service.departures.depart("ann")
    service.store.down = False
    await service.departures.depart("ann")
    assert len(service.announced) == 2
