"""Positions: what a client holds and comes back with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stompgate.model.messages import ChatMessage, Position, mark_of


def message(seq: int = 7, message_id: str = "id-7") -> ChatMessage:
    return ChatMessage(message_id, "room", seq, "sender", "content", 0, "0123456789ab", 1)


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_a_position_survives_being_written_and_read(seq: int) -> None:
    position = Position.of(message(seq))
    assert Position.parse(str(position)) == position


def test_a_position_tells_two_messages_of_one_number_apart() -> None:
    assert message(7, "one").position != message(7, "other").position
    assert mark_of("one") != mark_of("other")


@pytest.mark.parametrize(
    "text", ["", ".", "..", "abc", "abc.1", "abc.x.mark", "abc.1²3.mark", "a b.1.mark", ".1.mark", "a" * 60 + ".1.mark"]
)
def test_what_no_server_wrote_is_no_position(text: str) -> None:
    assert Position.parse(text) is None
