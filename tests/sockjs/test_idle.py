"""A session that nobody receives for costs objects, not tasks; one that waits costs its request's task, and no more."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import connect

from stompgate.transports.outbox import OutboxLimits
from tests.sockjs_server import LARGEST_POWER, WAITING_BYTES
from tests.waiting import until

from .conftest import Serve
from .wire import new_session

SESSIONS = 200
WAITING = 50


async def test_no_task_waits_for_an_idle_session_and_one_for_each_request_that_waits(serve: Serve) -> None:
    served = await serve()
    web, service = served.web, served.server.services["/echo"]
    kept = await web.connect()
    await (await kept.ask("GET", "/echo")).rest()
    paths = [new_session() for _ in range(SESSIONS)]
    before = len(asyncio.all_tasks())
    for path in paths:
        answer = await kept.ask("POST", f"{path}/xhr")
        assert await answer.rest() == "o\n"
    assert len(service.here) == SESSIONS
    await until(lambda: len(asyncio.all_tasks()) <= before, "the requests are over")
    for path in paths[:WAITING]:
        await web.start("POST", f"{path}/xhr")
    assert served.server.mounts["/echo"].receiving == WAITING
    assert len(asyncio.all_tasks()) <= before + WAITING


async def test_sessions_that_are_over_leave_nothing_behind(serve: Serve) -> None:
    served = await serve(disconnect_delay_s=0.1)
    web, mount = served.web, served.server.mounts["/echo"]
    kept = await web.connect()
    for number in range(SESSIONS):
        answer = await kept.ask("POST", f"{new_session('/close' if number % 2 else '/echo')}/xhr")
        assert await answer.rest() == "o\n"
    await until(lambda: mount.figures()[0].value == 0, "no session is left")
    assert served.server.house.gateway.connected == 0
    await until(lambda: len(served.server.wheel) == 0, "no timer is left")


async def test_messages_wait_while_the_handler_takes_none(serve: Serve) -> None:
    served = await serve()
    web = served.web
    path = new_session()
    await web.post(f"{path}/xhr")
    link = served.server.services["/echo"].here[0].link
    link.pause_reading()
    sending = [asyncio.create_task(web.post(f"{path}/xhr_send", f'["{number}"]')) for number in range(8)]
    await until(lambda: served.server.http.connected == len(sending), "they have come")
    for _ in range(2):
        await web.get("/echo")  # what came before this is taken
    assert not any(task.done() for task in sending)
    answer, _ = await web.ask("POST", f"{path}/xhr_send", '["one too many"]')
    assert answer.status == 503
    link.resume_reading()
    await asyncio.gather(*sending)
    said = await web.post(f"{path}/xhr")
    assert sorted(said[2:-2].split(",")) == [f'"{number}"' for number in range(8)]


async def test_amplified_answers_arrive_whole_by_each_way(serve: Serve) -> None:
    served = await serve(cache_bytes=WAITING_BYTES, send_limits=OutboxLimits(WAITING_BYTES))
    web = served.web
    path = new_session("/amplify")
    assert await web.post(f"{path}/xhr") == "o\n"
    for power in (0, 10, LARGEST_POWER):
        await web.post(f"{path}/xhr_send", f'["{power}"]')
        assert await web.post(f"{path}/xhr") == f'a["{"x" * 2**power}"]\n'
        stream = await web.start("POST", f"{path}/xhr_streaming")
        await web.post(f"{path}/xhr_send", f'["{power}"]')
        assert [len(await stream.chunk()) for _ in range(2)] == [2049, 2**power + 6]
        await stream.close()
        path = new_session("/amplify")
        assert await web.post(f"{path}/xhr") == "o\n"
    async with connect(f"{web.ws_url}{path}/websocket", max_size=None) as socket:
        assert await socket.recv() == "o"
        await socket.send(f'["{LARGEST_POWER}"]')
        assert len(await socket.recv()) == 2**LARGEST_POWER + 5
