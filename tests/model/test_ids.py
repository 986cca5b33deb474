"""Identifiers: their shape, and that they never come twice."""

from __future__ import annotations

import uuid

from stompgate.model.ids import MessageIds, new_epoch, new_session_id

NOW_US = 1_750_000_000_123_456


def test_a_message_id_is_a_uuid_of_version_7_that_holds_its_time() -> None:
    ids = MessageIds()
    for _ in range(600):  # more than one helping of random bytes
        text = ids.new(NOW_US)
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122
        assert parsed.int >> 80 == NOW_US // 1000


def test_message_ids_of_one_moment_differ_and_later_ones_are_higher() -> None:
    ids = MessageIds()
    same_moment = {ids.new(NOW_US) for _ in range(10_000)}
    assert len(same_moment) == 10_000
    assert max(same_moment) < ids.new(NOW_US + 1_000)


def test_session_ids_and_epochs_never_repeat() -> None:
    assert len({new_session_id() for _ in range(1_000)}) == 1_000
    epochs = {new_epoch() for _ in range(1_000)}
    assert len(epochs) == 1_000
    assert all(epoch.isalnum() for epoch in epochs)
