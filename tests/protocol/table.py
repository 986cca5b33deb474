"""What the table of obligations is made of: promises, each for a row and some versions, and the stage they are tried on."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import ModuleType

from stompgate.model.causes import Cause
from stompgate.stomp.frames import Frame
from stompgate.stomp.versions import Version
from tests.daemon_process import Daemon
from tests.wire_client import Refused, WireClient, named_by, opened, opened_tcp

V1_0, V1_1, V1_2 = Version
TRANSPORTS = ("websocket", "tcp")


@dataclass
class Stage:
    """One daemon, one version and one transport, with destinations of its own. Its clients are closed with ``clients``."""

    daemon: Daemon
    version: Version
    transport: str
    clients: AsyncExitStack
    topic: str = field(default_factory=lambda: f"/topic/{uuid.uuid4()}")

    async def stranger(self) -> WireClient:
        """A client that has sent nothing yet."""
        way = opened(self.daemon.ws_url) if self.transport == "websocket" else opened_tcp(self.daemon.tcp_url)
        client = await self.clients.enter_async_context(way)
        client.version = self.version
        return client

    async def client(self, user: str | None = "user", **headers: str) -> WireClient:
        """A client that is connected, in this stage's version."""
        client = await self.stranger()
        await client.connect(user, self.version.value, **headers)
        return client

    async def listener(self, **headers: str) -> WireClient:
        """A client that is connected and subscribed to the topic, as ``s``."""
        client = await self.client()
        await client.subscribe(self.topic, "s", **headers)
        return client

    async def deliver(self, *bodies: str, **headers: str) -> None:
        """Somebody else sends to the topic."""
        sender = await self.client("sender")
        for body in bodies:
            await sender.send(self.topic, body, **headers)

    async def refused(self, client: WireClient, cause: Cause, receipt_id: str | None = None) -> Refused:
        """The ERROR that comes next, for this cause, and the end that follows it: a close with its code, or of the stream."""
        refused = await client.refused()
        assert refused.code == cause.code, refused.error
        assert refused.receipt_id == receipt_id
        assert refused.close_code == (cause.close_code if self.transport == "websocket" else None)
        return refused

    async def refuses(self, data: str | bytes | Frame, cause: Cause, receipt_id: str | None = None) -> Refused:
        """What a new client gets that sends this once it is connected."""
        client = await self.client()
        if isinstance(data, Frame):
            await client.send_frames(data)
        else:
            await client.write(data)
        return await self.refused(client, cause, receipt_id)


Run = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Promise:
    """What a row promises, or a ``part`` of it, and for which versions."""

    row: str
    part: str
    versions: Sequence[Version]
    run: Run

    @property
    def name(self) -> str:
        """The row, and the part where there is one."""
        return f"{self.row}-{self.part}" if self.part else self.row


def promise(row: str, *versions: Version, part: str = "") -> Callable[[Run], Promise]:
    """Make a function the proof of a row; without versions for all of them."""
    return lambda run: Promise(row, part, versions or tuple(Version), run)


def promises_in(*modules: ModuleType) -> list[Promise]:
    """All that modules hold, in their order."""
    return [value for module in modules for value in vars(module).values() if isinstance(value, Promise)]


def frame(command: str, body: str = "", **headers: str) -> Frame:
    """A frame with header names from Python's: underscores are hyphens."""
    return Frame(command, named_by(headers), body.encode())
