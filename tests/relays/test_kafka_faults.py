"""A broker that is killed, paused, or was never there, and a relay that must neither lose, nor hang, nor need a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from stompgate.ports.part import PartDown
from stompgate.ports.relay import Answer
from tests.relays.kafka_scene import (
    DEADLINE_S,
    Answers,
    Recorder,
    all_came_once_in_order,
    broadcast,
    make_relay,
    opened,
    publish_until,
    until,
)
from tests.services import Service


async def test_over_a_kill_and_a_restart_nothing_taken_is_lost_or_reordered(
    kafka: Service, fresh_url: Callable[[], str]
) -> None:
    url, answers, stop = fresh_url(), Answers(), asyncio.Event()
    # The broker is back before the records in flight are given up.
    sender, other = make_relay(url, delivery_timeout_s=20.0, stalled_after_s=20.0), make_relay(url)
    async with opened(sender) as own, opened(other) as others:
        publishing = asyncio.create_task(publish_until(sender, answers, stop))
        await until(lambda: len(others.seqs()) > 50, "records are on their way")
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)
        sent = len(answers.of)
        await until(lambda: len(others.seqs()) > sent + 50, "records come again")
        stop.set()
        await publishing
        await all_came_once_in_order(answers, own, others)


async def test_a_broker_that_stays_away_is_noticed_and_taken_up_again(kafka: Service, fresh_url: Callable[[], str]) -> None:
    url, answers = fresh_url(), Answers()
    sender, other = make_relay(url), make_relay(url)
    async with opened(sender), opened(other) as others:
        await asyncio.to_thread(kafka.kill)
        sender.publish(broadcast(1), answers.to(1))
        await until(lambda: answers.are_complete, "the record in flight is answered")
        assert answers.of == {1: [Answer.UNKNOWN]}
        await until(lambda: not sender.is_up and not other.is_up, "both know that it is away")
        with pytest.raises(PartDown):
            await sender.ping()
        sender.publish(broadcast(2), answers.to(2))
        assert answers.of[2] == []
        await until(lambda: answers.are_complete, within_s=1.0)
        assert answers.of[2] == [Answer.UNKNOWN]
        resets = others.resets
        await asyncio.to_thread(kafka.start)
        await until(lambda: sender.is_up and other.is_up, "both are up again")
        await sender.ping()
        assert others.resets > resets
        sender.publish(broadcast(3), answers.to(3))
        await until(lambda: 3 in others.counters(), "records flow again")
        await until(lambda: answers.of[3] == [Answer.TAKEN], "it is answered")


async def test_a_paused_broker_ends_the_wait_in_time_and_is_taken_up_when_it_goes_on(
    kafka: Service, fresh_url: Callable[[], str]
) -> None:
    url, answers, stop = fresh_url(), Answers(), asyncio.Event()
    sender, other = make_relay(url), make_relay(url)
    async with opened(sender), opened(other) as others:
        publishing = asyncio.create_task(publish_until(sender, answers, stop))
        await until(lambda: len(others.seqs()) > 20, "records are on their way")
        kafka.pause()
        await until(lambda: not sender.is_up and not other.is_up, "both know that it is silent")
        await until(lambda: answers.with_answer(Answer.UNKNOWN) != [], "what was in flight is answered")
        kafka.resume()
        await until(lambda: sender.is_up and other.is_up, "both are up again")
        sent = len(answers.of)
        await until(lambda: any(seq > sent for seq in others.seqs()), "records flow again")
        stop.set()
        await publishing
        await until(lambda: answers.are_complete, "every record is answered")
        taken = set(answers.with_answer(Answer.TAKEN))
        await until(lambda: taken <= set(others.seqs()), "what was taken has come")
        assert all(len(of) == 1 for of in answers.of.values()), "each is answered once"


async def test_it_opens_without_a_broker_and_takes_it_up_when_it_comes(kafka: Service, fresh_url: Callable[[], str]) -> None:
    kafka.kill()
    relay, recorder = make_relay(fresh_url()), Recorder()
    relay.listen(recorder)
    await relay.open()
    try:
        assert not relay.is_up
        with pytest.raises(PartDown, match="Errno 111"):
            await relay.ping()
        await asyncio.to_thread(kafka.start)
        await until(lambda: relay.is_up and recorder.resets == 1, "it is up")
        relay.publish(broadcast(1))
        await until(lambda: recorder.counters() == [1], "records flow")
    finally:
        await relay.close()


@pytest.mark.parametrize("state", ["gone", "paused"])
async def test_it_closes_in_time_whatever_the_broker_does(kafka: Service, fresh_url: Callable[[], str], state: str) -> None:
    answers = Answers()
    patient_s = 2 * DEADLINE_S  # it must not wait for any of these
    relay = make_relay(fresh_url(), delivery_timeout_s=patient_s, stalled_after_s=patient_s)
    relay.listen_for_departures(_nobody)
    async with opened(relay):
        if state == "gone":
            kafka.kill()
        else:
            kafka.pause()
        for number in range(10):
            relay.publish(broadcast(number), answers.to(number))
        await asyncio.sleep(0)
    assert answers.with_answer(Answer.UNKNOWN) == list(range(10))


async def _nobody(user: str) -> None:
    raise AssertionError(f"nobody is to be forgotten, not {user}")


async def test_a_relay_that_is_closed_while_its_reading_ends_leaves_no_consumer_behind(
    kafka: Service, fresh_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = make_relay(fresh_url(), stalled_after_s=1.0)
    async with opened(relay):
        reader = relay._reader
        assert reader is not None
        assert reader._consumer is not None
        consumer, down = reader._consumer, reader._down
        (reading,) = (task for task in asyncio.all_tasks() if task.get_name() == "kafka reading")

        def closed_just_then(reason: str) -> None:
            down(reason)
            asyncio.get_running_loop().call_soon(reading.cancel)

        monkeypatch.setattr(reader, "_down", closed_just_then)
        kafka.pause()
        await until(reading.done, "the reading has ended")
    assert consumer._closed
