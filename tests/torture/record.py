"""The torture's own record of what was promised and what was seen, and the complaints over it.

It believes no server: what a receiver is given is judged as it comes, against what other receivers of the room were given,
and at the end against the history. All of it is written to a file as well, to be read when something went wrong.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REMOVAL_GRACE_S = 35.0
"""How long messages from before a room's removal may still reach someone after its answer: the comparison, and some room."""

_COMPLAINTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as a receiver was given it."""

    seq: int
    content: str
    position: str


@dataclass(slots=True)
class Sent:
    """A message of one sender. ``life``: the connection that it was first sent on; ``times``: how often it was sent."""

    content: str
    life: int
    first_s: float
    times: int = 1


@dataclass
class RoomRecord:
    """One room: what was RECEIPTed, what must ``never`` be in it, and what anyone was given under each number.

    ``doomed``: its deletion was asked for, ``gone_s``: and answered, at that time.
    """

    uuid: str
    receipted: dict[str, Sent] = field(default_factory=dict)
    never: set[str] = field(default_factory=set)
    by_seq: dict[int, Seen] = field(default_factory=dict)
    doomed: bool = False
    gone_s: float | None = None

    @property
    def last_seen(self) -> int:
        """The highest number that anyone was given."""
        return max(self.by_seq, default=0)


class Record:
    """Everything that happened. ``folder`` is where the file of it goes; without one it is only kept here."""

    def __init__(self, folder: Path | None = None) -> None:
        self.rooms: dict[str, RoomRecord] = {}
        self.transactions: list[list[tuple[RoomRecord, str]]] = []
        self.troubles: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.began_s = time.monotonic()
        self._file = (folder / "record.log").open("w", buffering=65536) if folder is not None else None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def figures(self) -> str:
        """What happened so far, in numbers."""
        counts = {"lost": 0, "doubled": 0, **self.counts}
        troubles = f"{sum(self.troubles.values())} troubles {dict(sorted(self.troubles.items()))}"
        return f"{troubles}; {dict(sorted(counts.items()))}; {len(self.complaints)} complaints"

    def note(self, what: str) -> None:
        """Write a line to the file."""
        if self._file is not None:
            self._file.write(f"{time.monotonic() - self.began_s:9.3f} {what}\n")

    def complain(self, sentence: str) -> None:
        """Something is wrong."""
        self.counts["complaints"] += 1
        self.note(f"WRONG {sentence}")
        if self._file is not None:
            self._file.flush()
        if len(self.complaints) < _COMPLAINTS_SHOWN:
            self.complaints.append(sentence)

    # What clients tell

    def sent(self, sent: Sent) -> None:
        """A SEND went out, for the first time or again."""
        self.counts["resent" if sent.times > 1 else "sent"] += 1

    def receipted(self, room: RoomRecord, sent: Sent) -> None:
        """A RECEIPT came for it."""
        self.counts["receipts"] += 1
        self.note(f"receipt {room.uuid} {sent.content}")
        room.receipted[sent.content] = sent
        if room.gone_s is not None and sent.first_s > room.gone_s:
            self.complain(f"{room.uuid}: {sent.content} was RECEIPTed, and first sent after the room's removal was answered")

    def given(self, room: RoomRecord, who: str, seen: Seen) -> None:
        """A receiver was given a message."""
        self.counts["deliveries"] += 1
        self.note(f"given {room.uuid} {who} {seen.seq} {seen.content}")
        known = room.by_seq.setdefault(seen.seq, seen)
        if known != seen:
            self.complain(f"{room.uuid}: {who} was given {seen} where another was given {known}")
        if room.gone_s is not None and time.monotonic() > room.gone_s + REMOVAL_GRACE_S:
            self.complain(f"{room.uuid}: {who} was given {seen} long after the room's removal was answered")

    def refused(self, room: RoomRecord, who: str, code: str) -> None:
        """An ERROR came."""
        self.counts[f"ERROR {code}"] += 1
        self.note(f"error {room.uuid} {who} {code}")
        if code == "no-such-room" and not room.doomed:
            self.complain(f"{room.uuid}: {who} was told no-such-room of a room that nobody deleted")

    # The end

    def judge(self, room: RoomRecord, history: Sequence[tuple[int, str]]) -> None:
        """Compare a living room with its whole history, as (seq, content)."""
        contents = Counter(content for _, content in history)
        lost = [content for content in room.receipted if content not in contents]
        doubled = [content for content, times in contents.items() if times > 1]
        self.counts["lost"] += len(lost)
        self.counts["doubled"] += len(doubled)
        if lost:
            self.complain(f"{room.uuid}: {len(lost)} lost: RECEIPTed and not in the history: {lost[:5]}")
        if doubled:
            self.complain(f"{room.uuid}: {len(doubled)} doubled: twice in the history: {doubled[:5]}")
        for sentence in [*_of_history(room, history), *_of_order(room, history)]:
            self.complain(f"{room.uuid}: {sentence}")

    def judge_transactions(self, histories: Mapping[str, Sequence[tuple[int, str]] | None]) -> None:
        """Look for each transaction in the histories of its rooms, of which those that are gone say nothing."""
        seqs = {uuid: {content: seq for seq, content in history} for uuid, history in histories.items() if history is not None}
        for transaction in self.transactions:
            found = [(room, seqs[room.uuid].get(content)) for room, content in transaction if room.uuid in seqs]
            stored = [(room, seq) for room, seq in found if seq is not None]
            self.counts["transactions stored"] += len(stored) == len(transaction)
            if 0 < len(stored) < len(found):
                self.complain(f"{len(stored)} of {len(found)} messages of a transaction are stored: {_named(transaction)}")
            elif any(not _is_consecutive([seq for of, seq in stored if of is room]) for room, _ in stored):
                self.complain(f"a transaction is not one sequence in each of its rooms: {_named(transaction)}")


def _is_consecutive(seqs: Sequence[int]) -> bool:
    return list(seqs) == list(range(seqs[0], seqs[0] + len(seqs)))


def _named(transaction: Sequence[tuple[RoomRecord, str]]) -> list[str]:
    return [f"{content} in {room.uuid}" for room, content in transaction]


def _of_history(room: RoomRecord, history: Sequence[tuple[int, str]]) -> list[str]:
    stored = dict(history)
    strange = [seen for seq, seen in room.by_seq.items() if stored.get(seq) != seen.content]
    found = []
    if [seq for seq, _ in history] != list(range(1, len(history) + 1)):
        found.append("the numbers of the history are not 1, 2, 3, …")
    if forbidden := sorted(room.never.intersection(stored.values())):
        found.append(f"{len(forbidden)} of transactions that did not take effect are in the history: {forbidden[:5]}")
    if strange:
        found.append(f"{len(strange)} were delivered and are not so in the history: {strange[:5]}")
    return found


def _of_order(room: RoomRecord, history: Sequence[tuple[int, str]]) -> list[str]:
    """What one connection sent once each, and was RECEIPTed, must be stored in the order in which it was sent."""
    seq_of = {content: seq for seq, content in history}
    lives: dict[tuple[str, int], list[Sent]] = {}
    for sent in room.receipted.values():
        if sent.times == 1 and sent.content in seq_of:
            lives.setdefault((sent.content.rpartition(".")[0], sent.life), []).append(sent)
    found = []
    for (sender, life), all_sent in lives.items():
        in_order = sorted(all_sent, key=lambda sent: sent.first_s)
        seqs = [seq_of[sent.content] for sent in in_order]
        if seqs != sorted(seqs):
            found.append(f"the messages of connection {life} of {sender} are not in the order in which they were sent")
    return found


class Chain:
    """What one receiver was given, over all its connections: each message must be the next one.

    A subscription's life begins with ``begins`` and its RECEIPT, ``begun``. ``position`` is what to come back with.
    """

    def __init__(self, record: Record, room: RoomRecord, who: str) -> None:
        self._record = record
        self._room = room
        self._who = who
        self._last_seq: int | None = None
        self.position: str | None = None
        self._is_begun = False

    @property
    def last_seq(self) -> int:
        """The number that it was given last, or that it began after."""
        return self._last_seq or 0

    @property
    def has_begun(self) -> bool:
        """Whether it has a place in the room."""
        return self.position is not None

    def came_from(self, seen: Seen) -> None:
        """It was given up to there on another device."""
        self._last_seq, self.position = seen.seq, seen.position

    def begins(self) -> None:
        """A SUBSCRIBE goes out, with the position if there is one."""
        self._is_begun = False

    def given(self, seen: Seen) -> None:
        """A MESSAGE came."""
        if self._last_seq is None:
            self._wrong(f"was given {seen.seq} before it was told where it begins")
        elif seen.seq <= self._last_seq:
            self._wrong(f"was given {seen.seq} after {self._last_seq}: twice, or out of order")
        elif seen.seq > self._last_seq + 1 and not self._room.doomed:
            self._wrong(f"was given {seen.seq} after {self._last_seq}: a hole")
        self._last_seq = seen.seq
        self.position = seen.position
        self._record.given(self._room, self._who, seen)

    def begun(self, recovered: str | None, position: str) -> None:
        """The RECEIPT of the SUBSCRIBE came. The run prunes nothing and restores nothing, so nobody is to begin anew.

        But in a room that is about to be deleted: what it had may be gone already.
        """
        seq = int(position.split(".")[1])
        self._record.note(f"begun {self._room.uuid} {self._who} recovered={recovered} {position} after {self._last_seq}")
        if self._is_begun:
            self._wrong("was given two RECEIPTs for one SUBSCRIBE")
        self._is_begun = True
        match recovered:
            case "true":
                self._record.counts["recovered:true"] += 1
                if seq != self._last_seq:
                    self._wrong(f"was told that it is at {seq}, and was given {self._last_seq} last")
            case "false":
                self._record.counts["recovered:false"] += 1
                if not self._room.doomed:
                    self._wrong(f"came back after {self._last_seq} and was told recovered:false, {position}")
                self._last_seq = seq
            case _:
                if self._last_seq is not None:
                    self._wrong("came back and was not told whether that was whole")
                self._last_seq = seq
        self.position = position

    def _wrong(self, what: str) -> None:
        self._record.complain(f"{self._room.uuid}: {self._who} {what}")
