"""A room's history over REST: whole or in pages, and never a part that looks like the whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from stompgate.http.answers import StreamedAnswer
from stompgate.http.app import build_app
from stompgate.http.parts import HttpSettings
from stompgate.model.messages import ChatMessage
from stompgate.ports.store import StoreUnavailable

from .conftest import BUYER, LEGACY, House, code_of

MEMBERS_ONLY = HttpSettings()


async def answer_of(house: House, path: str) -> tuple[list[Message], Exception | None]:
    """What the application sends for a GET, message by message, and what it raised at the end."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }
    try:
        await build_app(house.parts, LEGACY)(scope, receive, send)
    except Exception as error:
        return sent, error
    return sent, None


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 35])
async def test_the_whole_history_is_one_json_array_in_order(house: House, count: int) -> None:
    room = (await house.make_room()).room.uuid
    await house.write(room, [f"안녕 {number}" for number in range(count)])
    async with house.client() as client:
        answer = await client.get(f"/chat/room/{room}")
    assert answer.headers["content-type"] == "application/json"
    assert [entry["content"] for entry in answer.json()] == [f"안녕 {number}" for number in range(count)]
    assert [entry["seq"] for entry in answer.json()] == list(range(1, count + 1))


async def test_the_whole_history_is_sent_page_by_page(house: House) -> None:
    room = (await house.make_room()).room.uuid
    await house.write(room, [str(number) for number in range(35)])
    sent, error = await answer_of(house, f"/chat/room/{room}")
    assert error is None
    pieces = [message["body"] for message in sent[1:] if message["body"]]
    assert [piece.count(b'"seq"') for piece in pieces] == [10, 10, 10, 5, 0]
    assert len(json.loads(b"".join(pieces))) == 35


async def test_a_history_that_breaks_off_is_never_valid_json(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    room = (await house.make_room()).room.uuid
    await house.write(room, [str(number) for number in range(35)])
    read, calls = house.store.history, 0

    async def breaking(room: str, *, before: int | None = None, after: int | None = None, limit: int) -> Sequence[ChatMessage]:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise StoreUnavailable("gone")
        return await read(room, before=before, after=after, limit=limit)

    monkeypatch.setattr(house.store, "history", breaking)
    sent, error = await answer_of(house, f"/chat/room/{room}")
    assert error is not None
    assert sent[0]["status"] == 200
    assert all(message["more_body"] for message in sent[1:])  # the answer is never ended: the server cuts the connection
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"".join(message["body"] for message in sent[1:]))


async def test_an_error_before_the_first_page_is_a_problem(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    room = (await house.make_room()).room.uuid

    async def gone(*_: object, **__: object) -> Sequence[ChatMessage]:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(house.store, "history", gone)
    async with house.client() as client:
        answer = await client.get(f"/chat/room/{room}")
        assert (answer.status_code, code_of(answer)) == (503, "store-unavailable")


async def test_pages_go_back_to_the_beginning_without_holes(house: House) -> None:
    room = (await house.make_room()).room.uuid
    await house.write(room, [str(number) for number in range(1, 24)])
    seen: list[int] = []
    query = "limit=7"
    async with house.client() as client:
        while page := (await client.get(f"/chat/room/{room}?{query}")).json():
            assert [entry["seq"] for entry in page] == sorted(entry["seq"] for entry in page)
            seen = [entry["seq"] for entry in page] + seen
            query = f"limit=7&before={page[0]['seq']}"
        assert seen == list(range(1, 24))
        assert [entry["seq"] for entry in (await client.get(f"/chat/room/{room}?before=3")).json()] == [1, 2]


async def test_a_history_is_for_members_where_the_settings_say_so(house: House) -> None:
    room = (await house.make_room()).room.uuid
    await house.write(room, ["hi"])
    async with house.client(MEMBERS_ONLY) as client:
        for query in ("", "?limit=5"):
            path = f"/chat/room/{room}{query}"
            assert len((await client.get(path, headers=BUYER)).json()) == 1
            assert code_of(await client.get(path)) == "bad-request"
            assert code_of(await client.get(path, headers={"X-Auth-User": "stranger"})) == "no-such-room"


async def test_a_reader_who_takes_too_long_is_cut_off() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"["
        yield b"]"

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    scope = {"type": "http", "method": "GET", "asgi": {"spec_version": "2.4"}}
    with pytest.raises(ClientDisconnect):
        await StreamedAnswer(pieces(), send_timeout_s=0.01)(scope, receive, send)
