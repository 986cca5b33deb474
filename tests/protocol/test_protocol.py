"""Every obligation of a STOMP server, in each version that it concerns, over WebSocket and TCP, against a real daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import product

import pytest

from stompgate.stomp.versions import Version
from tests.daemon_process import Daemon, launcher

from . import rows_client_frames, rows_connecting, rows_frames, rows_server_frames
from .table import TRANSPORTS, Promise, Stage, promises_in

ROWS = (
    [f"F{number}" for number in range(1, 18)]
    + [f"C{number}" for number in range(1, 15)]
    + ["S1", "S2", "S3", "U1", "U2", "U3", "U4", "U5", "U6", "U7", "A1", "A2", "A3", "T1", "T2", "T3"]
    + ["D1", "D2", "D3", "R1", "R2", "M1", "M2", "M3", "M4", "M5", "E1", "E2", "E3"]
)
NOT_YET: dict[str, str] = {}
"""Promises that are still to be built, each with why it is not there. One that is kept must leave this list: it fails here."""

PROMISES = promises_in(rows_frames, rows_connecting, rows_client_frames, rows_server_frames)
SETTINGS = {
    "stomp": {"heart_beat_send_ms": 100, "heart_beat_receive_ms": 100, "heart_beat_grace_floor_s": 1.2},
    "connections": {"closing_grace_s": 0.5},
}


def cases() -> Iterator[object]:
    """Each promise in its versions over both transports."""
    for promise in PROMISES:
        marks = [pytest.mark.xfail(strict=True, reason=NOT_YET[promise.name])] if promise.name in NOT_YET else []
        for version, transport in product(promise.versions, TRANSPORTS):
            name = f"{promise.name}-{version.value}-{transport}"
            yield pytest.param(promise, version, transport, id=name, marks=marks)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with both ports and fast heart-beats."""
    with launcher(tmp_path_factory.mktemp("protocol")) as launch:
        yield launch(SETTINGS, "--tcp-port", "0")


@pytest.fixture
async def clients() -> AsyncIterator[AsyncExitStack]:
    """The connections of a test."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.mark.parametrize(("promise", "version", "transport"), list(cases()))
async def test_row(promise: Promise, version: Version, transport: str, daemon: Daemon, clients: AsyncExitStack) -> None:
    await promise.run(Stage(daemon, version, transport, clients))


def test_every_row_has_its_promise_and_only_what_there_is_is_waited_for() -> None:
    assert {promise.row for promise in PROMISES} == set(ROWS)
    assert {promise.name for promise in PROMISES} >= set(NOT_YET)
    proofs = [(promise.name, version) for promise in PROMISES for version in promise.versions]
    assert len(proofs) == len(set(proofs))
