"""What real clients wish besides the text of STOMP: sizes, cuttings and subprotocols as they use them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.typing import Subprotocol

from stompgate.stomp.frames import Frame
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version
from tests.daemon_process import Daemon, launcher
from tests.wire_client import connected, opened

LARGE_BYTES = 17 * 1024 * 1024
_LIMIT_BYTES = 20 * 1024 * 1024


@pytest.fixture(scope="module")
def wide_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that takes frames of 20 MiB."""
    settings = {
        "stomp": {"frame_limit_bytes": _LIMIT_BYTES},
        "websocket": {"message_limit_bytes": _LIMIT_BYTES},
        "connections": {"outbox_limit_bytes": 2 * _LIMIT_BYTES},
    }
    with launcher(tmp_path_factory.mktemp("wide")) as launch:
        yield launch(settings, "--tcp-port", "0")


def urls(daemon: Daemon) -> dict[str, str]:
    return {"websocket": daemon.ws_url, "tcp": daemon.tcp_url}


def cpu_s(daemon: Daemon) -> float:
    """The time that the process has computed."""
    ticks = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / 100


@pytest.mark.parametrize("counted", [True, False], ids=["content-length", "to its NUL"])
@pytest.mark.parametrize("transport", ["websocket", "tcp"])
async def test_a_body_of_17_mib_goes_through(wide_daemon: Daemon, transport: str, *, counted: bool) -> None:
    url = urls(wide_daemon)[transport]
    body = (b"x" * 1023 + b"\n") * (LARGE_BYTES // 1024)
    head = f"SEND\ndestination:/topic/large\nreceipt:r\n{f'content-length:{len(body)}' if counted else 'a:b'}\n\n"
    async with connected(url) as receiver, connected(url) as sender:
        await receiver.subscribe("/topic/large")
        before_s, before_bytes = cpu_s(wide_daemon), wide_daemon.peak_bytes()
        data = head.encode() + body + b"\0"
        # As clients do that cut frames, and as those that do not.
        pieces = [data[at : at + 65_536] for at in range(0, len(data), 65_536)] if counted else [data]
        received, _ = await asyncio.gather(receiver.expect("MESSAGE"), sender.write(*pieces))
        await sender.receipt("r")
    assert received.body == body
    # Measured: 0.1 s and four bodies. To copy all that is there for each piece that comes would take minutes.
    assert cpu_s(wide_daemon) - before_s < 2
    assert wide_daemon.peak_bytes() - before_bytes < 8 * LARGE_BYTES


@pytest.mark.parametrize("transport", ["websocket", "tcp"])
async def test_frames_may_be_cut_and_joined_in_any_way(shared_tcp_daemon: Daemon, transport: str) -> None:
    topic = f"/topic/{transport}"
    async with connected(urls(shared_tcp_daemon)[transport]) as client:
        await client.subscribe(topic)
        sends = [Frame("SEND", {"destination": topic}, f"{number} é".encode()) for number in range(20)]
        data = b"\n".join(serialize(frame, Version.V1_2) for frame in sends)
        for size in (1, 7, 100, len(data)):
            await client.write(*(data[at : at + size] for at in range(0, len(data), size)))
            assert [frame.body for frame in await client.frames(20)] == [frame.body for frame in sends]


@pytest.fixture(scope="module")
def shared_tcp_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the standard settings and both ports."""
    with launcher(tmp_path_factory.mktemp("shared-tcp")) as launch:
        yield launch(None, "--tcp-port", "0")


@pytest.mark.parametrize(
    "offered", [[], ["v11.stomp"], ["v10.stomp", "v11.stomp", "v12.stomp"], ["v12.stomp", "mqtt"], ["mqtt"]]
)
@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
async def test_what_is_spoken_is_agreed_by_connect_whatever_the_subprotocol(
    shared_tcp_daemon: Daemon, offered: list[str], version: str
) -> None:
    chosen = next((Subprotocol(name) for name in offered if name != "mqtt"), None)
    async with opened(shared_tcp_daemon.ws_url, [Subprotocol(name) for name in offered] or None) as client:
        assert client.socket.subprotocol == chosen
        assert (await client.connect(version=version)).headers["version"] == version


async def test_what_is_published_on_tcp_in_1_0_is_read_on_a_websocket_in_1_2_and_back(shared_tcp_daemon: Daemon) -> None:
    tcp, websocket = shared_tcp_daemon.tcp_url, shared_tcp_daemon.ws_url
    async with connected(tcp, version="1.0") as old, connected(websocket) as new:
        await new.subscribe("/topic/cross")
        await old.subscribe("/topic/cross")
        await old.write("SEND\ndestination:/topic/cross\na:b:c\\n\\\n\nfrom old\0")
        assert (await new.expect("MESSAGE")).headers["a"] == "b:c\\n\\"
        assert (await old.expect("MESSAGE")).headers["a"] == "b:c\\n\\"
        await new.send_frames(Frame("SEND", {"destination": "/topic/cross", "a": "b:c\\d", "e": "f\r\ng"}, b"from new"))
        assert {name: value for name, value in (await new.expect("MESSAGE")).headers.items() if name in "ae"} == {
            "a": "b:c\\d",
            "e": "f\r\ng",
        }
        # 1.0 has no way to say that a header goes on in the next line.
        message = await old.expect("MESSAGE")
        assert (message.headers["a"], message.headers["e"], message.body) == ("b:c\\d", "f  g", b"from new")
