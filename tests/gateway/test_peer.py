"""A peer's bounds and its end, where a process would be too coarse to show them."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from stompgate.broker.acknowledgements import AckMode
from stompgate.broker.destinations import room_destination
from stompgate.gateway.subscriptions import Subscription
from stompgate.model.causes import Cause
from stompgate.model.messages import ChatMessage
from stompgate.model.records import BrokerRecord
from stompgate.ports.store import Rejected
from stompgate.stomp.frames import Frame

from .scene import Scene, come, stored

BAD = Frame("SEND", {"destination": "/nowhere", "receipt": "bad"}, b"x")


def chat(number: int) -> Frame:
    return Frame("SEND", {"destination": "/pub/room/r/message", "receipt": str(number)}, b'{"content":"x"}')


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_reading_stops_past_the_bound_and_goes_on_only_below_it() -> None:
    scene = Scene()
    peer, link = scene.peer(*(chat(number) for number in range(40)))
    come(peer, chat(40))
    assert len(scene.intake.waiting) == 2
    assert not link.reads
    for answered in range(1, 42):
        scene.intake.answer(stored())
        assert link.reads is (peer._parser.buffered_bytes <= 500), answered
    assert link.reads
    assert [frame.headers["receipt-id"] for frame in link.frames()] == [str(number) for number in range(41)]


async def test_an_error_follows_the_receipts_of_earlier_sends_and_stops_later_ones() -> None:
    scene = Scene()
    peer, link = scene.peer(chat(0), BAD, chat(1))
    come(peer, chat(2))
    await settle()
    assert (link.frames(), link.closes) == ([], [])
    scene.intake.answer(stored())
    await settle()
    receipt, error = link.frames()
    assert (receipt.command, error.command, error.headers["receipt-id"]) == ("RECEIPT", "ERROR", "bad")
    assert link.closes == [Cause.BAD_DESTINATION]
    assert not scene.intake.waiting


async def test_a_message_that_was_refused_does_not_hide_that_the_next_was_stored() -> None:
    scene = Scene()
    _, link = scene.peer(chat(0), chat(1))
    scene.intake.answer(Rejected(Cause.STORE_UNAVAILABLE))
    scene.intake.answer(stored())
    await settle()
    assert [(frame.command, frame.headers["receipt-id"]) for frame in link.frames()] == [("RECEIPT", "1"), ("ERROR", "0")]
    assert link.closes == [Cause.STORE_UNAVAILABLE]


async def test_a_message_that_was_not_stored_is_told_with_its_ids_and_without_its_text() -> None:
    scene = Scene()
    peer, _ = scene.peer(Frame("SEND", {"destination": "/pub/room/r/message"}, b'{"content":"a word"}'))
    draft, _ = scene.intake.waiting[0]
    with capture_logs() as lines:
        scene.intake.answer(Rejected(Cause.STORE_UNAVAILABLE, "the disk is full"))
        await settle()
    known = {"room": "r", "message": draft.id, "connection": peer.id, "user": "user"}
    why = {"cause": "store-unavailable", "detail": "the disk is full"}
    assert lines == [{"event": "message not stored", "log_level": "info", **known, **why}]


async def test_a_peer_that_is_gone_leaves_no_timer_and_its_sends_take_effect() -> None:
    scene = Scene()
    peer, link = scene.peer(*(chat(number) for number in range(3)), BAD, heart_beat="1000,1000")
    peer.lost(Cause.PEER_LEFT)
    for _ in range(3):
        scene.intake.answer(stored())
    await settle()
    assert not scene.intake.waiting
    assert (link.frames(), link.closes, scene.ended) == ([], [], [Cause.PEER_LEFT])
    assert len(scene.wheel) == 0
    assert not scene.gate.peers


async def test_a_transaction_that_was_received_whole_takes_effect_though_its_peer_is_gone() -> None:
    scene = Scene()
    _, listening = scene.peer(Frame("SUBSCRIBE", {"destination": "/topic/x", "id": "s"}))
    topic, transaction = {"destination": "/topic/x"}, {"transaction": "t"}
    peer, _ = scene.peer(
        *(chat(number) for number in range(3)),
        Frame("BEGIN", transaction),
        Frame("SEND", {**topic, **transaction}, b"in it"),
        Frame("COMMIT", transaction),
        Frame("SEND", topic, b"behind"),
        Frame("BEGIN", transaction),
        Frame("SEND", {**topic, **transaction}, b"never"),
    )
    peer.lost(Cause.PEER_LEFT)
    for _ in range(3):
        scene.intake.answer(stored())
    await settle()
    assert [frame.body for frame in listening.frames()] == [b"in it", b"behind"]


@pytest.mark.parametrize("is_holding", [True, False])
async def test_nothing_that_a_peer_has_sent_is_kept_once_it_is_gone(*, is_holding: bool) -> None:
    scene = Scene(sends_in_flight=1)
    keeping = Frame("SEND", {"destination": "/topic/x", "transaction": "t"}, b"x" * 90)
    peer, _ = scene.peer(Frame("BEGIN", {"transaction": "t"}), keeping, *[chat(0)] * is_holding)
    peer.receive_bytes(b"SEND\ndestination:/topic/x\n\nunfinished")
    assert (peer._parser.buffered_bytes > 0, len(peer.transactions)) == (True, 1)
    peer.lost(Cause.PEER_LEFT)
    if is_holding:
        scene.intake.answer(stored())
    assert (peer._parser.buffered_bytes, len(peer.transactions)) == (0, 0)


async def test_an_answer_asked_for_by_a_peer_that_is_gone_waits_for_nobody() -> None:
    scene = Scene(sends_in_flight=1)
    _, asked = scene.peer(Frame("SUBSCRIBE", {"destination": "/topic/x", "id": "s"}))
    asking = Frame("SEND", {"destination": "/topic/x", "reply-to": "/temp-queue/mine"}, b"?")
    peer, _ = scene.peer(chat(0), asking)
    peer.lost(Cause.PEER_LEFT)
    scene.intake.answer(stored())
    assert [frame.headers["reply-to"][:13] for frame in asked.frames()] == ["/reply-queue/"]
    assert (len(scene.router), len(peer.subscriptions)) == (1, 0)


async def test_a_disconnect_whose_peer_is_gone_leaves_no_timer() -> None:
    scene = Scene()
    peer, link = scene.peer(chat(0), Frame("DISCONNECT", {"receipt": "bye"}))
    await settle()
    peer.lost(Cause.PEER_LEFT)
    scene.intake.answer(stored())
    await settle()
    assert (link.frames(), len(scene.wheel)) == ([], 0)


async def test_after_disconnect_the_client_has_a_while_to_close() -> None:
    scene = Scene()
    peer, link = scene.peer(Frame("DISCONNECT", {"receipt": "bye"}))
    assert [frame.command for frame in link.frames()] == ["RECEIPT"]
    scene.pass_s(1.5)
    assert link.closes == []
    scene.pass_s(1)
    assert link.closes == [Cause.DISCONNECTED]
    peer.lost(Cause.PEER_LEFT)
    assert scene.ended == [Cause.DISCONNECTED]


async def test_who_sends_no_more_is_closed_after_the_answers_or_the_grace() -> None:
    scene = Scene()
    peer, link = scene.peer()
    assert not peer.ended()
    for answered in (True, False):
        peer, link = scene.peer(*(chat(number) for number in range(3)), heart_beat="1000,1000")
        assert peer.ended()
        scene.pass_s(1)
        if answered:
            for _ in range(3):
                assert link.closes == []
                scene.intake.answer(stored())
                await settle()
            assert [frame.headers["receipt-id"] for frame in link.frames()] == ["0", "1", "2"]
        else:
            scene.pass_s(1.5)
        assert (link.offered, link.closes) == ([], [Cause.PEER_LEFT])
        peer.lost(Cause.PEER_LEFT)


async def test_a_fault_of_ours_costs_one_connection_and_is_not_shown() -> None:
    scene = Scene()
    peer, link = scene.peer()
    peer.fail(ZeroDivisionError("secret"))
    (error,) = link.frames()
    assert (error.headers["code"], link.closes) == ("internal", [Cause.INTERNAL])
    assert b"secret" not in error.body
    peer.fail(ZeroDivisionError())
    peer.close(Cause.SERVER_STOPPING)
    assert link.closes == [Cause.INTERNAL]


# Heart-beats


async def test_a_connection_that_is_written_to_gets_no_heart_beat() -> None:
    scene = Scene()
    _, link = scene.peer(heart_beat="0,1000")
    for _ in range(40):
        link.last_sent_s = scene.clock.monotonic()
        scene.pass_s(0.1)
    assert link.offered == []
    scene.pass_s(1)
    assert link.offered == [b"\n"]


async def test_silence_is_borne_with_for_three_intervals() -> None:
    scene = Scene()
    _, link = scene.peer(heart_beat="1000,0")
    scene.pass_s(2.9)
    assert link.closes == []
    scene.pass_s(0.3)
    assert link.closes == [Cause.HEARTBEAT_LOST]
    assert len(scene.wheel) == 0


async def test_a_server_that_stood_still_blames_nobody() -> None:
    scene = Scene()
    _, link = scene.peer(heart_beat="1000,0")
    scene.clock.advance(60)
    scene.wheel.advance(scene.clock.monotonic())
    assert link.closes == []
    scene.pass_s(3.2)
    assert link.closes == [Cause.HEARTBEAT_LOST]


async def test_while_reading_is_paused_the_silence_is_ours() -> None:
    scene = Scene()
    peer, link = scene.peer(*(chat(number) for number in range(10)), heart_beat="1000,0")
    come(peer, chat(10))
    assert not link.reads
    scene.pass_s(20)
    while scene.intake.waiting:
        scene.intake.answer(stored())
    assert link.reads
    scene.pass_s(2.9)
    assert link.closes == []
    scene.pass_s(3)
    assert link.closes == [Cause.HEARTBEAT_LOST]


# Delivery in slices


async def test_receivers_of_many_encodings_share_a_slice() -> None:
    scene = Scene(slice_receivers=4)
    links = []
    for number in range(12):
        subscribe = Frame("SUBSCRIBE", {"destination": "/topic/x", "id": f"own-{number}"})
        links.append(scene.peer(subscribe)[1])
    for body in (b"1", b"2"):
        scene.delivery.broadcast("/topic/x", "id", (), body)
    assert sum(bool(link.offered) for link in links) == 4
    await asyncio.sleep(0)
    assert sum(bool(link.offered) for link in links) == 8
    await settle()
    assert [[frame.body for frame in link.frames()] for link in links] == [[b"1", b"2"]] * 12


async def test_who_unsubscribes_during_a_fan_out_gets_nothing_more() -> None:
    scene = Scene(slice_receivers=2)
    peers = [scene.peer(Frame("SUBSCRIBE", {"destination": "/topic/x", "id": "s"})) for _ in range(6)]
    scene.delivery.broadcast("/topic/x", "id", (), b"x")
    come(peers[-1][0], Frame("UNSUBSCRIBE", {"id": "s"}))
    await settle()
    assert [len(link.frames()) for _, link in peers] == [1, 1, 1, 1, 1, 0]


async def test_senders_wait_for_a_destination_whose_receivers_are_served_in_slices() -> None:
    scene = Scene(slice_receivers=1)
    for _ in range(2):
        scene.peer(Frame("SUBSCRIBE", {"destination": "/topic/x", "id": "s"}))
    for _ in range(65):
        scene.delivery.broadcast("/topic/x", "id", (), b"x")
    congestion = scene.delivery.congestion_at("/topic/x")
    assert congestion is not None
    assert scene.delivery.congestion_at("/topic/y") is None
    await asyncio.wait_for(congestion, 5)
    assert scene.delivery.congestion_at("/topic/x") is None


async def test_who_waits_to_send_goes_on_although_others_never_let_the_backlog_end() -> None:
    scene = Scene(slice_receivers=1)
    for _ in range(2):
        scene.peer(Frame("SUBSCRIBE", {"destination": "/topic/x", "id": "s"}))
    for counter in range(1, 66):
        scene.delivery.receive([BrokerRecord("elsewhere", counter, f"id-{counter}", "/topic/x", (), b"x")])
    congestion = scene.delivery.congestion_at("/topic/x")
    assert congestion is not None
    waits = asyncio.ensure_future(congestion)
    while not waits.done() and counter < 1000:
        if scene.delivery.backlogged < 10:
            counter += 1
            scene.delivery.receive([BrokerRecord("elsewhere", counter, f"id-{counter}", "/topic/x", (), b"x")])
        await asyncio.sleep(0)
    assert waits.done()


async def test_senders_wait_for_a_room_whose_receivers_are_served_in_slices() -> None:
    scene = Scene(slice_receivers=1)
    name = room_destination("r")
    for _ in range(2):
        peer, _ = scene.peer()
        scene.router.add(Subscription(peer, "s", name, AckMode.AUTO))
    for seq in range(1, 67):
        scene.delivery.deliver(ChatMessage(f"id-{seq}", "r", seq, "user", "x", 0, "epoch", 1))
    congestion = scene.delivery.congestion_at(name)
    assert congestion is not None
    scene.peer(chat(1))
    assert not scene.intake.waiting
    await asyncio.wait_for(congestion, 5)
    await settle()
    assert len(scene.intake.waiting) == 1


async def test_the_relay_waits_while_many_messages_wait_for_their_receivers() -> None:
    scene = Scene(slice_receivers=1)
    for _ in range(2):
        scene.peer(Frame("SUBSCRIBE", {"destination": "/topic/x", "id": "s"}))
    for counter in range(1024):
        scene.delivery.receive([BrokerRecord("elsewhere", counter + 1, f"id-{counter}", "/topic/x", (), b"x")])
    assert scene.delivery.congestion() is None, "one message is on its way, the others wait"
    scene.delivery.receive([BrokerRecord("elsewhere", 1025, "id", "/topic/x", (), b"x")])
    congestion = scene.delivery.congestion()
    assert congestion is not None
    await asyncio.wait_for(congestion, 10)
    assert scene.delivery.congestion() is None
