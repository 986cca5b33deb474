"""What the old service answered over SockJS is answered still, but for the departures that the transcript names."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.daemon_process import Daemon, launcher
from tests.wire_client import make_room

from .test_rows import check_closed, receive
from .wire import Answer, Web

TRANSCRIPT = Path(__file__).parent.parent / "legacy" / "transcript.json"
CASES: list[dict[str, Any]] = json.loads(TRANSCRIPT.read_text(encoding="utf-8"))
HTTP = {case["case"]: case for case in CASES if "request" in case and case["request"]["path"].startswith("/ws-stomp")}
SOCKET = next(case for case in CASES if case["case"] == "sockjs websocket")
OLD_ROOM = "5762603a-3ede-49b3-a8f4-3240d09d6f1f"
COMPARED = ("content-type", "cache-control", "expires", "transfer-encoding")
STREAMS = {"xhr_streaming", "eventsource"}
DEPARTING = {"sockjs greeting", "sockjs iframe", "xhr poll", "jsonp"}


@pytest.fixture(scope="module")
def legacy_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon in the place of the old service."""
    with launcher(tmp_path_factory.mktemp("legacy")) as launch:
        yield launch({"profile": "legacy"})


@pytest.fixture
async def way(legacy_daemon: Daemon) -> AsyncIterator[Web]:
    web = Web(legacy_daemon.url)
    yield web
    await web.close()


async def ask(web: Web, case: dict[str, Any]) -> Answer:
    asked = case["request"]
    headers = {name.replace("-", "_"): value for name, value in asked.get("headers", {}).items()}
    return await web.start(asked["method"], asked["path"], asked["body"], **headers)


def check_head(answer: Answer, old: dict[str, Any]) -> None:
    assert answer.status == old["status"]
    assert {name: answer.headers.get(name) for name in COMPARED} == {name: old["headers"].get(name) for name in COMPARED}


def test_each_case_is_named_by_the_transcript() -> None:
    assert {name for name, case in HTTP.items() if case["expected"].startswith("departure")} == DEPARTING
    assert HTTP.keys() > STREAMS | DEPARTING


async def test_what_requests_are_answered_is_what_it_was(way: Web) -> None:
    for name, case in HTTP.items():
        if name in STREAMS | {"jsonp", "sockjs greeting", "sockjs iframe"}:
            continue
        answer = await ask(way, case)
        body, old_body = await answer.rest(), case["answer"]["body"]
        try:
            check_head(answer, case["answer"])
            if name == "sockjs info":
                assert answer["access-control-allow-origin"] == "http://a.example"
                assert answer["access-control-allow-credentials"] == "true"
                said, old = json.loads(body), json.loads(old_body)
                assert {**said, "entropy": 0} == {**old, "entropy": 0}
            else:
                assert body == old_body.replace("heart-beat:0,0", "heart-beat:10000,10000")
        except AssertionError as error:
            error.add_note(f"case {name!r} answered {body!r}")
            raise


@pytest.mark.parametrize("name", sorted(STREAMS))
async def test_streams_begin_as_they_did(way: Web, name: str) -> None:
    old_head, _, old_body = HTTP[name]["answer_raw"].partition("\r\n\r\n")
    answer = await ask(way, HTTP[name])
    lines = dict(line.lower().split(": ", 1) for line in old_head.split("\r\n")[1:])
    check_head(answer, {"status": 200, "headers": {**lines, "content-type": answer["content-type"]}})
    assert answer["content-type"].lower() == lines["content-type"]
    chunks = [await answer.chunk(), await answer.chunk()]
    raw = "".join(f"{len(chunk.encode()):x}\r\n{chunk}\r\n" for chunk in chunks)
    assert raw.replace("h" * 2048, "<2048 x h>") == old_body


async def test_what_was_not_served_is_served(way: Web) -> None:
    greeting = await ask(way, HTTP["sockjs greeting"])
    assert (greeting.status, await greeting.rest()) == (200, "Welcome to SockJS!\n")
    page = await ask(way, HTTP["sockjs iframe"])
    assert page.status == 200
    assert "bootstrap_iframe" in await page.rest()
    script = await ask(way, HTTP["jsonp"])
    assert (script.status, await script.rest()) == (200, 'cb("o");\r\n')


async def test_a_chat_over_its_websocket_is_as_it_was(legacy_daemon: Daemon) -> None:
    room = await make_room(legacy_daemon.url, "buyer@x.kr", "seller@x.kr")
    hello, connecting, chat, empty, broken = SOCKET["steps"]
    async with connect(legacy_daemon.ws_url.replace("/ws-stomp", SOCKET["path"])) as socket:
        assert await receive(socket) == hello["received"][0][1]
        await socket.send(connecting["sent"])
        assert await receive(socket) == connecting["received"][0][1].replace(":0,0", ":10000,10000")
        await socket.send(chat["sent"].replace(OLD_ROOM, room))
        (message,), (old,) = (json.loads(text[1:]) for text in (await receive(socket), chat["received"][0][1]))
        assert "안녕" in message
        assert message.partition("\n\n")[0].startswith(f"MESSAGE\ndestination:/sub/chat/room/{room}\n")
        assert (
            json.loads(old.rstrip("\0").partition("\n\n")[2]).keys()
            < json.loads(message.rstrip("\0").partition("\n\n")[2]).keys()
        )
        for step in (empty, broken):
            await socket.send(step["sent"])
        assert await receive(socket) == broken["received"][0][1]
        assert await check_closed(socket) == broken["received"][1][1]
