"""Rows C1 to C14: connecting and heart-beats. Their arithmetic is proved in ``tests/gateway/test_heartbeats.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import permutations

from stompgate.model.causes import Cause
from stompgate.stomp.versions import Version

from .table import V1_0, V1_1, V1_2, Stage, frame, promise

LATE_S = 0.25
"""More than two of the intervals that the daemon asks for, and a fifth of the silence that it forgives."""


async def until_a_silent_peer_is_lost(stage: Stage, act: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again, at least until another peer has been closed for its silence."""
    silent = await stage.client(heart_beat="100,0")
    losing = asyncio.create_task(stage.refused(silent, Cause.HEARTBEAT_LOST))
    while not losing.done():
        await act()
    await losing


@promise("C1")
async def stomp_is_connect(stage: Stage) -> None:
    client = await stage.stranger()
    await client.send_frames(frame("STOMP", accept_version=stage.version.value, host="h", sender="user"))
    assert (await client.expect("CONNECTED")).headers["version"] == stage.version.value


@promise("C2", V1_0)
async def without_accept_version_it_is_1_0(stage: Stage) -> None:
    client = await stage.stranger()
    await client.write("CONNECT\nlogin: l\npasscode: p\nsender: user\n\n\0")
    assert (await client.expect("CONNECTED")).headers["version"] == "1.0"
    await client.send_frames(frame("SUBSCRIBE", destination=stage.topic, receipt="r"))
    await client.receipt("r")


@promise("C3")
async def the_highest_common_version_is_chosen_in_whatever_order(stage: Stage) -> None:
    offered = [version.value for version in Version if version.value <= stage.version.value]
    for order in permutations([*offered, "1.9"]):
        client = await stage.stranger()
        await client.send_frames(frame("CONNECT", accept_version=",".join(order), sender="user"))
        assert (await client.expect("CONNECTED")).headers["version"] == stage.version.value


@promise("C4", V1_2)
async def no_common_version_is_refused_with_those_there_are(stage: Stage) -> None:
    for offered in ("2.0", "0.9,1.3", ""):
        client = await stage.stranger()
        await client.write(f"CONNECT\naccept-version:{offered}\nsender:user\n\n\0")
        refused = await stage.refused(client, Cause.NO_COMMON_VERSION)
        assert refused.error.headers["version"] == "1.0,1.1,1.2"


@promise("C5")
async def connected_names_the_version(stage: Stage) -> None:
    client = await stage.stranger()
    assert (await client.connect("user", stage.version.value)).headers["version"] == stage.version.value


@promise("C6")
async def connected_names_session_server_and_heart_beat(stage: Stage) -> None:
    sessions = set()
    for _ in range(2):
        connected = await (await stage.stranger()).connect("user", stage.version.value)
        assert connected.headers["server"].startswith("stompgate/")
        assert connected.headers["heart-beat"] == "100,100"
        sessions.add(connected.headers["session"])
    assert len(sessions) == 2


@promise("C7")
async def a_refused_connect_gets_an_error_and_the_close(stage: Stage) -> None:
    for headers, cause in (
        ({}, Cause.IDENTITY_REQUIRED),
        ({"sender": "user", "heart_beat": "often"}, Cause.BAD_HEADER),
        ({"sender": "x" * 256}, Cause.BAD_HEADER),
    ):
        client = await stage.stranger()
        await client.send_frames(frame("CONNECT", accept_version=stage.version.value, **headers))
        await stage.refused(client, cause)


@promise("C8")
async def host_may_be_anything_or_nothing(stage: Stage) -> None:
    for host in ({}, {"host": ""}, {"host": "/"}, {"host": "elsewhere.example"}):
        client = await stage.stranger()
        await client.send_frames(frame("CONNECT", accept_version=stage.version.value, sender="user", **host))
        await client.expect("CONNECTED")


@promise("C9", V1_1, V1_2)
async def without_the_header_there_are_no_heart_beats(stage: Stage) -> None:
    silent, beating = await stage.client(), await stage.client(heart_beat="0,100")
    await silent.subscribe(stage.topic)
    await until_a_silent_peer_is_lost(stage, beating.heart_beat)
    await beating.send(stage.topic, "x")
    await silent.expect("MESSAGE")
    assert silent.heart_beats == 0


@promise("C10", V1_1, V1_2)
async def each_direction_is_agreed_by_itself(stage: Stage) -> None:
    only_hears = await stage.client(heart_beat="0,1")
    only_beats = await stage.client(heart_beat="1,0")
    slow = await stage.client(heart_beat="0,3600000")
    for _ in range(5):
        await only_hears.heart_beat()
    await stage.refused(only_beats, Cause.HEARTBEAT_LOST)
    assert only_beats.heart_beats == 0
    await only_hears.send(stage.topic, "still here")
    await slow.send(stage.topic, "still here")
    assert slow.heart_beats == 0, "the slower of the pair"


@promise("C11", V1_1, V1_2)
async def something_is_sent_within_every_interval(stage: Stage) -> None:
    client = await stage.client(heart_beat="0,100")
    for _ in range(5):
        await client.heart_beat()
    await client.send(stage.topic, "x")
    await client.heart_beat()


@promise("C12", V1_1, V1_2)
async def lateness_is_tolerated(stage: Stage) -> None:
    client = await stage.client(heart_beat="100,0")

    async def beat_late() -> None:
        await asyncio.sleep(LATE_S)
        await client.write("\n")

    await until_a_silent_peer_is_lost(stage, beat_late)
    await client.send(stage.topic, "still here")


@promise("C13", V1_1, V1_2)
async def any_octet_is_a_sign_of_life(stage: Stage) -> None:
    client = await stage.client(heart_beat="100,0")
    await client.write(f"SEND\ndestination:{stage.topic}\nreceipt:r\n\n")

    async def go_on() -> None:
        await asyncio.sleep(LATE_S)
        await client.write("x")

    await until_a_silent_peer_is_lost(stage, go_on)
    await client.write("\0")
    await client.receipt("r")


@promise("C14")
async def connect_comes_first_and_once(stage: Stage) -> None:
    connect = frame("CONNECT", accept_version=stage.version.value, sender="user")
    for again in (connect, frame("STOMP", accept_version="1.2", sender="other")):
        await stage.refuses(again, Cause.ALREADY_CONNECTED)
    for early in (
        frame("SEND", "x", destination=stage.topic),
        frame("SUBSCRIBE", destination=stage.topic, id="1"),
        frame("ACK", id="1"),
        frame("BEGIN", transaction="t"),
        frame("DISCONNECT"),
    ):
        client = await stage.stranger()
        await client.send_frames(early, connect)
        await stage.refused(client, Cause.NOT_CONNECTED)
