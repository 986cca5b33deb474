"""What a balancer and an operator are told."""

from __future__ import annotations

import pytest

from stompgate.http.parts import PartHealth

from .conftest import House

STORE, RELAY = PartHealth("store", ok=True, needed=True), PartHealth("relay", ok=True)
NO_STORE = PartHealth("store", ok=False, reason="the disk is full", needed=True)
NO_RELAY = PartHealth("relay", ok=False, reason="no broker answers")


@pytest.mark.parametrize(
    ("parts", "status", "word"),
    [
        ([], 200, "ready"),
        ([STORE, RELAY], 200, "ready"),
        ([STORE, NO_RELAY], 200, "degraded"),
        ([NO_STORE, RELAY], 503, "down"),
        ([NO_STORE, NO_RELAY], 503, "down"),
    ],
)
async def test_only_a_part_that_is_needed_takes_the_server_out(
    house: House, parts: list[PartHealth], status: int, word: str
) -> None:
    house.health.known = parts
    async with house.client() as client:
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (status, word)
        assert (await client.head("/health/ready")).status_code == status


async def test_the_part_and_the_reason_are_named(house: House) -> None:
    house.health.known = [STORE, NO_RELAY]
    async with house.client() as client:
        shown = (await client.get("/health/ready")).json()["parts"]
    assert shown == {"store": {"status": "up"}, "relay": {"status": "down", "reason": "no broker answers"}}


async def test_the_process_is_alive_whatever_its_parts_are(house: House) -> None:
    house.health.known = [NO_STORE]
    async with house.client() as client:
        assert (await client.get("/health/live")).json() == {"status": "live"}
        house.health.alive = False
        assert (await client.get("/health/live")).status_code == 503
