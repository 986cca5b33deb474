"""SIGTERM sends everyone to the other servers, not all at once, and keeps every word that was given."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
from collections import Counter
from pathlib import Path

import httpx
import pytest

from stompgate.model.causes import Cause
from stompgate.settings import Settings
from stompgate.stomp.frames import Frame
from stompgate.stopping import limit_s
from tests.daemon_process import Daemon, Launch, wait_until
from tests.requirements import left_out
from tests.services import Services
from tests.wire_client import connected, make_room

from .light_client import LightClient, crowd

CONNECTIONS = 5000
SENDERS = 20
MOST_PER_S = 250
DEADLINE_S = 90.0
SHORT = {
    "drain": {"answers_s": 0.5},
    "chat": {"unknown_outcome_s": 1.0},
    "mysql": {"deadline_s": 1.0, "close_deadline_s": 1.0},
    "redis": {"deadline_s": 0.5},
    "kafka": {"flush_timeout_s": 1.0},
}
COME_BACK = Cause.SERVER_STOPPING.close_code


class Talk:
    """What senders were told: each sends the next message when the RECEIPT of the one before the last has come."""

    def __init__(self, room: str) -> None:
        self.sent = 0
        self.receipted: list[str] = []
        self._destination = f"/pub/room/{room}/message"

    def say(self, client: LightClient) -> None:
        self.sent += 1
        body = json.dumps({"content": f"{self.sent}"}).encode()
        client.send(Frame("SEND", {"destination": self._destination, "receipt": f"{self.sent}"}, body))

    def came(self, client: LightClient, frame: Frame) -> None:
        if frame.command == "RECEIPT":
            self.receipted.append(frame.headers["receipt-id"])
            self.say(client)
        else:
            assert frame.command == "CONNECTED", frame


@pytest.fixture
def many_files() -> None:
    """As many open files as the test needs, here and in what it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 500:
        left_out(f"no more than {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CONNECTIONS + 500), hard))


async def stored_in(daemon: Daemon, room: str) -> list[str]:
    """The contents of a room, page by page."""
    contents: list[str] = []
    async with httpx.AsyncClient(base_url=daemon.url, headers={"X-Auth-User": "buyer"}, trust_env=False) as http:
        before: dict[str, str | int] = {}
        while page := (await http.get(f"/chat/room/{room}", params={"limit": 200, **before})).json():
            contents[:0] = [message["content"] for message in page]
            before = {"before": page[0]["seq"]}
    return contents


@pytest.mark.usefixtures("many_files")
async def test_five_thousand_are_sent_away_in_time_evenly_and_with_all_their_receipts(launch: Launch) -> None:
    daemon = launch()
    room = await make_room(daemon.url)
    talk = Talk(room)
    clients = await crowd(daemon.port, CONNECTIONS, "buyer", talk.came)
    for client in clients[:: CONNECTIONS // SENDERS]:
        for _ in range(2):
            talk.say(client)
    async with asyncio.timeout(DEADLINE_S):
        daemon.signal(signal.SIGTERM)
        await asyncio.gather(*(client.ended for client in clients))
        ended = await asyncio.to_thread(daemon.wait, DEADLINE_S)
    assert ended.code == 0
    daemon.check_log()
    assert Counter(client.close_code for client in clients) == {COME_BACK: CONNECTIONS}
    times_s = sorted(client.closed_s for client in clients)
    assert times_s[-1] - times_s[0] >= CONNECTIONS / MOST_PER_S - 1, "what is slow can only make it longer"
    (line,) = daemon.events("stopping")
    assert line["connections"] == CONNECTIONS
    assert {end["cause"] for end in daemon.events("connection closed")} == {Cause.SERVER_STOPPING.code}
    await asyncio.to_thread(daemon.start)
    stored = await stored_in(daemon, room)
    assert len(talk.receipted) > SENDERS
    assert sorted(stored, key=int) == sorted(talk.receipted, key=int), "what is stored was receipted, and nothing else was"


async def test_while_it_drains_it_says_so_and_lets_nobody_in(launch: Launch) -> None:
    daemon = launch({"drain": {"closes_per_s": 1}})
    async with (
        httpx.AsyncClient(base_url=daemon.url, trust_env=False) as kept_alive,
        connected(daemon.ws_url) as one,
        connected(daemon.ws_url) as other,
    ):
        assert (await kept_alive.get("/health/ready")).json()["parts"]["listener"] == {"status": "up"}
        daemon.signal(signal.SIGTERM)
        await asyncio.to_thread(wait_until, lambda: daemon.events("stopping") != [], "it has begun to stop")
        answer = await kept_alive.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "down")
        listener = answer.json()["parts"]["listener"]
        assert listener["status"] == "down"
        assert listener["reason"].startswith("draining since 20")
        assert (await kept_alive.get("/health/live")).status_code == 200
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient(trust_env=False).get(f"{daemon.url}/health/ready")
        assert {await one.close_code(), await other.close_code()} == {COME_BACK}
    await asyncio.to_thread(daemon.wait)
    daemon.check_log()


async def test_with_few_connections_it_does_not_take_the_whole_window(launch: Launch) -> None:
    daemon = launch({"drain": {"window_s": 3000}})
    async with connected(daemon.ws_url) as client:
        stopping = asyncio.create_task(asyncio.to_thread(daemon.stop))
        assert await client.close_code() == COME_BACK
        await stopping


async def test_services_that_hang_do_not_keep_it_from_ending(launch: Launch, services: Services) -> None:
    urls = (services.fresh_store_url(), services.fresh_relay_url(), services.fresh_sessions_url())
    options = [word for pair in zip(("--store", "--relay", "--sessions"), urls, strict=True) for word in pair]
    daemon = launch(SHORT, *options)
    room = await make_room(daemon.url)
    hanging = (services.database, services.kafka, services.redis)
    async with connected(daemon.ws_url, "buyer") as client:
        await client.send(f"/pub/room/{room}/message", '{"content":"stored"}')
        try:
            for service in hanging:
                service.pause()
            headers = {"destination": f"/pub/room/{room}/message", "receipt": "r"}
            await client.send_frames(Frame("SEND", headers, b'{"content":"not known"}'))
            await client.send("/topic/any", "it has taken what came before this")
            daemon.signal(signal.SIGTERM)
            assert await client.close_code() == COME_BACK
            ended = await asyncio.to_thread(daemon.wait, limit_s(Settings()))
        finally:
            for service in hanging:
                service.resume()
    assert ended.code == 0, ended.errors


def test_a_stop_is_over_before_systemd_loses_its_patience() -> None:
    assert limit_s(Settings()) < 90


# Before it serves


def test_sigterm_ends_a_server_that_waits_for_its_database(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        daemon = Daemon(tmp_path, None, ["--store", f"mysql://nobody@127.0.0.1:{nobody.getsockname()[1]}/nothing"])
        stop_while_it_waits(daemon, "waiting for the database")


def test_sigterm_ends_a_server_that_waits_for_its_lease(tmp_path: Path, launch: Launch, services: Services) -> None:
    options = ["--store", services.fresh_store_url()]
    launch(None, *options)
    stop_while_it_waits(Daemon(tmp_path, None, options), "waiting for the lease")


def stop_while_it_waits(daemon: Daemon, event: str) -> None:
    """Without the signal it would give up in time, but not with 0."""
    daemon.expected_log.add(event)
    daemon.spawn()
    try:
        wait_until(lambda: daemon.events(event) != [], event)
        daemon.stop()
    finally:
        daemon.put_down()
