"""The daemon stood still for a while, as on a machine that swaps or a host that is paused: nobody is punished for that."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from stompgate.model.causes import Cause
from stompgate.stomp.frames import Frame
from tests.daemon_process import Daemon, Launch, wait_until
from tests.wire_client import WireClient, connected, make_room

from .in_process import ServerThread, serving

STALL_S = 2.0
NOTICED_S = STALL_S * 0.8  # what is seen of it at least; a busy machine may add stalls of its own
SILENCE_S = 1.8  # is forgiven: a little less than the stall takes
BEAT_S = 0.2
PEERS = 12
HASTY = {"stomp": {"heart_beat_send_ms": 500, "heart_beat_receive_ms": 200, "heart_beat_grace_floor_s": SILENCE_S}}

STOOD_STILL = "the event loop stood still"


@asynccontextmanager
async def beating(clients: Sequence[WireClient]) -> AsyncIterator[None]:
    """Send heart-beats for clients, each at its own moment of the interval."""

    async def beat(client: WireClient, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while True:
            await client.write("\n")
            await asyncio.sleep(BEAT_S)

    async with asyncio.TaskGroup() as tasks:
        beats = [tasks.create_task(beat(client, BEAT_S * number / len(clients))) for number, client in enumerate(clients)]
        yield
        for task in beats:
            task.cancel()


async def stalled_by_a_signal(daemon: Daemon) -> None:
    daemon.signal(signal.SIGSTOP)
    await asyncio.sleep(STALL_S)
    daemon.signal(signal.SIGCONT)


async def stalled_by_a_call(server: ServerThread) -> None:
    server.block(STALL_S)
    await asyncio.sleep(STALL_S)


async def check_that_nobody_is_hurt(url: str, ws_url: str, stall: Callable[[], Coroutine[None, None, None]]) -> None:
    """Peers with heart-beats stay over a stall; what is sent meanwhile arrives once, in order."""
    room = await make_room(url)
    async with AsyncExitStack() as stack:
        # Of different ages, so that their times are over at different moments of the stall and just behind it.
        peers: list[WireClient] = []
        for _ in range(PEERS):
            peers.append(await stack.enter_async_context(connected(ws_url, "buyer", heart_beat="200,200")))
            await peers[-1].subscribe(f"/sub/chat/room/{room}")
            for peer in peers:
                await peer.write("\n")
            await asyncio.sleep(SILENCE_S / PEERS)
        sender = await stack.enter_async_context(connected(ws_url, "seller", heart_beat="200,0"))
        async with beating([*peers, sender]):
            stalling = asyncio.create_task(stall())
            sent = [f"{number}" for number in range(50)]
            for content in sent:
                headers = {"destination": f"/pub/room/{room}/message", "receipt": content}
                await sender.send_frames(Frame("SEND", headers, json.dumps({"content": content}).encode()))
                await asyncio.sleep(STALL_S / len(sent))
            await stalling
            assert [(await sender.expect("RECEIPT")).headers["receipt-id"] for _ in sent] == sent
            for peer in peers:
                assert [json.loads((await peer.expect("MESSAGE")).body)["content"] for _ in sent] == sent
                await peer.heart_beat()


async def test_nobody_is_hurt_by_a_process_that_was_stopped(launch: Launch) -> None:
    daemon = launch(HASTY)
    await check_that_nobody_is_hurt(daemon.url, daemon.ws_url, lambda: stalled_by_a_signal(daemon))
    assert all(end["cause"] == Cause.PEER_LEFT.code for end in daemon.events("connection closed"))
    longest = max(daemon.events(STOOD_STILL), key=lambda line: line["stalled_s"])
    assert longest["level"] == "warning"
    assert longest["stalled_s"] > NOTICED_S


async def test_nobody_is_hurt_by_an_event_loop_that_was_blocked(tmp_path: Path) -> None:
    """Unlike a process that was stopped, it may come to its timers before it reads."""
    async with serving(tmp_path, HASTY) as server:
        await check_that_nobody_is_hurt(server.url, server.ws_url, lambda: stalled_by_a_call(server))
        assert Cause.HEARTBEAT_LOST not in server.server.gate.closes
        assert server.server.ticker.longest_stall_s > NOTICED_S


async def test_a_peer_that_is_silent_after_a_stall_is_closed_for_that(launch: Launch) -> None:
    daemon = launch(HASTY)
    async with connected(daemon.ws_url, heart_beat="200,0") as silent:
        await stalled_by_a_signal(daemon)
        assert (await silent.refused()).code == Cause.HEARTBEAT_LOST.code
    await asyncio.to_thread(wait_until, lambda: daemon.events(STOOD_STILL) != [], "the stall is logged")
