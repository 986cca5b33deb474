"""What goes through Kafka and what must not get through: records of other programs, junk, topics that come, grow and go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from stompgate.chat.wire import Wire
from stompgate.model.records import BrokerRecord, ForeignRecord, Record, RoomChanged
from stompgate.ports.part import Measured, PartDown, SetupError
from stompgate.ports.relay import Answer
from stompgate.relays.kafka import KafkaRelay
from tests.relays.kafka_scene import (
    Answers,
    OtherProgram,
    Recorder,
    broadcast,
    chat,
    figure,
    make_relay,
    opened,
    split,
    until,
)
from tests.services import Services


async def test_a_chat_message_is_on_the_topic_as_other_programs_know_it(services: Services) -> None:
    url = services.fresh_relay_url()
    relay = make_relay(url)
    async with opened(relay) as recorder:
        message = chat(7, room="2f1e-room", content='안녕 "there"')
        relay.publish(message)
        await until(lambda: recorder.records == [message], "it comes back whole")
        ((key, value),) = await OtherProgram(url).read_all("chat")
    assert key == b"2f1e-room"
    assert value is not None
    fields = orjson.loads(value)
    assert list(fields)[:4] == ["roomUUID", "sender", "content", "timestamp"]
    assert fields == {
        "roomUUID": "2f1e-room",
        "sender": "user",
        "content": '안녕 "there"',
        "timestamp": Wire(None).timestamp(1_700_000_000_123_456),
        "id": "id-2f1e-room-7",
        "seq": 7,
        "epoch": "epoch",
        "membersVersion": 1,
        "sentAtUs": 1_700_000_000_123_456,
    }


async def test_every_kind_of_record_comes_as_it_was_published(services: Services) -> None:
    relay = make_relay(services.fresh_relay_url())
    records: list[Record] = [
        chat(1),
        RoomChanged("room", 5, deleted=True, epoch="e"),
        RoomChanged("room", 6, deleted=False, epoch="e"),
    ]
    async with opened(relay) as recorder:
        for record in records:
            relay.publish(record)
        await until(lambda: len(recorder.records) == len(records))
        assert sorted(map(repr, recorder.records)) == sorted(map(repr, records))


async def test_a_broadcast_says_which_partition_it_came_by(services: Services) -> None:
    relay = make_relay(services.fresh_relay_url(), partitions=8)
    async with opened(relay) as recorder:
        for counter in range(64):
            relay.publish(broadcast(counter, destination=f"/topic/{counter % 16}"))
        await until(lambda: len(recorder.counters()) == 64)
        broadcasts = [record for record in recorder.records if isinstance(record, BrokerRecord)]
        partitions = {record.destination: record.partition for record in broadcasts}
        assert len(set(partitions.values())) > 1
        assert all(record.partition == partitions[record.destination] for record in broadcasts)


async def test_what_was_there_before_the_start_is_not_news(services: Services) -> None:
    url = services.fresh_relay_url()
    first = make_relay(url)
    async with opened(first) as recorder:
        first.publish(broadcast(1))
        await until(lambda: recorder.counters() == [1])
    again = make_relay(url)
    async with opened(again) as recorder:
        again.publish(broadcast(2))
        await until(lambda: recorder.counters() == [2])


async def test_records_of_other_programs_are_delivered_and_junk_is_counted(services: Services) -> None:
    url = services.fresh_relay_url()
    other = OtherProgram(url)
    await other.make("chat", partitions=1, configs={"max.message.bytes": "20000000"})
    await other.make("stompgate-v1", partitions=1)
    plain = {"roomUUID": "room", "sender": "old", "content": "hello"}
    ours = orjson.loads(Wire(None).record(chat(1).message))
    junk: Sequence[bytes | None] = [
        b"no JSON",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"7",
        b"[" * 100_000,
        None,
        b"{}",
        orjson.dumps(plain | {"content": 7}),
        orjson.dumps(plain | {"roomUUID": None}),
        orjson.dumps(plain | {"roomUUID": ""}),
        orjson.dumps(plain | {"sender": ["x"]}),
        orjson.dumps(plain | {"epoch": "forged"}),
        orjson.dumps(ours | {"seq": "1"}),
        orjson.dumps(ours | {"seq": True}),
        orjson.dumps(ours | {"seq": 1.5}),
        orjson.dumps(ours | {"membersVersion": None}),
        orjson.dumps(ours | {"sentAtUs": 2**62}),
        orjson.dumps(ours | {"sentAtUs": -1}),
        orjson.dumps(ours | {"id": {}}),
        orjson.dumps(ours | {"epoch": 1}),
        orjson.dumps(plain | {"content": "x" * 10_000_000}),
    ]
    relay = make_relay(url)
    async with opened(relay) as recorder:
        await other.write("chat", *junk)
        await other.write("chat", orjson.dumps(plain), orjson.dumps(plain | {"timestamp": None, "more": 1}), key=None)
        relay.publish(chat(2))
        await until(lambda: recorder.seqs() == [2], "what follows junk comes")
        await relay.ping()
        assert figure(relay, "junk_total") == len(junk)
        foreign = [record for record in recorder.records if isinstance(record, ForeignRecord)]
    name = f"{split(url)[1]}chat"
    at = len(junk)
    assert foreign == [ForeignRecord(f"{name}-0-{at + i}", "room", "old", "hello", None) for i in range(2)]


async def test_other_versions_and_kinds_on_our_own_topic_are_passed_over(services: Services) -> None:
    url = services.fresh_relay_url()
    relay = make_relay(url, partitions=1)
    room = {"v": 1, "kind": "room", "room": "r", "membersVersion": 1, "deleted": False, "epoch": "e"}
    message: dict[str, Any] = {"v": 1, "kind": "message", "origin": "o", "counter": 1, "id": "i", "destination": "/topic/a"}
    strange = [room | {"v": 2}, room | {"kind": "of another time"}, {"v": 3}]
    junk = [
        room | {"v": "1"},
        room | {"deleted": 0},
        {"v": 1, "kind": "queue"},
        room | {"membersVersion": -1},
        message,
        message | {"headers": [["a"]]},
        message | {"headers": [["a", 1]]},
        message | {"headers": [], "counter": "1"},
        message | {"headers": [], "destination": ""},
    ]
    async with opened(relay) as recorder:
        await OtherProgram(url).write("stompgate-v1", *map(orjson.dumps, strange), *map(orjson.dumps, junk), b"", b"\n{}")
        await OtherProgram(url).write("stompgate-v1", orjson.dumps(room | {"of a later version": [1]}))
        await until(lambda: recorder.records == [RoomChanged("r", 1, deleted=False, epoch="e")])
        assert figure(relay, "other_formats_total") == len(strange)
        assert figure(relay, "junk_total") == len(junk) + 2


async def test_a_record_too_large_for_us_is_refused_at_once(services: Services) -> None:
    relay, answers = make_relay(services.fresh_relay_url(), record_limit_bytes=2000), Answers()
    async with opened(relay) as recorder:
        relay.publish(broadcast(1), answers.to(1))
        relay.publish(broadcast(2, body=b"x" * 2000), answers.to(2))
        relay.publish(broadcast(3), answers.to(3))
        assert answers.of[2] == []
        await until(lambda: answers.are_complete)
        await until(lambda: recorder.counters() == [1, 3])
        assert answers.of == {1: [Answer.TAKEN], 2: [Answer.REFUSED], 3: [Answer.TAKEN]}


async def test_a_record_too_large_for_the_broker_is_refused_and_its_neighbours_are_unharmed(services: Services) -> None:
    url = services.fresh_relay_url()
    await OtherProgram(url).make("chat", "stompgate-v1", partitions=2, configs={"max.message.bytes": "3000"})
    relay, answers = make_relay(url), Answers()
    async with opened(relay) as recorder:
        for counter in range(60):
            body = b"x" * (4000 if counter in (7, 8, 30) else 500)
            relay.publish(broadcast(counter, destination=f"/topic/{counter % 3}", body=body), answers.to(counter))
            if counter % 20 == 19:
                await asyncio.sleep(0)
        await until(lambda: answers.are_complete, "all are answered")
        assert answers.with_answer(Answer.REFUSED) == [7, 8, 30]
        assert answers.with_answer(Answer.UNKNOWN) == []
        taken = answers.with_answer(Answer.TAKEN)
        await until(lambda: len(recorder.counters()) == len(taken), "what was taken has come")
        for number in range(3):
            assert recorder.counters(f"/topic/{number}") == [one for one in taken if one % 3 == number]


async def test_what_cannot_be_written_is_refused(services: Services) -> None:
    relay, answers = make_relay(services.fresh_relay_url()), Answers()
    async with opened(relay):
        relay.publish(chat(1, content="\ud800"), answers.to(1))
        relay.publish(ForeignRecord("i", "r", "s", "c", None), answers.to(2))
        await until(lambda: answers.with_answer(Answer.REFUSED) == [1, 2])


async def test_what_is_in_flight_is_bounded(services: Services) -> None:
    relay, answers = make_relay(services.fresh_relay_url(), in_flight_records=10), Answers()
    async with opened(relay) as recorder:
        for counter in range(30):
            relay.publish(broadcast(counter), answers.to(counter))
        await until(lambda: answers.are_complete)
        assert answers.with_answer(Answer.TAKEN) == list(range(10))
        assert answers.with_answer(Answer.UNKNOWN) == list(range(10, 30))
        relay.publish(broadcast(30), answers.to(30))
        await until(lambda: recorder.counters() == [*range(10), 30], "there is room again")


async def test_bytes_in_flight_are_bounded(services: Services) -> None:
    relay, answers = make_relay(services.fresh_relay_url(), in_flight_bytes=65536), Answers()
    async with opened(relay):
        for counter in range(4):
            relay.publish(broadcast(counter, body=b"x" * 30_000), answers.to(counter))
        await until(lambda: answers.are_complete)
        assert answers.with_answer(Answer.TAKEN) == [0, 1]


async def test_reading_waits_for_receivers_but_not_for_ever(services: Services) -> None:
    relay = make_relay(services.fresh_relay_url(), partitions=1, read_limit_records=10, congestion_wait_s=0.5)
    async with opened(relay) as recorder:
        recorder.hold = asyncio.Event()
        for counter in range(50):
            relay.publish(broadcast(counter))
        await until(lambda: len(recorder.sizes) == 1)
        recorder.hold.set()
        await until(lambda: recorder.counters() == list(range(50)))
        assert max(recorder.sizes) <= 10
        recorder.hold = asyncio.Event()  # for good
        for counter in range(50, 75):
            relay.publish(broadcast(counter))
        await until(lambda: recorder.counters() == list(range(75)))


async def test_topics_that_are_missing_and_not_to_be_made_are_named(services: Services) -> None:
    url = services.fresh_relay_url()
    prefix = split(url)[1]
    await OtherProgram(url).make("chat")
    relay = make_relay(url, may_create_topics=False, partitions=5, replicas=3)
    relay.listen(Recorder())
    with pytest.raises(SetupError, match=rf"create {prefix}stompgate-v1 with 5 partitions each and 3 replicas"):
        await relay.open()
    assert await OtherProgram(url).partitions("stompgate-v1") == 0


async def test_a_topic_that_the_broker_will_not_make_is_named(services: Services) -> None:
    relay = make_relay(services.fresh_relay_url(), replicas=3)  # there is one broker
    relay.listen(Recorder())
    with pytest.raises(SetupError, match=r"could not be made .InvalidReplicationFactorError."):
        await relay.open()


async def test_existing_topics_are_taken_as_they_are(services: Services) -> None:
    url = services.fresh_relay_url()
    await OtherProgram(url).make("chat", partitions=2)
    relay = make_relay(url, partitions=4)
    async with opened(relay):
        assert await OtherProgram(url).partitions("chat") == 2
        assert await OtherProgram(url).partitions("stompgate-v1") == 4


async def test_records_in_new_partitions_are_read_from_their_beginning(services: Services) -> None:
    url = services.fresh_relay_url()
    relay, other = make_relay(url, partitions=1), OtherProgram(url)
    async with opened(relay) as recorder:
        await other.grow("chat", 3)
        for partition in (1, 2):
            value = orjson.dumps({"roomUUID": "room", "sender": "old", "content": f"in {partition}"})
            await other.write("chat", value, partition=partition)
        await until(lambda: {r.content for r in recorder.records if isinstance(r, ForeignRecord)} == {"in 1", "in 2"})
        answers = Answers()
        for seq in range(40):
            relay.publish(chat(seq, room=f"room-{seq}"), answers.to(seq))
        await until(lambda: sorted(recorder.seqs()) == list(range(40)), "ours spread over them, or will")
        assert answers.with_answer(Answer.UNKNOWN) == []


async def test_a_topic_that_was_deleted_is_made_again_and_read_from_its_beginning(services: Services) -> None:
    url = services.fresh_relay_url()
    relay, other = make_relay(url, partitions=1), make_relay(url)
    async with opened(relay) as recorder, opened(other) as others:
        relay.publish(chat(1))
        await until(lambda: others.seqs() == [1])
        resets = recorder.resets
        await OtherProgram(url).delete("chat")
        await until(lambda: recorder.resets > resets and relay.is_up and other.is_up, "both have noticed")
        answers = Answers()
        relay.publish(chat(2), answers.to(2))
        await until(lambda: answers.are_complete)
        if answers.of[2] == [Answer.UNKNOWN]:  # its producer may be the last to notice
            await until(lambda: relay.is_up)
            relay.publish(chat(2))
        await until(lambda: 2 in recorder.seqs() and 2 in others.seqs(), "records flow again")


async def test_a_topic_that_was_deleted_and_may_not_be_made_is_named_until_it_is_there(services: Services) -> None:
    url = services.fresh_relay_url()
    program = OtherProgram(url)
    await program.make("chat", "stompgate-v1")
    relay = make_relay(url, may_create_topics=False)
    async with opened(relay) as recorder:
        await program.delete("chat")
        await until(lambda: not relay.is_up, "it has noticed: deletion takes its time")
        answers = Answers()
        relay.publish(chat(1), answers.to(1))
        await until(lambda: answers.of[1] == [Answer.UNKNOWN], "it is answered")

        async def is_named() -> bool:
            try:
                await relay.ping()
            except PartDown as down:
                return f"create {split(url)[1]}chat" in str(down)
            return False

        await until(is_named, "it says what to create")
        await program.make("chat")
        await until(lambda: relay.is_up, "it goes on by itself")
        relay.publish(chat(2))
        await until(lambda: 2 in recorder.seqs())


async def test_a_part_of_a_topic_that_is_gone_is_told_and_the_rest_is_read(services: Services) -> None:
    url = services.fresh_relay_url()
    relay, program = make_relay(url, partitions=1, congestion_wait_s=20.0, read_limit_records=1), OtherProgram(url)
    async with opened(relay) as recorder:
        recorder.hold = asyncio.Event()
        relay.publish(chat(1))
        await until(lambda: recorder.seqs() == [1])
        for seq in range(2, 2000):
            relay.publish(chat(seq, content="x" * 2000))
        await until(lambda: figure(relay, "published_total") == 1999)
        async with program.admin() as admin:
            await admin.delete_records({TopicPartition(f"{split(url)[1]}chat", 0): RecordsToDelete(1990)})
        resets = recorder.resets
        recorder.hold.set()
        await until(lambda: recorder.seqs()[-1] == 1999, "the rest is read")
        assert len(recorder.seqs()) < 1999
        assert recorder.resets > resets


async def test_a_consumer_that_stalls_is_replaced_and_nothing_is_missed(services: Services) -> None:
    url = services.fresh_relay_url()
    relay, sender = make_relay(url, partitions=1), make_relay(url)
    async with opened(relay) as recorder, opened(sender):
        sender.publish(broadcast(1))
        await until(lambda: recorder.counters() == [1])
        (fetching,) = [task for task in asyncio.all_tasks() if _fetches_for(relay, task)]
        fetching.cancel()  # as if it had stopped for a reason of its own; the broker is well
        sender.publish(broadcast(2))  # the last fetch may still bring it
        await until(lambda: recorder.counters() == [1, 2] or not relay.is_up)
        sender.publish(broadcast(3))
        await until(lambda: figure(relay, "rebuilds_total", "reader") == 1, "the stall was noticed")
        await until(lambda: recorder.counters() == [1, 2, 3], "what came meanwhile was not missed")
        assert (recorder.resets, relay.is_up) == (2, True)
        assert sender.is_up


def _fetches_for(relay: KafkaRelay, task: asyncio.Task[Any]) -> bool:
    reader = relay._reader
    assert reader is not None
    assert reader._consumer is not None
    return task is reader._consumer._fetcher._fetch_task


async def test_lag_and_commits_show_how_far_a_server_is(services: Services) -> None:
    url = services.fresh_relay_url()
    relay = make_relay(url, server_id="chat-server-1")
    async with opened(relay) as recorder:
        for counter in range(20):
            relay.publish(broadcast(counter))
        await until(lambda: len(recorder.counters()) == 20)

        async def is_committed() -> bool:
            return await OtherProgram(url).committed("team5-chat-server-1") == 20

        await until(is_committed, "what was read is committed")
        assert figure(relay, "lag_records") == 0
        assert figure(relay, "received_total") == 20
        assert figure(relay, "published_total") == 20
        assert figure(relay, "up") == 1


async def test_its_figures_have_the_same_names_each_time(services: Services) -> None:
    relay = make_relay(services.fresh_relay_url())
    assert isinstance(relay, Measured)
    async with opened(relay):
        names = [(one.name, one.lane) for one in relay.figures()]
        assert len(set(names)) == len(names)
    assert [(one.name, one.lane) for one in relay.figures()] == names
