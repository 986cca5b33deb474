"""What every relay promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from stompgate.model.records import BrokerRecord, Record
from stompgate.ports.relay import Acknowledge, Answer, Relay

DEADLINE_S = 30.0


class Recorder:
    """A listener that keeps what it hears, and can be waited for."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.resets = 0
        self._heard = asyncio.Event()

    def receive(self, records: Sequence[Record]) -> None:
        self.records += records
        self._heard.set()

    def congestion(self) -> None:
        return None

    def relay_reset(self) -> None:
        self.resets += 1
        self._heard.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._heard.clear()
                await self._heard.wait()


def record(counter: int, *, origin: str = "origin", destination: str = "/topic/a") -> BrokerRecord:
    return BrokerRecord(origin, counter, f"id-{counter}", destination, (("a", "b"),), b"\x00body")


@asynccontextmanager
async def opened(relay: Relay) -> AsyncIterator[Recorder]:
    recorder = Recorder()
    relay.listen(recorder)
    await relay.open()
    try:
        yield recorder
    finally:
        await relay.close()


async def test_a_listener_is_told_that_the_relay_was_opened(relay_group: Callable[[], Relay]) -> None:
    relay = relay_group()
    async with opened(relay) as recorder:
        await recorder.wait_until(lambda: recorder.resets == 1)
        assert relay.is_up
        await relay.ping()


async def test_nothing_is_received_before_open_has_returned(relay_group: Callable[[], Relay]) -> None:
    relay, recorder = relay_group(), Recorder()
    relay.listen(recorder)
    await relay.open()
    assert (recorder.records, recorder.resets) == ([], 0)
    await relay.close()


async def test_every_server_receives_a_record_its_sender_included(relay_group: Callable[[], Relay]) -> None:
    sender, other = relay_group(), relay_group()
    async with opened(sender) as own, opened(other) as others:
        sender.publish(record(1))
        other.publish(record(2))
        await own.wait_until(lambda: len(own.records) == 2)
        await others.wait_until(lambda: len(others.records) == 2)
        assert set(own.records) == set(others.records) == {record(1), record(2)}


async def test_records_of_a_server_with_one_key_arrive_in_their_order(relay_group: Callable[[], Relay]) -> None:
    sender, other = relay_group(), relay_group()
    async with opened(sender), opened(other) as recorder:
        for counter in range(500):
            sender.publish(record(counter))
            if counter % 50 == 0:
                await asyncio.sleep(0)
        await recorder.wait_until(lambda: len(recorder.records) >= 500)
        assert recorder.records == [record(counter) for counter in range(500)]


async def test_publishing_neither_receives_nor_acknowledges_before_it_returns(relay_group: Callable[[], Relay]) -> None:
    relay = relay_group()
    async with opened(relay) as recorder:
        answers: list[Answer] = []
        relay.publish(record(1), answers.append)
        assert (recorder.records, answers) == ([], [])
        await recorder.wait_until(lambda: bool(recorder.records))


async def test_a_record_is_acknowledged_once(relay_group: Callable[[], Relay]) -> None:
    relay = relay_group()
    async with opened(relay):
        answers: list[tuple[int, Answer]] = []
        all_in = asyncio.Event()

        def answer_of(counter: int) -> Acknowledge:
            def acknowledge(answer: Answer) -> None:
                answers.append((counter, answer))
                if len(answers) == 100:
                    all_in.set()

            return acknowledge

        for counter in range(100):
            relay.publish(record(counter), answer_of(counter))
        await asyncio.wait_for(all_in.wait(), DEADLINE_S)
    assert answers == [(counter, Answer.TAKEN) for counter in range(100)]


async def test_closing_hands_over_what_was_accepted(relay_group: Callable[[], Relay]) -> None:
    sender, other = relay_group(), relay_group()
    answers: list[Answer] = []
    async with opened(other) as recorder:
        async with opened(sender):
            sender.publish(record(1), answers.append)
        await recorder.wait_until(lambda: recorder.records == [record(1)])
    assert answers == [Answer.TAKEN]


async def test_a_closed_relay_refuses_without_raising(relay_group: Callable[[], Relay]) -> None:
    relay = relay_group()
    async with opened(relay):
        pass
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    relay.publish(record(1))
    relay.publish(record(2), answer.set_result)
    assert not answer.done()
    assert await asyncio.wait_for(answer, DEADLINE_S) is Answer.UNKNOWN
    assert not relay.is_up
