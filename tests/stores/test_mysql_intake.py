"""Senders on two servers are told the truth while the links of both to one database are cut again and again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial

import pytest

from stompgate.chat.intake import Intake, IntakeLimits
from stompgate.model.causes import Cause
from stompgate.ports.store import Outcome, Rejected, Stored
from stompgate.system_clock import SystemClock
from tests.ports.drafts import draft, make_room
from tests.proxy import Proxy, Way
from tests.services import Services

from .mysql_rows import ask, by_way_of, emptied_url, opened, port_of
from .operations import assert_no_gaps_by

DEADLINE_S = 60.0
MESSAGES = 120
ROOMS = ("room-a", "room-b", "room-c")
LIMITS = IntakeLimits(group_rows=7, retry_s=0.01, unknown_for_s=0.05)


class Sender:
    """Sends its messages on one server, each under a client id, again and again until it is told that it is stored."""

    def __init__(self, name: str, intake: Intake) -> None:
        self._name = name
        self._intake = intake
        self.told: dict[str, list[tuple[str, Outcome]]] = {}  # by client id: each attempt's id, and what became of it

    async def send(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(MESSAGES):
                group.create_task(self._send(f"{self._name}-{number}", ROOMS[number % 3]))
                await asyncio.sleep(0.002)

    async def _send(self, client_id: str, room: str) -> None:
        told = self.told[client_id] = []
        while True:
            answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            attempt = draft(room, f"content of {client_id}", client_id=client_id)
            self._intake.submit(attempt, answer.set_result)
            outcome = await answer
            told.append((attempt.id, outcome))
            if isinstance(outcome, Stored):
                return
            assert outcome.cause in (Cause.OUTCOME_UNKNOWN, Cause.STORE_UNAVAILABLE)
            await asyncio.sleep(0.05)

    def assert_truthful(self) -> None:
        """What is stored is the last attempt, or one that was said to be in doubt; never one that was refused for certain."""
        for *others, (last_id, last) in self.told.values():
            in_doubt = {one for one, told in others if isinstance(told, Rejected) and told.cause is Cause.OUTCOME_UNKNOWN}
            assert isinstance(last, Stored)
            assert last.message.id in {last_id} | in_doubt


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_doubled_or_untruly_refused(services: Services, seed: int) -> None:
    url, chance = emptied_url(services), random.Random(seed)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_S), AsyncExitStack() as stack:
        senders, proxies, intakes = [], [], []
        for name in ("one", "two"):
            proxy = await stack.enter_async_context(Proxy("127.0.0.1", port_of(url)))
            store = await stack.enter_async_context(opened(by_way_of(url, proxy.port), name, deadline_s=2))
            intake = Intake(store, SystemClock(loop), lambda _: None, LIMITS)
            senders.append(Sender(name, intake))
            proxies.append(proxy)
            intakes.append(intake)
            if not senders[1:]:
                for room in ROOMS:
                    await make_room(store, room)
        sending = asyncio.gather(*(sender.send() for sender in senders))
        cuts = 0
        while not sending.done():
            proxy = chance.choice(proxies)
            if proxy.has_sprung:
                proxy.cut_at_piece(chance.choice(list(Way)), chance.randint(1, 4))
                cuts += 1
            await asyncio.sleep(0.01)
        await sending
        for proxy, intake in zip(proxies, intakes, strict=True):
            proxy.heal()
            await intake.close()
        assert cuts > 10
        for sender in senders:
            sender.assert_truthful()
        counts = Counter(client_id for (client_id,) in ask(url, "SELECT client_id FROM sg_message"))
        assert counts == dict.fromkeys([client_id for sender in senders for client_id in sender.told], 1)
        numbers = {
            (told.message.room, told.message.seq)
            for sender in senders
            for *_, (_, told) in sender.told.values()
            if isinstance(told, Stored)
        }
        assert len(numbers) == 2 * MESSAGES
        assert_no_gaps_by(partial(ask, url))
