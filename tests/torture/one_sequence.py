"""Many senders in one room on two servers, as fast as they can: every receiver on both must see one and the same sequence.

``python -m tests.torture.one_sequence --messages 100000``: exits 1 if one does not.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import click
import httpx
import orjson
import uvloop

from stompgate.stomp.frames import Frame
from tests.wire_client import WireClient, connected, make_room

from .cluster import Cluster, several_servers
from .record import Record

_IN_FLIGHT = 32
_DEADLINE_S = 600.0
_SENDERS = 8
_USERS = ("buyer", "seller")


@dataclass
class Sequence:
    """What someone saw: how many messages, and a digest of their order. ``broken``: where the numbers were not 1, 2, 3, …"""

    who: str
    count: int = 0
    broken: str = ""

    def __post_init__(self) -> None:
        self._digest = blake2b(digest_size=16)

    def add(self, seq: int, content: str) -> None:
        """The next message."""
        self.count += 1
        if seq != self.count and not self.broken:
            self.broken = f"{seq} came as message {self.count}"
        self._digest.update(f"{seq} {content}\n".encode())

    @property
    def digest(self) -> str:
        """The same for those who saw the same."""
        return self._digest.hexdigest()


async def one_sequence(folder: Path, messages: int) -> tuple[list[Sequence], float]:
    """Send that many messages in all. Returns what each receiver saw, and what each server's history says; and the seconds."""
    async with several_servers(folder, 2, Record(), {"http": {"operators": ["*"]}}) as cluster:
        await asyncio.gather(*(asyncio.to_thread(member.daemon.start) for member in cluster.members))
        room = await make_room(cluster.members[0].url, *_USERS)
        began_s = time.monotonic()
        async with asyncio.timeout(_DEADLINE_S), AsyncExitStack() as stack:
            seats = list(itertools.product(cluster.members, _USERS))
            readers = [
                (Sequence(f"{user} on {member.name}"), await stack.enter_async_context(connected(_ws_url(member.url), user)))
                for member, user in seats
            ]
            for _, client in readers:
                await client.subscribe(f"/sub/chat/room/{room}")
            shares = [messages // _SENDERS + (n < messages % _SENDERS) for n in range(_SENDERS)]
            senders = [
                _send(await stack.enter_async_context(connected(_ws_url(member.url), user)), room, f"{n}", share)
                for n, ((member, user), share) in enumerate(zip(itertools.cycle(seats), shares, strict=False))
            ]
            await asyncio.gather(*senders, *(_read(client, seen, messages) for seen, client in readers))
        took_s = time.monotonic() - began_s
        return [*(seen for seen, _ in readers), *await _histories(cluster, room)], took_s


async def _send(client: WireClient, room: str, name: str, share: int) -> None:
    """Send a share of the messages, so many at a time."""
    headers = {"destination": f"/pub/room/{room}/message"}
    sent = receipted = 0
    while receipted < share:
        batch = min(share - sent, _IN_FLIGHT - (sent - receipted))
        if batch >= _IN_FLIGHT // 2 or 0 < batch == share - sent:
            frames = []
            for _ in range(batch):
                sent += 1
                numbered = {**headers, "receipt": str(sent), "client-message-id": f"{name}.{sent}"}
                frames.append(Frame("SEND", numbered, orjson.dumps({"content": f"{name}.{sent}"})))
            await client.send_frames(*frames)
        receipt = await client.expect("RECEIPT")
        receipted += 1
        assert receipt.headers["receipt-id"] == str(receipted), "receipts come in the order of the SENDs"


async def _read(client: WireClient, seen: Sequence, messages: int) -> None:
    while seen.count < messages:
        body = orjson.loads((await client.expect("MESSAGE")).body)
        seen.add(body["seq"], body["content"])


async def _histories(cluster: Cluster, room: str) -> list[Sequence]:
    found = []
    for member in cluster.members:
        seen = Sequence(f"the history of {member.name}")
        async with httpx.AsyncClient(trust_env=False, timeout=_DEADLINE_S) as http:
            answer = await http.get(f"{member.url}/chat/room/{room}", headers={"X-Auth-User": "buyer"})
        answer.raise_for_status()
        for entry in answer.json():
            seen.add(entry["seq"], entry["content"])
        found.append(seen)
    return found


def _ws_url(url: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/ws-stomp"


@click.command()
@click.option("--messages", default=100_000, show_default=True)
def main(messages: int) -> None:
    """Say what each receiver saw."""
    folder = Path(tempfile.mkdtemp(prefix="stompgate-one-sequence-"))
    folder.chmod(0o711)  # MariaDB may run as a user of its own, who has to get there
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sequences, took_s = runner.run(one_sequence(folder, messages))
    finally:
        shutil.rmtree(folder)
    for seen in sequences:
        click.echo(f"{seen.who}: {seen.count} messages, {seen.digest} {seen.broken}")
    click.echo(f"{messages} messages in {took_s:.1f} s")
    is_one = len({seen.digest for seen in sequences}) == 1 and not any(seen.broken for seen in sequences)
    raise SystemExit(0 if is_one else 1)


if __name__ == "__main__":
    main()
