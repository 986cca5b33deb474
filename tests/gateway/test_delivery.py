"""What comes by the relay, and receivers that fell behind."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from stompgate.broker.acknowledgements import AckMode
from stompgate.gateway.following import Following
from stompgate.gateway.peer import Peer
from stompgate.gateway.subscriptions import Subscription
from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination, Kind
from stompgate.model.messages import ChatMessage
from stompgate.model.records import BrokerRecord, ForeignRecord
from stompgate.ports.store import StoreUnavailable
from stompgate.stomp.frames import Frame

from .scene import RecordingLink, Scene

ROOM = Destination("/sub/chat/room/r", Kind.ROOM, "r")


def record(counter: int, origin: str = "other", partition: int = 0) -> BrokerRecord:
    return BrokerRecord(origin, counter, f"id-{counter}", "/topic/x", (("own", "1"),), b"%d" % counter, partition)


def message(seq: int) -> ChatMessage:
    return ChatMessage(f"id-{seq}", "r", seq, "user", "x", 0, "epoch", 1)


async def test_each_message_of_another_server_is_delivered_once() -> None:
    scene = Scene()
    _, link = scene.peer(Frame("SUBSCRIBE", {"destination": "/topic/x", "id": "s"}))
    scene.delivery.receive([record(1), record(2), record(1), record(2), record(3)])
    scene.delivery.receive([record(3), record(9, origin="test")])  # the last one is our own, delivered when it was taken in
    scene.delivery.receive([record(1, partition=1), record(1, origin="third")])
    frames = link.frames()
    assert [frame.body for frame in frames] == [b"1", b"2", b"3", b"1", b"1"]
    assert frames[0].headers["message-id"] == "id-1"
    assert frames[0].headers["own"] == "1"
    assert scene.delivery.repeats == 3


def follow(scene: Scene, peer: Peer) -> Subscription:
    subscription = Subscription(peer, "s", ROOM.name, AckMode.AUTO)
    subscription.following = Following(scene.gate, subscription, ROOM)
    peer.subscriptions.begin(subscription)
    subscription.following.join()
    return subscription


class Catching:
    """A recovery and its feeds: each catch-up waits for its turn, fails if it is to, or gives what the receiver lacks up to
    ``upto``."""

    def __init__(self, scene: Scene) -> None:
        self.turns = 0
        self.upto = 0
        self.go_on = asyncio.Event()
        self.released = 0
        self.failures: list[Exception] = []
        scene.gate.feeds = cast(Any, self)
        scene.gate.recovery = cast(Any, self)

    def acquire(self, room: str) -> object:
        return object()

    def release(self, feed: object) -> None:
        self.released += 1

    async def catch_up(self, feed: object, follower: Following) -> None:
        self.turns += 1
        await self.go_on.wait()
        if self.failures:
            raise self.failures.pop(0)
        while follower.last_seq < self.upto:
            follower.give(message(follower.last_seq + 1))
        follower.join()


def seqs(link: RecordingLink) -> list[int]:
    return [json.loads(frame.body)["seq"] for frame in link.frames()]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_lacks_a_message_catches_up_and_then_goes_on() -> None:
    scene = Scene()
    catching = Catching(scene)
    peer, link = scene.peer()
    follow(scene, peer)
    for seq in (1, 1, 3, 4):
        scene.delivery.deliver(message(seq))
    assert seqs(link) == [1]
    catching.upto = 4
    catching.go_on.set()
    await settle()
    scene.delivery.deliver(message(4))
    scene.delivery.deliver(message(5))
    assert seqs(link) == [2, 3, 4, 5]


def fallen_behind() -> tuple[Scene, Catching, Subscription, RecordingLink]:
    """A subscription that was given the second message without the first."""
    scene = Scene()
    catching = Catching(scene)
    peer, link = scene.peer()
    subscription = follow(scene, peer)
    scene.delivery.deliver(message(2))
    return scene, catching, subscription, link


async def test_who_falls_behind_as_its_catch_up_ends_catches_up_again() -> None:
    scene, catching, subscription, link = fallen_behind()
    await asyncio.sleep(0)
    assert subscription.following is not None
    subscription.following.join()  # as a catch-up does in its last step, before its task has ended
    scene.delivery.deliver(message(4))
    catching.upto = 4
    catching.go_on.set()
    await settle()
    assert catching.turns == 2
    scene.delivery.deliver(message(5))
    assert seqs(link) == [1, 2, 3, 4, 5]


async def test_who_falls_behind_while_the_store_is_away_catches_up_when_it_is_back() -> None:
    scene, catching, _, link = fallen_behind()
    catching.failures = [StoreUnavailable("away"), Refusal(Cause.STORE_UNAVAILABLE)]
    catching.upto = 2
    catching.go_on.set()
    for turns in (1, 2, 3):
        await settle()
        assert catching.turns == turns
        scene.clock.advance(1)
    assert (seqs(link), link.closes) == ([1, 2], [])


async def test_who_may_not_receive_any_more_when_it_has_fallen_behind_loses_that_subscription_alone() -> None:
    _, catching, subscription, link = fallen_behind()
    catching.failures = [Refusal(Cause.NO_SUCH_ROOM)]
    catching.go_on.set()
    await settle()
    assert (link.offered, link.closes) == ([], [])
    assert (len(subscription.peer.subscriptions), catching.released) == (0, 1)


async def test_a_subscription_that_ends_lets_go_of_its_feed_once() -> None:
    scene, catching, subscription, link = fallen_behind()
    await asyncio.sleep(0)
    subscription.peer.subscriptions.end(subscription)
    subscription.peer.subscriptions.end(subscription)
    catching.go_on.set()
    await settle()
    assert catching.released == 1
    assert (seqs(link), len(scene.router)) == ([], 0)


async def test_a_record_of_another_program_goes_to_a_rooms_subscribers() -> None:
    scene = Scene()
    Catching(scene)
    peer, link = scene.peer()
    follow(scene, peer)
    scene.delivery.receive([ForeignRecord("of-the-relay", "r", "someone", "글", None)])
    (frame,) = link.frames()
    assert frame.headers["destination"] == ROOM.name
    assert frame.headers["message-id"] == "of-the-relay"
    assert json.loads(frame.body) == {"roomUUID": "r", "sender": "someone", "content": "글", "timestamp": None}
