"""Parts are opened in order, closed in reverse whatever happens, and all asked how they are."""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from stompgate.container import Container, PartState
from stompgate.ports.part import Part, PartDown, SetupError


class First(Part, Protocol):
    """A port."""


class Second(Part, Protocol):
    """Another."""


class Third(Part, Protocol):
    """And one more."""


class Recorded:
    """A part that writes down what happens to it, and fails where it is told to."""

    def __init__(self, name: str, happened: list[str], **failures: BaseException | float) -> None:
        happened.append(f"make {name}")
        self._name = name
        self._happened = happened
        self._failures = failures

    async def open(self) -> None:
        await self._happen("open")

    async def close(self) -> None:
        await self._happen("close")

    async def ping(self) -> None:
        await self._happen("ping")

    async def _happen(self, what: str) -> None:
        self._happened.append(f"{what} {self._name}")
        match self._failures.get(what):
            case BaseException() as error:
                raise error
            case float() as seconds:
                await asyncio.sleep(seconds)
            case _:
                pass


def three(happened: list[str], **failures: dict[str, BaseException | float]) -> Container:
    container = Container(ping_deadline_s=0.02, close_deadline_s=0.02)
    container.register(First, lambda: Recorded("1", happened, **failures.get("first", {})))
    container.register(Second, lambda: Recorded("2", happened, **failures.get("second", {})), needed=False)
    container.register(Third, lambda: Recorded("3", happened, **failures.get("third", {})))
    return container


async def test_parts_open_in_order_and_close_in_reverse() -> None:
    happened: list[str] = []
    async with three(happened) as container:
        assert happened == ["make 1", "open 1", "make 2", "open 2", "make 3", "open 3"]
        assert container.get(Second) is container.get(Second)
        happened.clear()
    assert happened == ["close 3", "close 2", "close 1"]
    await container.close()
    assert len(happened) == 3, "what is closed is not closed again"


async def test_a_part_that_does_not_open_closes_those_before_it() -> None:
    happened: list[str] = []
    container = three(happened, third={"open": SetupError("no such folder")})
    with pytest.raises(SetupError, match="no such folder"):
        await container.open()
    assert happened[-3:] == ["open 3", "close 2", "close 1"]
    await container.close()
    assert happened[-1] == "close 1"


async def test_opening_that_is_cancelled_closes_what_was_opened() -> None:
    happened: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await three(happened, second={"open": 60.0}).open()
    assert happened[-2:] == ["open 2", "close 1"]


@pytest.mark.parametrize("failure", [ValueError("stuck"), 60.0])
async def test_a_part_that_does_not_close_keeps_no_other_from_closing(failure: BaseException | float) -> None:
    happened: list[str] = []
    container = three(happened, second={"close": failure})
    await container.open()
    with pytest.raises(TimeoutError if isinstance(failure, float) else ValueError):
        await container.close()
    assert happened[-3:] == ["close 3", "close 2", "close 1"]


async def test_ping_asks_all_at_once_and_says_what_is_wrong() -> None:
    happened: list[str] = []
    failures: dict[str, dict[str, BaseException | float]] = {
        "second": {"ping": PartDown("connection refused")},
        "third": {"ping": 60.0},
    }
    async with three(happened, **failures) as container:
        assert await container.ping() == [
            PartState("first", ok=True, reason="", needed=True),
            PartState("second", ok=False, reason="connection refused", needed=False),
            PartState("third", ok=False, reason="no answer within 0.02 s", needed=True),
        ]


async def test_a_ping_that_breaks_its_contract_tells_no_drivers_text() -> None:
    async with three([], first={"ping": ValueError("password=planted")}) as container:
        assert (await container.ping())[0] == PartState("first", ok=False, reason="ValueError", needed=True)


def test_a_recipe_may_ask_for_other_parts_before_they_are_open() -> None:
    happened: list[str] = []
    container = Container()

    def second() -> Recorded:
        container.get(First)
        return Recorded("2", happened)

    container.register(Second, second)
    container.register(First, lambda: Recorded("1", happened))
    container.get(Second)
    assert happened == ["make 1", "make 2"]


def test_recipes_that_need_each_other_are_named() -> None:
    container = Container()
    container.register(First, lambda: container.get(Second))
    container.register(Second, lambda: container.get(First))
    with pytest.raises(LookupError, match="First needs Second needs First"):
        container.get(First)


def test_a_port_has_one_recipe() -> None:
    container = Container()
    with pytest.raises(LookupError, match="First is not registered"):
        container.get(First)
    container.register(First, lambda: Recorded("1", []))
    with pytest.raises(ValueError, match="First is registered already"):
        container.register(First, lambda: Recorded("1", []))
