"""What is sent to a user, or in reply, finds its way to whichever server that user is on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stompgate.stomp.frames import Frame
from tests.torture.cluster import Cluster
from tests.wire_client import connected

from .pair import all_ready, pair, ws_url


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with pair(tmp_path) as cluster:
        await all_ready(cluster)
        yield cluster


async def test_users_and_replies_are_found_on_every_server(cluster: Cluster) -> None:
    here, there = (ws_url(member) for member in cluster.members)
    questions = f"/topic/{uuid.uuid4()}"
    async with (
        connected(here, "bob") as bob_here,
        connected(there, "bob") as bob_there,
        connected(there, "cid") as cid,
        connected(here, "ann") as ann,
    ):
        for client in (bob_here, bob_there, cid):
            await client.subscribe("/user/queue/news", "news")
        await cid.subscribe(questions, "questions")
        await ann.send("/user/bob/queue/news", "for bob")
        for client in (bob_here, bob_there):
            message = await client.expect("MESSAGE")
            assert (message.headers["destination"], message.body) == ("/user/queue/news", b"for bob")
        await ann.ask(Frame("SEND", {"destination": questions, "reply-to": "/temp-queue/mine"}, b"who is there?"))
        question = await cid.expect("MESSAGE")
        assert question.body == b"who is there?", "and nothing of what is bob's"
        await cid.ask(Frame("SEND", {"destination": question.headers["reply-to"]}, b"me"))
        answer = await ann.expect("MESSAGE")
        assert (answer.headers["subscription"], answer.body) == ("/temp-queue/mine", b"me")
