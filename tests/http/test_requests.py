"""Who asks, from where, and with how much."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from stompgate.http.parts import HttpSettings

from .conftest import BUYER, LEGACY, House, code_of

STANDARD = HttpSettings(operators=(ip_network("127.0.0.0/8"), ip_network("10.1.0.0/16"), ip_network("::1/128")))

FOR_OPERATORS = ("/room/rooms", "/chat/debug/sessions", "/chat/debug/sessions/kim", "/chat/debug/server-status")


@pytest.mark.parametrize("path", FOR_OPERATORS)
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "10.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_a_host_of_the_operators_networks_may_see_everything(house: House, peer: str, path: str) -> None:
    async with house.client(STANDARD, peer) as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", FOR_OPERATORS)
@pytest.mark.parametrize("peer", ["10.2.0.1", "192.168.0.1", "2001:db8::1", "::ffff:10.2.0.1", "not-an-address", ""])
async def test_any_other_host_is_refused(house: House, peer: str, path: str) -> None:
    async with house.client(STANDARD, peer) as client:
        answer = await client.get(path)
        assert (answer.status_code, code_of(answer)) == (403, "operators-only")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "x-forwarded-host", "Via"])
async def test_who_comes_through_a_proxy_of_this_machine_is_no_operator(house: House, header: str) -> None:
    async with house.client(STANDARD, "127.0.0.1") as client:
        assert code_of(await client.get("/room/rooms", headers={header: "127.0.0.1"})) == "operators-only"
    async with house.client(LEGACY, "127.0.0.1") as client:
        assert (await client.get("/room/rooms", headers={header: "127.0.0.1"})).status_code == 200


async def test_a_peer_without_an_address_is_no_operator(house: House) -> None:
    client = house.client(STANDARD)
    client._transport.client = None  # type: ignore[attr-defined] # as over a Unix socket
    async with client:
        assert code_of(await client.get("/room/rooms")) == "operators-only"


async def test_a_user_id_may_be_korean(house: House) -> None:
    await house.make_room(buyer="김철수")
    async with house.client() as client:
        rows = (await client.get("/room/list", headers={b"X-Auth-User": "김철수".encode()})).json()
    assert [row["user"] for row in rows] == ["김철수"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"X-Auth-User", b"")],
        [(b"X-Auth-User", b"   ")],
        [(b"X-Auth-User", b"a" * 256)],
        [(b"X-Auth-User", b"kim\x85lee")],
        [(b"X-Auth-User", "kim\x85lee".encode())],
        [(b"X-Auth-User", b"kim\tlee")],
        [(b"X-Auth-User", b"kim"), (b"X-Auth-User", b"lee")],
    ],
)
async def test_a_user_header_that_names_no_single_user_is_refused(house: House, headers: list[tuple[bytes, bytes]]) -> None:
    async with house.client() as client:
        answer = await client.get("/room/list", headers=headers)
        assert (answer.status_code, code_of(answer)) == (400, "bad-request")
        assert "X-Auth-User" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query", ["user=seller&name=", "user=&name=x", "user=seller&name=a%00b", "user=a%0Ab&name=x", "user=buyer%40x.kr&name=x"]
)
async def test_a_room_with_impossible_names_is_not_made(house: House, query: str) -> None:
    async with house.client() as client:
        assert code_of(await client.post(f"/room/create?{query}", headers=BUYER)) == "bad-request"
        assert (await client.get("/room/rooms")).json() == []


@pytest.mark.parametrize("room", ["x" * 300, "a%00b", "a%0Ab", "create"])
async def test_what_can_be_no_room_is_an_unknown_room(house: House, room: str) -> None:
    async with house.client() as client:
        assert code_of(await client.get(f"/room/{room}", headers=BUYER)) == "no-such-room"
        assert code_of(await client.delete(f"/room/delete/{room}", headers=BUYER)) == "no-such-room"
        assert code_of(await client.get(f"/chat/room/{room}", headers=BUYER)) == "no-such-room"


async def test_a_room_of_others_cannot_be_told_from_none(house: House) -> None:
    room = (await house.make_room()).room.uuid
    async with house.client() as client:
        theirs = await client.get(f"/room/{room}", headers={"X-Auth-User": "stranger"})
        none = await client.get("/room/no-such", headers={"X-Auth-User": "stranger"})
        refused = await client.delete(f"/room/delete/{room}", headers={"X-Auth-User": "stranger"})
        assert theirs.json() == none.json() == refused.json()
        assert (await client.get(f"/room/{room}", headers=BUYER)).status_code == 200


async def test_a_body_larger_than_the_limit_is_refused_whether_or_not_it_says_so(house: House) -> None:
    limit = 2000
    body = b'{"message":"' + b"x" * limit + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    async with house.client(replace(LEGACY, body_limit_bytes=limit)) as client:
        for content in (body, pieces()):
            answer = await client.post("/inquiry/upload", content=content)
            assert (answer.status_code, code_of(answer)) == (413, "body-too-long")
            assert str(limit) in answer.json()["detail"]
    assert await house.store.unmailed(10) == []
