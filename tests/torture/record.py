"""The torture's own record of what was promised and what was seen, and the verdict over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class RoomRecord:
    """One room: the contents that were RECEIPTed, and what each receiver saw, as (seq, content) in the order it came."""

    receipted: list[str] = field(default_factory=list)
    seen: dict[str, list[tuple[int, str]]] = field(default_factory=dict)


@dataclass
class Record:
    """Everything that happened. ``recoveries`` counts the answers to ``since``; ``unrecovered`` those that said false."""

    rooms: dict[str, RoomRecord] = field(default_factory=dict)
    kills: int = 0
    drops: int = 0
    resent: int = 0
    recoveries: int = 0
    unrecovered: int = 0


def complaints(record: Record, history: Mapping[str, Sequence[tuple[int, str]]]) -> list[str]:
    """Return what is wrong, one sentence each. ``history``: what the server says of each room, as (seq, content)."""
    found = [f"{record.unrecovered} answers said recovered:false"] if record.unrecovered else []
    for room, of_room in record.rooms.items():
        stored = history[room]
        found += [f"{room}: {sentence}" for sentence in _of_store(of_room, stored)]
        for receiver, seen in of_room.seen.items():
            found += [f"{room}: {receiver} {sentence}" for sentence in _of_receiver(seen, stored)]
    return found


def _of_store(record: RoomRecord, stored: Sequence[tuple[int, str]]) -> list[str]:
    contents = Counter(content for _, content in stored)
    lost = [content for content in record.receipted if content not in contents]
    doubled = [content for content, times in contents.items() if times > 1]
    found = []
    if lost:
        found.append(f"RECEIPTed and not in the history: {lost[:5]} and {len(lost)} in all")
    if doubled:
        found.append(f"twice in the history: {doubled[:5]} and {len(doubled)} in all")
    if [seq for seq, _ in stored] != list(range(1, len(stored) + 1)):
        found.append("the numbers have gaps")
    return found


def _of_receiver(seen: Sequence[tuple[int, str]], stored: Sequence[tuple[int, str]]) -> list[str]:
    if list(seen) == list(stored):
        return []
    seqs = [seq for seq, _ in seen]
    missed = sorted(set(range(1, len(stored) + 1)) - set(seqs))
    twice = [seq for seq, times in Counter(seqs).items() if times > 1]
    order = "in order" if seqs == sorted(seqs) else "out of order"
    return [f"missed {missed[:5]} ({len(missed)}), saw twice {twice[:5]} ({len(twice)}), {order}"]
