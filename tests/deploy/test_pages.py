"""Every command of the pages for operators is run, as it stands there, on a machine of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from stompgate import __version__
from stompgate.reloading import LIVE
from tests.daemon_process import Launch
from tests.pages import ROOT, blocks
from tests.requirements import require_program
from tests.services import Services
from tests.wire_client import connected, make_room

from .machine import Machine, machine

INSTALL = "docs/operations/install.md"
UPGRADE = "docs/operations/upgrade.md"
BACKUP = "docs/operations/backup.md"
OPERATOR = "docs/operations/operator.md"
_FOLDERS = re.compile(r"(?<![\w.])/(?=(?:opt/stompgate|etc/stompgate|etc/credstore|var/lib|var/log|var/backups|root)\b)")


def run_block(machine: Machine, text: str, **replaced: str) -> str:
    """Run a block with its folders below the machine's root; what it printed."""
    text = _FOLDERS.sub(f"{machine.root}/", text).replace("8070", machine.ports[0]).replace("0.1.0", __version__)
    for old, new in replaced.items():
        text = text.replace(f"{old}=stompgate\n", f"{old}={new}\n")
    return machine.run("sh", "-euc", f"cd {machine.root.parent}\n{text}").stdout


@pytest.fixture(scope="module")
def bare(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the bundle in ``dist`` and nothing done yet."""
    require_program("curl")
    folder = tmp_path_factory.mktemp("bare")
    with machine(folder, dist, 1) as made:
        (folder / "dist").symlink_to(dist)
        (made.root / "root").mkdir(parents=True)
        (made.root / "run").mkdir()
        yield made


@pytest.fixture(scope="module")
def installed(bare: Machine) -> Machine:
    """The same after what ``install.md`` has done by hand."""
    run_block(bare, blocks(INSTALL)[0])
    return bare


async def say(machine: Machine, room: str, text: str) -> str:
    """Send a message; its position."""
    async with connected(f"ws://127.0.0.1:{machine.ports[0]}/ws-stomp", "buyer") as client:
        await client.subscribe(f"/sub/chat/room/{room}")
        await client.send(f"/pub/room/{room}/message", json.dumps({"content": text}))
        return (await client.expect("MESSAGE")).headers["position"]


async def history(machine: Machine, room: str) -> list[str]:
    async with httpx.AsyncClient(trust_env=False, headers={"X-Auth-User": "buyer"}) as http:
        answer = await http.get(f"http://127.0.0.1:{machine.ports[0]}/chat/room/{room}")
    return [message["content"] for message in answer.json()]


async def begins_anew(machine: Machine, room: str, position: str) -> bool:
    async with connected(f"ws://127.0.0.1:{machine.ports[0]}/ws-stomp", "buyer") as client:
        return (await client.subscribe(f"/sub/chat/room/{room}", since=position)).headers["recovered"] == "false"


def older(dump: Path) -> None:
    """Make a dump one whose servers' leases have run out, as they have in any that is 15 s old."""
    text = dump.read_text()
    without = re.sub(r"(?m)^INSERT INTO `sg_lease`[^;]*;$", "", text)
    assert without != text
    dump.write_text(without)


def test_the_page_names_what_takes_effect_without_a_restart() -> None:
    text = re.split(r"Without a restart: ", (ROOT / INSTALL).read_text())[1].partition("\n\n")[0]
    named = {tuple(name.split(".")) for name in re.findall(r"`(\w+\.\w+)`", text)}
    assert named == {key for key in LIVE if key[0] not in ("drain", "log")}


def test_man_finds_the_manual_page_of_the_version_in_use(installed: Machine) -> None:
    found = installed.root / "usr/local/share/man/man1/stompgate.1"
    assert found.read_text() == (ROOT / "deploy/man/stompgate.1").read_text()


async def test_a_back_up_of_sqlite_is_taken_and_put_back(installed: Machine) -> None:
    take, put_back = blocks(BACKUP)
    room = await make_room(f"http://127.0.0.1:{installed.ports[0]}")
    await say(installed, room, "kept")
    run_block(installed, take)
    position = await say(installed, room, "gone")
    assert "the epoch was" in run_block(installed, put_back)
    assert await history(installed, room) == ["kept"]
    assert await begins_anew(installed, room, position)


def test_a_version_is_changed_over_to_and_back_by_the_page(installed: Machine) -> None:
    fetch, switch, back, tables = blocks(UPGRADE)
    for block in (fetch, switch, back):
        run_block(installed, block)
    assert f"is healthy on {__version__}" in installed.said[-1]
    applied = run_block(installed, tables).splitlines()
    assert applied[0] == "1 rooms_and_messages 0.1.0"


async def test_the_page_of_the_installation_is_true_to_its_end(installed: Machine) -> None:
    _, looks, users, settings, reload, credentials = blocks(INSTALL)
    assert '"status":"ready"' in run_block(installed, looks).replace(" ", "")
    before = (installed.root / "etc/stompgate/stompgate.toml").read_text()
    assert '\nmode = "users"\n' in run_block(installed, users.replace('users_file = "/', f'users_file = "{installed.root}/'))
    async with connected(f"ws://127.0.0.1:{installed.ports[0]}/ws-stomp", None, login="alice", passcode="a long password"):
        pass
    run_block(installed, settings)
    assert (installed.root / "root/all-settings.toml").read_text() == (ROOT / "config/stompgate.toml").read_text()
    (installed.root / "etc/stompgate/stompgate.toml").write_text(before + "drain = { window_s = 5.0 }\n")
    run_block(installed, reload.partition("\n")[0])
    assert "needs_restart" in run_block(installed, "until " + reload.split("\n")[1] + "; do sleep 0.1; done\n")
    run_block(installed, credentials)
    assert {file.name for file in (installed.root / "etc/credstore").iterdir()} == {
        f"stompgate.{name}" for name in ("store", "relay", "sessions")
    }


async def test_the_page_for_operators_is_true(launch: Launch, tmp_path: Path) -> None:
    server = launch({"server_id": "chat-server-1"})
    program = tmp_path / "stompgate"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m stompgate "$@"\n')
    program.chmod(0o755)
    room = await make_room(server.url)
    environment = {**server.environment, "room": room, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    token, sessions, rooms, tail, talk, drain = blocks(OPERATOR)
    shown = []
    async with connected(server.ws_url, "buyer") as client:
        await client.subscribe("/topic/notices", "notices")
        await client.send(f"/pub/room/{room}/message", '{"content":"Is it still there?"}')
        for block in (token, sessions, rooms, tail, talk, drain):
            ran = await asyncio.to_thread(
                subprocess.run, ["sh", "-euc", block], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
            )
            assert ran.returncode == 0, ran.stderr
            shown.append(ran.stdout)
        assert (await client.expect("MESSAGE")).body == b"Back in five minutes"
    assert server.wait().code == 0
    for said, promised in zip(shown[1:], blocks(OPERATOR, "text"), strict=True):
        assert alike(said)[: len(alike(promised))] == alike(promised)


def alike(text: str) -> str:
    """The first line of what a command prints, without what is another each time, and as narrow as it may be."""
    first = re.sub(r"\S*\d\S*", "0", text.splitlines()[0])
    return " ".join(first.split()).replace("connections", "connection")


async def test_a_back_up_of_mysql_is_taken_and_put_back(dist: Path, services: Services, tmp_path: Path) -> None:
    require_program("mysqldump")
    url = services.fresh_store_url()
    to = urlsplit(url)
    database = to.path.lstrip("/")
    with machine(tmp_path, dist, 1) as made:
        made.write("etc/stompgate/machine.conf", f"DOMAIN=localhost\nPORTS={made.ports[0]}\n")
        made.write("etc/credstore/stompgate.store", f"{url}\n")
        client = f"[client]\nhost={to.hostname}\nport={to.port}\nuser={to.username}\npassword={to.password or ''}\n"
        made.write("etc/stompgate/mysql.cnf", client).chmod(0o600)
        (made.root / "var/backups/stompgate").mkdir(parents=True)
        (made.root / "run").mkdir()
        made.script("set-up.sh")
        take, put_back = blocks(BACKUP, "mysql")
        room = await make_room(f"http://127.0.0.1:{made.ports[0]}")
        await say(made, room, "kept")
        run_block(made, take, database=database)
        older(made.root / "var/backups/stompgate/stompgate.sql")
        position = await say(made, room, "gone")
        assert "the epoch was" in run_block(made, put_back, database=database)
        assert await history(made, room) == ["kept"]
        assert await begins_anew(made, room, position)
