"""One room, many senders, two servers: one sequence. ``make proof`` sends 100,000 messages."""

from __future__ import annotations

from pathlib import Path

from tests.torture.one_sequence import Sequence, one_sequence

MESSAGES = 6_000


async def test_eight_senders_on_two_servers_make_one_sequence_for_everyone(tmp_path: Path) -> None:
    sequences, _ = await one_sequence(tmp_path, MESSAGES)
    assert [seen.count for seen in sequences] == [MESSAGES] * 6
    assert [seen.broken for seen in sequences] == [""] * 6
    assert len({seen.digest for seen in sequences}) == 1


def test_another_order_is_another_sequence() -> None:
    one, other, wrong = Sequence("one"), Sequence("other"), Sequence("wrong")
    for seen, contents in ((one, "ab"), (other, "ab"), (wrong, "ba")):
        for seq, content in enumerate(contents, 1):
            seen.add(seq, content)
    assert one.digest == other.digest != wrong.digest
    wrong.add(4, "c")
    assert wrong.broken == "4 came as message 3"
