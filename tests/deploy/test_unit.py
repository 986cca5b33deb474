"""The service unit, by systemd's own tools and by what the server does: it forbids all but what is used."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stompgate.config import credential_name, load
from stompgate.ports.store import LEASE_S
from stompgate.settings import SECRET_KEYS, Settings
from stompgate.stopping import limit_s
from tests.daemon_process import DEADLINE_S, READY, wait_until
from tests.requirements import require_program
from tests.wire_client import connected, make_room

from .unit import HOST, UNIT, Unit

MOST_EXPOSED = 20  # tenths, as systemd-analyze counts: 2.0


@pytest.fixture
def unit() -> Unit:
    return Unit(UNIT.read_text())


def analyze(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [require_program("systemd-analyze"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def installed(unit: Unit, folder: Path) -> Path:
    """The unit in a folder, with a program that exists."""
    program = Path(sys.executable).with_name("stompgate")
    (folder / "stompgate@.service").write_text(unit.text.replace("/opt/stompgate/current/bin/stompgate", str(program)))
    return folder


# systemd's own tools


@pytest.mark.parametrize("name", ["stompgate@.service", "stompgate@8070.service"])
def test_systemd_finds_nothing_wrong(name: str, unit: Unit, tmp_path: Path) -> None:
    found = analyze("verify", "--recursive-errors=no", f"./{name}", folder=installed(unit, tmp_path))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_systemd_would_find_a_wrong_key(unit: Unit, tmp_path: Path) -> None:
    wrong = Unit(unit.text.replace("WatchdogSec=", "WatchDogSec="))
    found = analyze("verify", "--recursive-errors=no", "./stompgate@8070.service", folder=installed(wrong, tmp_path))
    assert "WatchDogSec" in found.stderr


def test_what_it_is_exposed_to_is_at_most_2(unit: Unit, tmp_path: Path) -> None:
    security = ("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "stompgate@.service")
    found = analyze(*security, folder=installed(unit, tmp_path))
    assert found.returncode == 0, found.stdout
    exposed = Unit(re.sub(r"(?m)^(Protect|Private|Restrict|SystemCall).*\n", "", unit.text))
    assert analyze(*security, folder=installed(exposed, tmp_path)).returncode != 0


# What it says of us


def test_its_times_are_above_what_a_server_takes(unit: Unit) -> None:
    settings = Settings()
    assert unit.seconds("TimeoutStopSec") > limit_s(settings)
    mysql = settings.mysql
    assert (
        unit.seconds("TimeoutStartSec")
        > mysql.start_wait_s + mysql.migrate_deadline_s + settings.kafka.open_wait_s + 2 * LEASE_S
    )


def test_every_secret_may_come_as_a_credential_and_nothing_else_does(unit: Unit) -> None:
    assert set(unit.credentials) == set(map(credential_name, SECRET_KEYS))
    assert [file.parent for file in unit.credentials.values()] == [Path("/etc/credstore")] * len(SECRET_KEYS)


@pytest.mark.parametrize("instance", ["8070", "8071"])
def test_an_instance_has_its_own_name_port_and_state(instance: str, tmp_path: Path) -> None:
    unit = Unit(UNIT.read_text(), instance, tmp_path)
    environment = {name: value for name, value in unit.environment.items() if name != "STOMPGATE_CONFIG"}
    settings = load(file=None, environment=environment, options={})
    assert (settings.server_id, settings.listen.port) == (f"{HOST}-{instance}", int(instance))
    assert unit.state == tmp_path / "var/lib/stompgate" / instance
    assert unit.on_disk(unit.value("WorkingDirectory")) == unit.state


def test_an_instance_may_have_settings_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "etc/stompgate").mkdir(parents=True)
    (tmp_path / "etc/stompgate/8070.env").write_text("# its own\nSTOMPGATE_SERVER_ID=chat-server-1\n")
    assert Unit(UNIT.read_text(), "8070", tmp_path).environment["STOMPGATE_SERVER_ID"] == "chat-server-1"
    assert Unit(UNIT.read_text(), "8071", tmp_path).environment["STOMPGATE_SERVER_ID"] == f"{HOST}-8071"


def test_it_is_not_started_again_for_wrong_settings_or_a_store_that_went_back_and_else_always(
    unit: Unit, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "stompgate", "serve", "--port", "high"]
    code = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode
    went_back = 3  # tests/daemon/test_restore.py: started again, it could not tell
    assert (unit.value("Restart"), unit.value("RestartPreventExitStatus")) == ("always", f"{code} {went_back}")


# What we do


async def test_the_server_does_nothing_that_it_forbids(unit: Unit, tmp_path: Path) -> None:
    """All its system calls while it starts, serves and stops."""
    calls = await system_calls_of_a_life(tmp_path)
    as_root = {"fchown"} if os.geteuid() == 0 else set()  # SQLite gives its files to their folder's owner, if it may
    forbidden = {name for name, _ in calls} - allowed_calls(unit, tmp_path) - as_root
    assert forbidden == set()
    families = {words.split(",")[0].lstrip("(") for name, words in calls if name == "socket"}
    assert families <= set(unit.value("RestrictAddressFamilies").split())
    assert unit.value("MemoryDenyWriteExecute") == "yes"
    assert [words for name, words in calls if name in ("mmap", "mprotect") and "PROT_WRITE|PROT_EXEC" in words] == []


async def system_calls_of_a_life(folder: Path) -> list[tuple[str, str]]:
    trace, output = folder / "trace", folder / "output"
    command = [
        require_program("strace"),
        "-f",
        "-qq",
        "-o",
        str(trace),
        sys.executable,
        "-m",
        "stompgate",
        "serve",
        "--port",
        "0",
    ]
    environment = {**os.environ, "STOMPGATE_STORE": f"sqlite://{folder / 'chat.db'}", "XDG_RUNTIME_DIR": str(folder)}
    with output.open("wb") as out:
        tracer = subprocess.Popen(  # noqa: ASYNC220 (it is to be quick)
            command, stdout=out, stderr=subprocess.DEVNULL, env=environment
        )
    try:
        wait_until(lambda: READY.search(output.read_text()) is not None, "it is ready", 2 * DEADLINE_S)
        ready = READY.search(output.read_text())
        assert ready is not None
        async with connected(ready[1].replace("http", "ws", 1) + "/ws-stomp", "buyer") as client:
            room = await make_room(ready[1])
            await client.send(f"/pub/room/{room}/message", '{"content":"traced"}')
        traced = int(re.findall(r"(?m)^(\d+) ", trace.read_text())[0])
        os.kill(traced, signal.SIGTERM)
        assert tracer.wait(DEADLINE_S) == 0
    finally:
        tracer.kill()
        tracer.wait(DEADLINE_S)
    return re.findall(r"(?m)^\d+ +(\w+)(\(.*)$", trace.read_text())


def allowed_calls(unit: Unit, folder: Path) -> set[str]:
    """What the unit's filters leave, by systemd's own lists. What every process needs is always allowed."""
    allowed = _calls("@default", folder)
    for value in unit.values("SystemCallFilter"):
        named = {call for word in value.lstrip("~").split() for call in _calls(word, folder)}
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


def _calls(group: str, folder: Path) -> set[str]:
    words = analyze("syscall-filter", group, folder=folder).stdout.split("\n")
    names = {word.strip() for word in words[1:] if word.strip() and not word.strip().startswith("#")}
    return {call for name in names for call in (_calls(name, folder) if name.startswith("@") else {name})}
