"""An earlier version and this one side by side, on one database, Kafka and Redis: an upgrade server by server, and back."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.daemon_process import Daemon, Sections, wait_until
from tests.services import Services
from tests.services.kept import kept_port
from tests.torture.clients import Receiver, Sender
from tests.torture.ending import history_of
from tests.torture.record import Record, RoomRecord
from tests.wire_client import make_room

from .earlier import earlier_program
from .pair import eventually

MESSAGES_BETWEEN = 20
START_S = 90.0
"""The first makes all tables, which takes its time on a disk that does much else."""


@dataclass
class Server:
    """One server of two, in either version, at one address."""

    port: int
    versions: dict[str, Daemon]
    running: str = ""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def door(self) -> str:
        """Where WebSockets are opened."""
        return f"ws://127.0.0.1:{self.port}/ws-stomp"

    async def become(self, version: str) -> None:
        """Stop it in good order, and start it in that version, on the data of the other."""
        if self.running:
            await asyncio.to_thread(self.versions[self.running].stop)
        self.running = version
        daemon = self.versions[version]
        await asyncio.to_thread(daemon.spawn)
        await asyncio.to_thread(
            wait_until, lambda: daemon.url != "" or not daemon.is_running, f"the {version} version is ready", START_S
        )
        assert daemon.is_running, daemon.wait().errors


@pytest.fixture
def servers(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, services: Services) -> Iterator[list[Server]]:
    programs = {
        "earlier": earlier_program(tmp_path_factory.mktemp("earlier")),
        "this": (sys.executable, "-W", "default::ResourceWarning", "-m", "stompgate"),
    }
    store, shared = services.fresh_store_url(), {"relay": services.fresh_relay_url(), "sessions": services.fresh_sessions_url()}
    found: list[Server] = []
    for n in (1, 2):
        folder = tmp_path / f"server-{n}"
        folder.mkdir()
        settings: Sections = {**shared, "server_id": f"server-{n}", "http": {"operators": ["*"]}}
        options = ("--port", str(kept_port(folder)), "--host", "127.0.0.1", "--store", store)
        versions: dict[str, Daemon] = {}
        for name, program in programs.items():
            (folder / name).mkdir()
            versions[name] = Daemon(folder / name, settings, options, program)
        found.append(Server(kept_port(folder), versions))
    yield found
    for server in found:
        for daemon in server.versions.values():
            daemon.put_down()


async def flows(room: RoomRecord, senders: list[Sender], receivers: list[Receiver]) -> None:
    """Wait until each sender has so many more RECEIPTs, and each receiver what was given to any."""
    wanted = {sender.who: receipts(room, sender) + MESSAGES_BETWEEN for sender in senders}

    async def are_there() -> bool:
        return all(receipts(room, sender) >= wanted[sender.who] for sender in senders)

    await eventually(are_there, "more RECEIPTs on both servers")
    await all_have_all(room, receivers)


async def all_have_all(room: RoomRecord, receivers: list[Receiver]) -> None:
    """Wait until all that is RECEIPTed by now has come to each receiver."""
    receipted = set(room.receipted)

    async def have() -> bool:
        given = {seen.content: seq for seq, seen in room.by_seq.items()}
        return receipted <= given.keys() and all(
            receiver.chain.last_seq >= max(given[content] for content in receipted) for receiver in receivers
        )

    await eventually(have, "what was RECEIPTed has come to everyone")


def receipts(room: RoomRecord, sender: Sender) -> int:
    """How many a sender has."""
    return sum(content.startswith(f"{sender.who}.") for content in room.receipted)


async def test_a_rolling_upgrade_and_the_way_back_lose_and_double_nothing(servers: list[Server], tmp_path: Path) -> None:
    first, second = servers
    for server in servers:
        await server.become("earlier")
    chance, doors = random.Random(1), [server.door for server in servers]
    with closing(Record(tmp_path)) as record:
        room = RoomRecord(await make_room(first.url))
        record.rooms[room.uuid] = room
        # One sender and one receiver on each server, wherever the others are.
        senders = [Sender([door], f"buyer/s{n}", room, record, chance, 0.05) for n, door in enumerate(doors)]
        receivers = [Receiver([door], f"seller/r{n}", room, record, chance) for n, door in enumerate(doors)]
        async with asyncio.TaskGroup() as tasks:
            living = [tasks.create_task(client.go_on(), name=client.who) for client in (*senders, *receivers)]
            await flows(room, senders, receivers)
            for server, version in ((first, "this"), (second, "this"), (first, "earlier")):
                await server.become(version)
                await flows(room, senders, receivers)
            for sender in senders:
                sender.is_sending = False

            async def is_all_answered() -> bool:
                return all(sender.has_all_receipts for sender in senders)

            await eventually(is_all_answered, "every SEND is RECEIPTed")
            await all_have_all(room, receivers)
            for client in living:
                client.cancel()
        told = [await history_of(server.url, room.uuid) for server in servers]
        assert told[0] is not None
        assert told[0] == told[1]
        record.judge(room, told[0])
    assert record.complaints == []
