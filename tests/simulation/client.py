"""A client of the simulation: what it sends, what it reads, and what it may expect of it. Whatever it reads is judged at
once."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import orjson

from stompgate.model.causes import Cause
from stompgate.stomp.frames import SERVER_COMMANDS, Command, Frame
from stompgate.stomp.parser import Parser
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version

from .link import SimulatedLink
from .violations import Violation, demand
from .watching import Watching

if TYPE_CHECKING:
    from .server import SimulatedServer
    from .world import World

_CERTAIN = {Cause.STORE_UNAVAILABLE.code, Cause.NO_SUCH_ROOM.code, Cause.OVERLOADED.code}
"""Refusals of a SEND after which nothing of it may ever be stored."""

_EXPECTED = {*_CERTAIN, Cause.OUTCOME_UNKNOWN.code}


@dataclass(slots=True, eq=False)
class Saying:
    """A message that a client wants to be stored once, however often it is sent."""

    room: str
    content: str
    client_id: str | None
    attempts: int = 0
    refusals: int = 0
    is_receipted: bool = False
    connection: Connection | None = None  # where it was sent last

    @property
    def is_open(self) -> bool:
        """It may be sent again: there is no RECEIPT, and no answer will come any more."""
        return not self.is_receipted and (self.connection is None or self.connection.is_over)


@dataclass(slots=True, eq=False)
class Client:
    """A user at one device. ``positions``: where they were in each room when they left it last."""

    name: str
    user: str
    connection: Connection | None = None
    positions: dict[str, str] = field(default_factory=dict)
    sayings: list[Saying] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)


class Connection:
    """One STOMP connection of a client to a server."""

    def __init__(self, world: World, client: Client, server: SimulatedServer, limit_bytes: int) -> None:
        self.world = world
        self.client = client
        self.server = server
        self.is_reading = True
        self.is_over = False
        self.is_connected = False
        self.is_leaving = False
        self.watchings: dict[str, Watching] = {}
        self._ever_watched: dict[str, Watching] = {}
        self._last_receipt = ""
        self._numbers = count()
        self._expected: dict[str, Saying | Watching | None] = {}
        self._sent: list[Saying] = []
        self._parser = Parser(commands=SERVER_COMMANDS)
        self.link = SimulatedLink(server, limit_bytes)
        self._send(Command.CONNECT, {"accept-version": "1.2", "host": "chat", "sender": client.user, "heart-beat": "0,0"})

    # What it sends

    def subscribe(self, room: str, since: str | None, *, with_receipt: bool, by_hand: bool) -> Watching:
        watching = Watching(self.world, self.client.user, room, since, has_receipt=with_receipt)
        name = f"s{next(self._numbers)}"
        self.watchings[name] = self._ever_watched[name] = watching
        headers = {"id": name, "destination": f"/sub/chat/room/{room}"}
        if since is not None:
            headers["since"] = since
        if by_hand:
            headers["ack"] = "client-individual"
        self._send(Command.SUBSCRIBE, headers, watching if with_receipt else None)
        return watching

    def unsubscribe(self, name: str) -> None:
        self._leave(self.watchings.pop(name))
        self._send(Command.UNSUBSCRIBE, {"id": name}, expect_receipt=True)

    def say(self, saying: Saying, *, with_receipt: bool) -> None:
        saying.attempts += 1
        saying.connection = self
        headers = {"destination": f"/pub/room/{saying.room}/message"}
        if saying.client_id is not None:
            headers["client-message-id"] = saying.client_id
        body = orjson.dumps({"roomUUID": saying.room, "sender": self.client.user, "content": saying.content})
        if with_receipt:
            self._sent.append(saying)
        self._send(Command.SEND, headers, saying if with_receipt else None, body)

    def disconnect(self) -> None:
        self.is_leaving = True
        for watching in self.watchings.values():
            self._leave(watching)
        self.watchings.clear()
        self._last_receipt = "bye"
        self._expected[self._last_receipt] = None
        self._send(Command.DISCONNECT, {"receipt": self._last_receipt})

    def _send(
        self,
        command: str,
        headers: dict[str, str],
        expected: Saying | Watching | None = None,
        body: bytes = b"",
        *,
        expect_receipt: bool = False,
    ) -> None:
        if expected is not None or expect_receipt:
            receipt = f"r{next(self._numbers)}"
            headers["receipt"] = receipt
            self._expected[receipt] = expected
        self.link.receive(serialize(Frame(command, headers, body), Version.V1_2))

    # What it reads

    def read(self, frames: int) -> bool:
        """Read up to so many frames. Returns whether there was anything."""
        data = self.link.outbox.take(frames)
        self._parser.receive_bytes(b"".join(data))
        while (frame := self._parser.next_frame()) is not None:
            self._take(frame)
        return bool(data)

    def _take(self, frame: Frame) -> None:
        match frame.command:
            case Command.CONNECTED:
                self.is_connected = True
            case Command.RECEIPT:
                self._take_receipt(frame)
            case Command.MESSAGE:
                watching = self._ever_watched[frame.headers["subscription"]]
                self.world.figures.delivered += 1
                watching.take(frame)
                if not watching.is_ended:
                    self.client.positions[watching.room] = frame.headers["position"]
            case Command.ERROR:
                self._take_error(frame)
            case command:
                raise Violation(f"a server does not send {command}")

    def _take_receipt(self, frame: Frame) -> None:
        receipt = frame.headers["receipt-id"]
        demand(receipt in self._expected, "each RECEIPT was asked for, and comes once", receipt)
        match self._expected.pop(receipt):
            case Saying() as saying:
                demand(saying in self._sent, "SENDs are answered in their order", saying.content)
                del self._sent[: self._sent.index(saying) + 1]  # those before it were refused: the ERROR follows
                saying.is_receipted = True
                self.world.judge_receipt(self.client, saying)
            case Watching() as watching:
                watching.begun(frame)
                if watching.position is not None and not watching.is_ended:
                    self.client.positions[watching.room] = watching.position
            case None:
                if receipt == self._last_receipt:
                    demand(not self._sent, "the RECEIPT of DISCONNECT follows those of earlier SENDs")

    def _take_error(self, frame: Frame) -> None:
        code, receipt = frame.headers["code"], frame.headers.get("receipt-id", "")
        demand(code in _EXPECTED, "an ERROR has a cause that fits", code, frame.body)
        refused = self._expected.get(receipt)
        if isinstance(refused, Saying):
            refused.refusals += code in _CERTAIN
        if isinstance(refused, Watching):
            refused.refused(code)

    # How it ends

    def over(self) -> None:
        """The connection is gone; what was not read by now never will be."""
        if self.is_over:
            return
        self.is_over = True
        self.client.connection = None
        for watching in self.watchings.values():
            self._leave(watching)
        self.watchings.clear()

    def cut(self) -> None:
        """The network is gone: the server learns of it, the client as well."""
        self.over()
        self.link.end(Cause.PEER_LEFT)

    def _leave(self, watching: Watching) -> None:
        watching.end()
        if watching.position is not None:
            self.client.positions[watching.room] = watching.position
