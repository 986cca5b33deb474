"""The operator's socket: for its user alone, one a server, and in nobody's way."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from structlog.testing import capture_logs

from stompgate.operator_door import OperatorDoor
from stompgate.operator_place import chosen, objection
from stompgate.ports.part import SetupError
from stompgate.settings import SOCKET_LIMIT_BYTES, Operator, Settings
from stompgate.transports.http_side import HttpSide
from tests.daemon_process import Daemon


def is_answered(path: Path) -> bool:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=20) as client:
        return client.get("http://x/operator/sessions").status_code == 200


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# Real servers


def test_it_is_for_its_user_alone_outlives_no_server_and_is_replaced_after_a_crash(daemon: Daemon) -> None:
    place = daemon.operator_socket
    assert (mode(place.parent), mode(place)) == (0o700, 0o600)
    assert daemon.events("ready")[0]["operators"] == str(place)
    daemon.kill()
    assert place.is_socket()
    said = daemon.command("sessions", "--server-id", "test-server")
    assert (said.returncode, said.stderr) == (1, f"stompgate: no server listens at {place}\n")
    daemon.start()
    assert is_answered(place)
    daemon.stop()
    assert not place.exists()


def test_two_servers_of_a_user_have_each_their_own_and_one_takes_no_others(tmp_path: Path, daemon: Daemon) -> None:
    place = daemon.operator_socket
    other = Daemon(tmp_path, {"server_id": "other", "operator": {"socket": str(place.with_name("other.sock"))}})
    try:
        other.start()
        for name in ("test-server", "other"):
            assert f'"serverId": "{name}"' in daemon.command("sessions", "--json", "--server-id", name).stdout
        said = daemon.command("rooms", "--server-id", "third")
        named = "only other, test-server; --server-id, --socket or --url names another"
        assert (said.returncode, said.stderr) == (1, f"stompgate: no server third is found here, {named}\n")
        other.stop()
        (tmp_path / "rival").mkdir()
        rival = Daemon(tmp_path / "rival", {"operator": {"socket": str(place)}})
        rival.spawn()
        ended = rival.wait()
        assert (ended.code, "another server lives there" in ended.errors) == (1, True)
    finally:
        other.put_down()
        rival.put_down()
    assert is_answered(place)


# The door alone


def door(socket: str, environment: Mapping[str, str]) -> OperatorDoor:
    return OperatorDoor(cast(HttpSide, NoRequests()), Settings(operator=Operator(socket=socket)), environment)


class NoRequests:
    """Nobody asks anything here."""

    def protocol_for(self, head: bytes) -> Any:
        return asyncio.Protocol()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder for its user alone."""
    (tmp_path / "own").mkdir(mode=0o700)
    return tmp_path / "own"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that others may look into."""
    (tmp_path / "shared").mkdir(mode=0o755)
    return tmp_path / "shared"


async def test_a_place_that_was_chosen_and_cannot_be_had_keeps_no_server_from_serving(tmp_path: Path) -> None:
    (tmp_path / "stompgate").mkdir(mode=0o755)
    tried = door("", {"XDG_RUNTIME_DIR": str(tmp_path)})
    with capture_logs() as log:
        await tried.open()
    tried.close()
    ((event, reason),) = [(line["event"], line["reason"]) for line in log]
    assert event == "operators have no socket here"
    assert reason.endswith("stompgate is open to others: expected mode 0700, not 0755")
    assert tried.address == ""


async def test_a_place_that_the_settings_name_must_be_had(shared: Path) -> None:
    with pytest.raises(SetupError, match=r"operator\.socket: \S+ is open to others"):
        await door(str(shared / "x.sock"), {}).open()


async def test_a_file_in_its_place_is_not_taken_away(own: Path) -> None:
    (own / "x.sock").write_text("precious")
    with pytest.raises(SetupError, match="cannot listen at"):
        await door(str(own / "x.sock"), {}).open()
    assert (own / "x.sock").read_text() == "precious"


async def test_there_is_none_where_the_settings_want_none(tmp_path: Path) -> None:
    none = door("-", {"XDG_RUNTIME_DIR": str(tmp_path)})
    await none.open()
    none.close()
    assert os.listdir(tmp_path) == []


# Its place


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RUNTIME_DIRECTORY": "/run/stompgate/8070:/run/other", "XDG_RUNTIME_DIR": "/x"}, "/run/stompgate/8070/s.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/stompgate/s.sock"),
    ],
)
def test_the_place_is_that_of_the_service_else_of_the_session(environment: dict[str, str], expected: str) -> None:
    assert chosen("s", environment) == Path(expected)


def test_without_either_it_is_a_temporary_folder_of_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = chosen("s", {})
    assert (place.parent.parent, place.name) == (tmp_path, "s.sock")
    assert objection(place) == ""


def test_a_folder_that_is_somebody_elses_or_none_is_objected_to(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(own)
    (tmp_path / "file").write_text("")
    assert objection(own / "s.sock") == ""
    assert objection(tmp_path / "link" / "s.sock").endswith("is no folder")
    assert objection(tmp_path / "file" / "s.sock").endswith("is no folder")
    assert "longer than" in objection(own / ("s" * SOCKET_LIMIT_BYTES))
    monkeypatch.setattr("os.geteuid", lambda: own.stat().st_uid + 1)
    assert "belongs to somebody else" in objection(own / "s.sock")
