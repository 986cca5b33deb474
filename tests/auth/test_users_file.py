"""Only the right password opens, and nothing about a wrong one is told; a crowd that comes back is let in quickly."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stompgate.auth.users_file import UsersFile, UsersFileLimits, hash_password, read_users
from stompgate.model.causes import Cause, Refusal
from stompgate.model.sessions import Identity
from stompgate.ports.part import SetupError
from stompgate.stomp.frames import Frame
from tests.daemon_process import Launch
from tests.fakes import FakeClock
from tests.gateway.scene import RecordingLink, Scene, come
from tests.wire_client import WireClient, opened

OF_ANN = {"login": "ann", "passcode": "secret of ann"}
LIMITS = UsersFileLimits(threads=1, waiting=2, remember_s=60)


@pytest.fixture(scope="module")
def hashes() -> dict[str, str]:
    return {"ann": hash_password("secret of ann"), "bob": hash_password("비밀번호")}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def users(hashes: dict[str, str], clock: FakeClock) -> Iterator[UsersFile]:
    users = UsersFile(hashes, clock, LIMITS)
    yield users
    users.close()


async def login(users: UsersFile, user: str, password: str) -> Identity | Cause:
    try:
        answer = users.authenticate({"login": user, "passcode": password})
        return answer if isinstance(answer, Identity) else await answer
    except Refusal as refusal:
        return refusal.cause


async def test_the_right_password_opens(users: UsersFile) -> None:
    assert await login(users, "ann", "secret of ann") == Identity("ann")
    assert await login(users, "bob", "비밀번호") == Identity("bob")


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("ann", "wrong"),
        ("ann", ""),
        ("", ""),
        ("", "secret of ann"),
        ("nobody", "x"),
        ("Ann", "secret of ann"),
        ("ann", "x" * 1025),
    ],
)
async def test_nothing_else_does_and_all_look_alike(users: UsersFile, user: str, password: str) -> None:
    assert await login(users, user, password) is Cause.WRONG_PASSWORD


async def test_what_has_fitted_is_not_hashed_again_for_a_while(users: UsersFile, clock: FakeClock) -> None:
    await login(users, "ann", "secret of ann")
    assert users.authenticate({"login": "ann", "passcode": "secret of ann"}) == Identity("ann")
    assert await login(users, "ann", "secret of ann!") is Cause.WRONG_PASSWORD
    clock.advance(LIMITS.remember_s)
    answer = users.authenticate({"login": "ann", "passcode": "secret of ann"})
    assert not isinstance(answer, Identity)
    assert await answer == Identity("ann")


async def test_only_so_many_wait_for_their_hash(users: UsersFile) -> None:
    waiting = [users.authenticate(OF_ANN) for _ in range(LIMITS.waiting)]  # as of many that come in one turn
    assert await login(users, "ann", "secret of ann") is Cause.OVERLOADED
    for answer in waiting:
        assert not isinstance(answer, Identity)
        assert await answer == Identity("ann")


async def test_who_leaves_waits_for_no_hash(users: UsersFile) -> None:
    scene = Scene()
    scene.gate.authenticator = users
    for _ in range(LIMITS.waiting):
        peer = scene.gate.attach(RecordingLink(scene.clock))
        come(peer, Frame("CONNECT", {"accept-version": "1.2", **OF_ANN}))
        peer.lost(Cause.PEER_LEFT)
    await asyncio.sleep(0.01)
    assert await login(users, "ann", "secret of ann") == Identity("ann")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann\n", "line 1"),
        ("# users\n\nann:plain text\n", "line 3"),
        (":HASH\n", "line 1"),
        ("ann:HASH\nann:HASH\n", "line 2: the name stands there twice"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, hashes: dict[str, str], text: str, expected: str) -> None:
    path = tmp_path / "users"
    path.write_text(text.replace("HASH", hashes["ann"]))
    with pytest.raises(SetupError, match=expected) as error:
        read_users(path)
    assert hashes["ann"] not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        read_users(tmp_path / "none")


@pytest.fixture
def hashed() -> str:
    """What the command prints for a password."""
    command = [sys.executable, "-m", "stompgate", "hash-password"]
    return subprocess.run(command, input="pass:word\n", text=True, capture_output=True, check=True).stdout.strip()


async def test_a_user_gets_in_as_the_manual_says(tmp_path: Path, launch: Launch, hashed: str) -> None:
    (tmp_path / "users").write_text(f"# people\nann@example.org:{hashed}\n")
    daemon = launch({"auth": {"mode": "users", "users_file": str(tmp_path / "users")}})

    async def connect(client: WireClient, password: str) -> None:
        await client.write(f"CONNECT\naccept-version:1.2\nlogin:ann@example.org\npasscode:{password}\nsender:bob\n\n\0")

    async with opened(daemon.ws_url) as client:
        await connect(client, "pass:word")
        assert (await client.expect("CONNECTED")).headers["version"] == "1.2"
        await client.subscribe("/user/queue/x", "s")
        await client.send("/user/ann@example.org/queue/x", "it is me")
        assert (await client.expect("MESSAGE")).body == b"it is me"
    async with opened(daemon.ws_url) as client:
        await connect(client, "password")
        refused = await client.refused()
        assert (refused.code, refused.close_code) == ("wrong-password", 1008)
    assert "pass:word" not in json.dumps(daemon.log())
