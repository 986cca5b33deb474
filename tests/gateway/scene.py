"""Peers without sockets: a gate of real parts, a store that answers when told to, and links that record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from stompgate.access.authoriser import RoomAuthoriser
from stompgate.access.identities import HeaderAuthenticator
from stompgate.broker.router import Router
from stompgate.broker.transactions import TransactionLimits
from stompgate.chat.intake import Intake
from stompgate.chat.wire import Wire
from stompgate.gateway.delivery import Delivery
from stompgate.gateway.gate import Gate, GateSettings
from stompgate.gateway.peer import Peer
from stompgate.gateway.queue_intake import QueueLimits
from stompgate.gateway.queueing import QueueDesk
from stompgate.gateway.subscriptions import Subscription
from stompgate.model.causes import Cause
from stompgate.model.messages import ChatMessage, Draft
from stompgate.model.rooms import Members
from stompgate.ports.store import Outcome, Stored
from stompgate.queues.memory import MemoryQueues
from stompgate.relays.local import LocalRelay
from stompgate.sessions.memory import MemorySessions
from stompgate.stomp.frames import SERVER_COMMANDS, Frame
from stompgate.stomp.heartbeats import HeartBeat
from stompgate.stomp.parser import Limits, Parser
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version
from stompgate.timing.wheel import TimerWheel
from tests.fakes import FakeClock


class PlainFraming:
    """Frames as they are."""

    def wrap(self, frame: bytes, *, is_text: bool) -> bytes:
        return frame


FRAMING = PlainFraming()


class RecordingLink:
    """A link and its outbox in one, which keep what they were told."""

    transport = "test"
    framing = FRAMING
    close_code: int | None = None
    sent_bytes = 0
    is_blocked = False

    def __init__(self, clock: FakeClock) -> None:
        self.last_sent_s = self.last_received_s = clock.monotonic()
        self.messages = 0
        self.offered: list[bytes] = []
        self.closes: list[Cause] = []
        self.reads = True

    @property
    def outbox(self) -> RecordingLink:
        return self

    @property
    def waiting_bytes(self) -> int:
        return sum(map(len, self.offered))

    def offer(self, data: bytes) -> None:
        self.messages += 1
        self.offer_other(data)

    def offer_other(self, data: bytes) -> None:
        self.offered.append(data)

    def drained(self) -> Awaitable[None] | None:
        return None

    def close(self, cause: Cause) -> None:
        self.closes.append(cause)

    def admit(self) -> None:
        pass

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def describe(self) -> str:
        return "test"

    def frames(self) -> list[Frame]:
        """The frames offered since the last call."""
        parser = Parser(commands=SERVER_COMMANDS)
        parser.receive_bytes(b"".join(self.offered))
        self.offered.clear()
        return list(iter(parser.next_frame, None))


class SlowIntake:
    """Drafts that wait until ``answer``."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Draft, Callable[[Outcome], None]]] = []

    def submit(self, draft: Draft, done: Callable[[Outcome], None]) -> None:
        self.waiting.append((draft, done))

    def submit_together(self, drafts: Sequence[Draft], done: Callable[[Sequence[Outcome]], None]) -> None:
        self.waiting.append((drafts[0], lambda outcome: done([outcome] * len(drafts))))

    def answer(self, outcome: Outcome) -> None:
        self.waiting.pop(0)[1](outcome)


class EveryRoom:
    """Every room is user's."""

    def known(self, room: str) -> Members | None:
        return Members(room, frozenset({"user"}), 1, deleted=False, last_seq=0)

    def version_with(self, room: str, user: str) -> int:
        return 1

    async def read(self, room: str) -> Members | None:
        return self.known(room)


class Scene:
    """A gate with narrow bounds; ``peer`` makes peers."""

    def __init__(self, **settings: Any) -> None:
        narrow: dict[str, Any] = {
            "sends_in_flight": 2,
            "unread_bytes": 500,
            "frames_per_turn": 100,
            "slice_receivers": 4,
            "first_frame_s": 60.0,
            "heart_beat_grace_factor": 3.0,
            "heart_beat_grace_floor_s": 0.0,
            "unacknowledged": 10,
            "prefetch": 3,
            **settings,
        }
        self.clock = FakeClock()
        self.wheel = TimerWheel()
        self.intake = SlowIntake()
        self.router: Router[Subscription] = Router()
        self.ended: list[Cause] = []
        rooms = EveryRoom()
        relay = LocalRelay()
        slice_receivers = narrow.pop("slice_receivers")
        self.delivery = Delivery(
            self.router,
            cast(Any, None),
            relay,
            Wire(None),
            origin="test",
            slice_receivers=slice_receivers,
            hinted=lambda queue: self.queues.hint(queue),
        )
        self.queues = QueueDesk(
            MemoryQueues(), relay, self.clock, QueueLimits(messages=10), owner="test", may_claim=lambda: True
        )
        self.gate = Gate(
            settings=GateSettings(
                server_id="test",
                advertised_host="localhost",
                advertised_port=1,
                product="test",
                frame_limits=Limits(),
                stranger_limits=Limits(frame_bytes=8192),
                heart_beat=HeartBeat(1000, 1000),
                names_server=True,
                subscriptions=128,
                transactions=TransactionLimits(open=2, frames=3, size_bytes=100),
                bare_names_are_queues=False,
                content_chars=5000,
                closing_grace_s=2.0,
                **narrow,
            ),
            clock=self.clock,
            wheel=self.wheel,
            loop=asyncio.get_running_loop(),
            authenticator=HeaderAuthenticator(anonymous=True),
            authoriser=RoomAuthoriser(rooms),
            rooms=cast(Any, rooms),
            intake=cast(Intake, self.intake),
            feeds=cast(Any, None),
            recovery=cast(Any, None),
            sessions=MemorySessions("test"),
            router=self.router,
            delivery=self.delivery,
            queues=self.queues,
            closed_log=lambda peer, cause: self.ended.append(cause),
        )

    def peer(self, *frames: Frame, heart_beat: str = "0,0") -> tuple[Peer, RecordingLink]:
        """A CONNECTED peer to which these frames came."""
        link = RecordingLink(self.clock)
        peer = self.gate.attach(link)
        connect = Frame("CONNECT", {"accept-version": "1.2", "sender": "user", "heart-beat": heart_beat})
        come(peer, connect)
        assert [frame.command for frame in link.frames()] == ["CONNECTED"]
        come(peer, *frames)
        return peer, link

    def pass_s(self, seconds: float) -> None:
        """Let time pass, tick by tick."""
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)
            self.wheel.advance(self.clock.monotonic())


def come(peer: Peer, *frames: Frame) -> None:
    """Frames come in together."""
    peer.receive_bytes(b"".join(serialize(frame, Version.V1_2) for frame in frames))


def stored() -> Stored:
    """That a chat message was stored."""
    return Stored(ChatMessage("id", "r", 1, "user", "x", 0, "epoch", 1), repeated=False)
