"""Every store against the most naive one that keeps the contract: lists in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stompgate.model.causes import Cause
from stompgate.model.messages import ChatMessage, Draft
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.ports.store import Outcome, Rejected, Store, Stored
from tests.services import Services

from .conftest import STORE_HOMES
from .drafts import BUYER, SELLER, make_room

ROOMS = ["room-0", "room-1", "room-2"]


@dataclass
class NaiveStore:
    epoch: str
    messages: dict[str, list[tuple[Draft, ChatMessage]]] = field(default_factory=lambda: {room: [] for room in ROOMS})
    versions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROOMS, 1))
    deleted: set[str] = field(default_factory=set)
    owed: list[ChatRecord | RoomChanged] = field(default_factory=list)

    def append(self, draft: Draft) -> Outcome:
        if draft.room not in ROOMS or draft.room in self.deleted:
            return Rejected(Cause.NO_SUCH_ROOM)
        stored = [pair for pairs in self.messages.values() for pair in pairs]
        key = (draft.room, draft.sender, draft.client_id)
        by_id = [message for one, message in stored if one.id == draft.id]
        by_client_id = [message for one, message in stored if draft.client_id and (one.room, one.sender, one.client_id) == key]
        for message in (*by_id, *by_client_id):
            return Stored(message, repeated=True)
        if draft.members_version != self.versions[draft.room] and draft.sender not in (BUYER, SELLER):
            return Rejected(Cause.NO_SUCH_ROOM)
        seq = len(self.messages[draft.room]) + 1
        message = ChatMessage(
            draft.id, draft.room, seq, draft.sender, draft.content, draft.sent_at_us, self.epoch, self.versions[draft.room]
        )
        self.messages[draft.room].append((draft, message))
        self.owed.append(ChatRecord(message))
        return Stored(message, repeated=False)

    def delete(self, room: str) -> RoomChanged | None:
        if room in self.deleted:
            return None
        self.deleted.add(room)
        self.versions[room] += 1
        self.messages[room].clear()
        change = RoomChanged(room, self.versions[room], deleted=True, epoch=self.epoch)
        self.owed = [one for one in self.owed if not (isinstance(one, ChatRecord) and one.message.room == room)]
        changes = sorted(
            [change, *(one for one in self.owed if isinstance(one, RoomChanged))], key=lambda one: ROOMS.index(one.room)
        )
        self.owed = [*changes, *(one for one in self.owed if isinstance(one, ChatRecord))]
        return change


@dataclass(frozen=True)
class Delete:
    room: str


@dataclass(frozen=True)
class Mark:
    """Mark every ``step``-th record of the outbox as relayed."""

    step: int


# Ids are few, so that they meet again; but an id never comes back in another room: nobody could tell what it should be
# once its own room is gone.
drafts = st.builds(
    lambda room, number, **rest: Draft(id=f"{room}/{number}", room=room, content=f"text {number}", sent_at_us=number, **rest),
    st.sampled_from([*ROOMS, "nowhere"]),
    st.integers(0, 30),
    sender=st.sampled_from([BUYER, SELLER, "stranger"]),
    client_id=st.sampled_from([None, None, "a", "b"]),
    members_version=st.sampled_from([0, 1]),
)
steps = st.lists(
    st.one_of(
        st.lists(drafts, max_size=20),
        st.lists(drafts, max_size=20),
        st.builds(Delete, st.sampled_from(ROOMS)),
        st.builds(Mark, st.integers(1, 3)),
    ),
    max_size=10,
)


def without_detail(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [Rejected(one.cause) if isinstance(one, Rejected) else one for one in outcomes]


EXAMPLES = {"mysql": 15}
"""Fewer where a store takes long to be emptied and opened."""


async def follow(store: Store, steps: Sequence[list[Draft] | Delete | Mark]) -> None:
    naive = NaiveStore(store.epoch)
    for room in ROOMS:
        await make_room(store, room)
    for step in steps:
        match step:
            case Delete(room):
                assert await store.delete_room(room) == naive.delete(room)
            case Mark(every):
                await store.mark_relayed(naive.owed[::every])
                del naive.owed[::every]
            case group:
                assert without_detail(await store.append(group)) == [naive.append(draft) for draft in group]
        assert list(await store.unrelayed(1000)) == naive.owed
        for room in ROOMS:
            assert list(await store.history(room, limit=1000)) == [message for _, message in naive.messages[room]]


@pytest.mark.parametrize("kind", STORE_HOMES)
def test_any_steps_have_the_outcomes_of_the_naive_store(kind: str, services: Services) -> None:
    async def scenario(steps: list[list[Draft] | Delete | Mark]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            home = STORE_HOMES[kind](Path(folder), services)
            try:
                await follow(await home.open(), steps)
            finally:
                await home.close()

    @settings(max_examples=EXAMPLES.get(kind, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(steps=steps)
    def run(steps: list[list[Draft] | Delete | Mark]) -> None:
        asyncio.run(scenario(steps))

    run()
