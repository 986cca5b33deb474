"""Every record that was accepted is answered once, in bounds and in order, whatever becomes of its batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stompgate.ports.relay import Answer
from stompgate.relays.kafka_backlog import Backlog, Partition
from stompgate.relays.kafka_records import Lane
from stompgate.relays.kafka_silence import Silence
from tests.fakes import FakeClock
from tests.relays.kafka_scene import Answers

BATCH_RECORDS = 3


def take(backlog: Backlog, partition: Partition) -> list[bytes]:
    taken: list[bytes] = []

    def append(key: bytes, value: bytes) -> bool:
        if len(taken) == BATCH_RECORDS:
            return False
        taken.append(value)
        return True

    backlog.take(partition, append)
    return taken


@given(st.lists(st.sampled_from(["publish", "send", "took", "large", "give up", "spread"]), max_size=60), st.integers(1, 4))
def test_each_record_is_answered_once_and_none_overtakes_another_of_its_key(steps: list[str], partitions: int) -> None:
    backlog = Backlog(FakeClock(), limit_records=12, limit_bytes=10_000, wake=lambda: None)
    backlog.spread(Lane.CHAT, "chat", partitions)
    answers, accepted, ready, out = Answers(), list[int](), list[Partition](), dict[Partition, list[bytes]]()
    kafka: list[int] = []
    for number, step in enumerate(steps):
        match step:
            case "publish":
                key = b"room-%d" % (number % 3)
                if backlog.accept(Lane.CHAT, key, b"%d" % number, answers.to(number)):
                    accepted.append(number)
                else:
                    del answers.of[number]
                    assert backlog.records == 12
            case "send":
                ready = [*backlog.ready()]
                out |= {partition: taken for partition in ready if (taken := take(backlog, partition))}
            case "took" if out:
                partition, values = out.popitem()
                backlog.took(partition)
                kafka += map(int, values)
            case "large" if out:
                partition, values = out.popitem()
                backlog.too_large(partition)
            case "give up":
                backlog.give_up()
                out.clear()
            case "spread" if not out:
                backlog.spread(Lane.CHAT, "chat", 5 - backlog.size(Lane.CHAT))
    backlog.give_up()
    assert sorted(answers.of) == accepted
    assert all(len(of) == 1 for of in answers.of.values())
    assert sorted(kafka) == answers.with_answer(Answer.TAKEN)
    for room in range(3):
        of_room = [number for number in kafka if number % 3 == room]
        assert of_room == sorted(of_room)
    assert (backlog.records, backlog.has_batches, backlog.oldest_s()) == (0, False, None)


def test_it_knows_since_when_the_oldest_record_waits() -> None:
    clock = FakeClock(100.0)
    backlog = Backlog(clock, limit_records=10, limit_bytes=1000, wake=lambda: None)
    backlog.spread(Lane.OWN, "own", 1)
    assert backlog.oldest_s() is None
    backlog.accept(Lane.OWN, b"k", b"1", None)
    clock.advance(5)
    (partition,) = backlog.ready()
    take(backlog, partition)
    backlog.accept(Lane.OWN, b"k", b"2", None)
    assert backlog.oldest_s() == 100.0
    backlog.took(partition)
    assert backlog.oldest_s() == 105.0


def test_bytes_are_bounded_and_come_back() -> None:
    backlog = Backlog(FakeClock(), limit_records=10, limit_bytes=10, wake=lambda: None)
    backlog.spread(Lane.OWN, "own", 1)
    assert backlog.accept(Lane.OWN, b"k", b"12345", None)
    assert not backlog.accept(Lane.OWN, b"k", b"12345", None)
    backlog.give_up()
    assert backlog.accept(Lane.OWN, b"k", b"12345", None)


def test_silence_counts_per_partition_and_forgives_a_pause_of_our_own() -> None:
    from aiokafka import TopicPartition

    one, two = TopicPartition("t", 0), TopicPartition("t", 1)
    silence = Silence(1.0)
    silence.begin([one, two], 100.0)
    silence.look({one: 1, two: 1}, 101.0)
    assert silence.longest_s == 0.0
    silence.look({one: 2, two: 1}, 102.0)
    silence.look({one: 3, two: 1}, 103.0)
    assert silence.longest_s == 2.0
    silence.look({one: 4, two: 1}, 1000.0)
    assert silence.longest_s == 4.0
    silence.look({one: 5, two: 2}, 1001.0)
    assert silence.longest_s == 0.0
    silence.look({one: None, two: None}, 1002.0)
    silence.forgive()
    assert silence.longest_s == 0.0
