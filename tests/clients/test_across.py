"""What is published over one transport in one version arrives over the other in another, headers and all that they may hold."""

from __future__ import annotations

import pytest

from tests.daemon_process import Daemon
from tests.wire_client import connected

from .test_libraries import daemon

__all__ = ["daemon"]

HOSTILE = "값: a:b \\ \\n \r\n end"
LITERAL = "값: a:b \\ \\n end"
"""1.0 has no escapes: a colon and a backslash stand for themselves, and a line ends where it ends."""


@pytest.mark.parametrize("destination", ["/topic/across", "/queue/across"])
@pytest.mark.parametrize(
    ("publishes", "sent", "receives", "seen"),
    [
        pytest.param(("tcp", "1.0"), LITERAL, ("ws", "1.2"), LITERAL, id="tcp 1.0 to ws 1.2"),
        pytest.param(("ws", "1.2"), HOSTILE, ("tcp", "1.0"), HOSTILE.replace("\r\n", "  "), id="ws 1.2 to tcp 1.0"),
        pytest.param(("tcp", "1.2"), HOSTILE, ("ws", "1.2"), HOSTILE, id="tcp 1.2 to ws 1.2"),
        pytest.param(("ws", "1.2"), HOSTILE, ("tcp", "1.2"), HOSTILE, id="ws 1.2 to tcp 1.2"),
        pytest.param(("ws", "1.2"), HOSTILE, ("tcp", "1.1"), HOSTILE.replace("\r", " "), id="ws 1.2 to tcp 1.1"),
    ],
)
async def test_headers_arrive_on_the_other_transport(
    daemon: Daemon, destination: str, publishes: tuple[str, str], sent: str, receives: tuple[str, str], seen: str
) -> None:
    urls = {"tcp": daemon.tcp_url, "ws": daemon.ws_url}
    (from_transport, from_version), (to_transport, to_version) = publishes, receives
    async with (
        connected(urls[from_transport], "ann", from_version) as sender,
        connected(urls[to_transport], "bob", to_version) as receiver,
    ):
        await receiver.subscribe(destination)
        await sender.send(destination, "본문\r\n\ta:b\\c", of_mine=sent)
        message = await receiver.expect("MESSAGE")
        assert (message.headers["of-mine"], message.body.decode()) == (seen, "본문\r\n\ta:b\\c")
        assert message.headers["destination"] == destination
