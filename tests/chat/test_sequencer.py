"""The sequencer lets a room's messages through in rising order, each once, none skipped that exists, whatever comes when."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stompgate.chat.sequencer import Sequencer
from stompgate.model.messages import ChatMessage

HELD_LIMIT = 4
FAR = 10_000
"""Numbers from here on are nobody's."""


def message(seq: int) -> ChatMessage:
    return ChatMessage(f"m{seq}", "room", seq, "ann", "hello", 0, "e1", 1)


class AnyInterleaving(RuleBasedStateMachine):
    """The store commits, prunes and is read; the relay offers, repeats, loses and lies; delivery pauses and goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.sequencer = Sequencer(HELD_LIMIT)
        self.committed = 0
        self.pruned = 0
        self.started_at: int | None = None
        self.start_read: int | None = None
        self.heads: int | None = None
        self.is_paused = False
        self.through: list[int] = []

    def take(self, messages: Sequence[ChatMessage]) -> None:
        for taken in messages:
            last = self.through[-1] if self.through else self.started_at
            assert last is not None
            assert taken.seq > last, "nothing twice, nothing back"
            missing = set(range(last + 1, taken.seq)) - set(range(1, self.pruned + 1))
            assert not missing, "nothing that exists is skipped"
            assert taken.seq <= self.committed, "nothing that was made up"
            self.through.append(taken.seq)

    def offer(self, seq: int) -> None:
        through = self.sequencer.offer(message(seq))
        assert not (self.is_paused and through), "nothing passes while it must be found out who may receive"
        self.take(through)

    @rule(lost=st.booleans())
    def commit(self, lost: bool) -> None:
        self.committed += 1
        if not lost:
            self.offer(self.committed)

    @precondition(lambda self: self.committed)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.offer(data.draw(st.integers(1, self.committed)))

    @rule(seq=st.integers(FAR, FAR + 5))
    def lie(self, seq: int) -> None:
        self.offer(seq)

    @rule()
    def compare(self) -> None:
        self.sequencer.hear_of(self.committed)

    @precondition(lambda self: self.started_at is None)
    @rule(now=st.booleans())
    def start(self, now: bool) -> None:
        """The last number is read, and used now or later: what comes between is offered meanwhile."""
        if self.start_read is None:
            self.start_read = self.committed
        if now:
            self.started_at = self.start_read
            self.take(self.sequencer.start(self.start_read))

    @precondition(lambda self: self.heads is None)
    @rule()
    def ask(self) -> None:
        self.sequencer.asking()
        self.heads = self.committed

    @precondition(lambda self: self.heads is not None)
    @rule(limit=st.integers(1, 4))
    def answer(self, limit: int) -> None:
        assert self.heads is not None
        position = self.sequencer.position or 0
        rows = [message(seq) for seq in range(max(position, self.pruned) + 1, self.committed + 1)][:limit]
        self.take(self.sequencer.fill(self.heads, rows, complete=len(rows) < limit))
        self.heads = None

    @rule(keep=st.integers(0, 5))
    def prune(self, keep: int) -> None:
        self.pruned = max(self.pruned, self.committed - keep)

    @rule()
    def pause(self) -> None:
        self.sequencer.pause()
        self.is_paused = True

    @rule()
    def resume(self) -> None:
        self.is_paused = False
        self.take(self.sequencer.resume())

    @rule()
    def come_to_rest(self) -> None:
        """Once all was compared and read, nothing is missing, nothing waits, and no lie is believed."""
        if self.heads is not None:
            self.answer(1)
        if self.started_at is None:
            self.start(True)
        self.resume()
        self.sequencer.hear_of(self.committed)
        for _ in range(self.committed + 2):
            if not self.sequencer.is_behind:
                break
            self.ask()
            self.answer(2)
        assert not self.sequencer.is_behind
        assert self.sequencer.position == self.sequencer.highest == self.committed
        assert self.sequencer.held == 0

    @invariant()
    def holds_a_bounded_number(self) -> None:
        assert self.sequencer.held <= HELD_LIMIT

    def teardown(self) -> None:
        self.come_to_rest()


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def started(position: int = 0) -> Sequencer:
    sequencer = Sequencer(HELD_LIMIT)
    sequencer.start(position)
    return sequencer


def seqs(messages: Sequence[ChatMessage]) -> list[int]:
    return [message.seq for message in messages]


def test_nothing_passes_before_the_start_is_known() -> None:
    sequencer = Sequencer(HELD_LIMIT)
    assert seqs(sequencer.offer(message(6))) == []
    assert seqs(sequencer.fill(9, [message(7)], complete=True)) == []
    assert seqs(sequencer.offer(message(5))) == []
    assert seqs(sequencer.start(5)) == [6]


def test_repeats_are_counted() -> None:
    sequencer = started(5)
    assert seqs(sequencer.offer(message(5))) == []
    assert sequencer.repeats == 1


def test_a_number_heard_of_while_the_store_is_read_is_not_forgotten_with_those_that_were_made_up() -> None:
    sequencer = started()
    sequencer.offer(message(FAR))
    sequencer.asking()
    sequencer.offer(message(2))  # committed after the store looked
    sequencer.fill(0, [], complete=True)
    assert sequencer.highest == 2
    assert sequencer.is_behind
    assert seqs(sequencer.offer(message(1))) == [1, 2]


def test_a_number_told_by_a_comparison_while_the_store_is_read_is_not_forgotten() -> None:
    sequencer = started()
    sequencer.asking()
    sequencer.hear_of(5)
    sequencer.fill(3, [message(1), message(2), message(3)], complete=True)
    assert sequencer.is_behind
    assert sequencer.highest == 5


def test_neither_a_repeat_nor_the_missing_one_pushes_out_what_is_held() -> None:
    sequencer = started()
    for seq in (2, 3, 4, 5, 5):
        sequencer.offer(message(seq))
    assert seqs(sequencer.offer(message(1))) == [1, 2, 3, 4, 5]
