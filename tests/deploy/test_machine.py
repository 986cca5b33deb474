"""A machine from nothing to a service behind TLS by the scripts of ``deploy/ec2``; what is done to it while clients chat."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from stompgate import __version__
from stompgate.stomp.frames import Frame
from tests.requirements import require_program
from tests.services import Service, Services
from tests.wire_client import WireClient, make_room, opened

from .certificates import issue
from .machine import DOMAIN, Machine, machine, site

MESSAGES = 60
WORSE = "9.9.9"


@pytest.fixture(scope="module")
def two(dist: Path, services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with two servers over one database, set up by the script."""
    require_program("nginx")
    require_program("curl")
    with machine(tmp_path_factory.mktemp("machine"), dist, 2) as made:
        ports = " ".join(made.ports)
        made.write("etc/stompgate/machine.conf", f'DOMAIN={DOMAIN}\nEMAIL=admin@example.org\nPORTS="{ports}"\n')
        urls = {
            "store": services.fresh_store_url(),
            "relay": services.fresh_relay_url(),
            "sessions": services.fresh_sessions_url(),
        }
        for name, url in urls.items():
            made.write(f"etc/credstore/stompgate.{name}", f"{url}\n")
        made.script("set-up.sh")
        yield made


@pytest.fixture(scope="module")
def nginx(two: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with site(two, tmp_path_factory.mktemp("nginx")) as nginx:
        yield nginx


def trusting(machine: Machine) -> ssl.SSLContext:
    """Trust in the certificate of the machine."""
    return ssl.create_default_context(cafile=str(machine.root / "etc/stompgate/tls/fullchain.pem"))


@asynccontextmanager
async def client_of(machine: Machine, nginx: Service, user: str) -> AsyncIterator[WireClient]:
    """A client that came through nginx."""
    url = nginx.url.replace("https", "wss") + "/ws-stomp"
    async with opened(url, ssl=trusting(machine), origin=Origin(f"https://{DOMAIN}"), host="127.0.0.1") as client:
        await client.connect(user)
        yield client


def direct(machine: Machine, number: int = 0) -> str:
    """A server without nginx."""
    return f"http://127.0.0.1:{machine.ports[number]}"


# What the set-up leaves


async def test_after_the_set_up_the_servers_are_ready_over_what_the_credentials_name(two: Machine) -> None:
    for number in range(2):
        async with httpx.AsyncClient(base_url=direct(two, number), trust_env=False) as http, asyncio.timeout(30):
            health: dict[str, Any] = {"status": ""}
            while health["status"] != "ready":  # the relay comes a moment later
                health = (await http.get("/health/ready")).json()
        assert set(health["parts"]) == {"listener", "store", "relay", "sessions", "mail"}


def test_no_credential_is_where_others_may_read_it(two: Machine) -> None:
    secrets = {file.read_text().strip() for file in (two.root / "etc/credstore").iterdir()}
    read = [two.log(port) for port in two.ports] + two.said
    read += [file.read_text() for file in (two.root / "etc/stompgate").glob("*.*") if file.is_file()]
    assert [text for text in read for secret in secrets if secret in text] == []


def test_a_log_is_one_json_object_a_line_where_the_agent_looks_for_it(two: Machine) -> None:
    agent = json.loads((two.root / "opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.d/stompgate.json").read_text())
    (watched,) = agent["logs"]["logs_collected"]["files"]["collect_list"]
    files = list(two.root.glob(watched["file_path"].lstrip("/")))
    assert {file.name for file in files} >= {f"{port}.log" for port in two.ports}
    events = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert {"ready"} <= {event["event"] for event in events}
    assert all({"time", "level", "event"} <= set(event) for event in events)
    assert (two.root / "etc/logrotate.d/stompgate").read_text().splitlines()[1] == f"{watched['file_path']} {{"


def test_a_second_set_up_changes_nothing_that_was_changed_by_hand(two: Machine) -> None:
    settings = two.root / "etc/stompgate/stompgate.toml"
    before = settings.read_text()
    settings.write_text(before + "# by hand\n")
    pids = [two.services.pid(port) for port in two.ports]
    certificate = (two.root / "etc/stompgate/tls/fullchain.pem").read_bytes()
    two.script("set-up.sh")
    assert settings.read_text() == before + "# by hand\n"
    assert (two.root / "etc/stompgate/tls/fullchain.pem").read_bytes() == certificate
    assert all(two.services.pid(port) not in (None, *pids) for port in two.ports)


def test_servers_that_share_no_database_are_not_set_up_behind_one_name(dist: Path, tmp_path: Path) -> None:
    with machine(tmp_path, dist, 2) as bare:
        bare.write("etc/stompgate/machine.conf", f'DOMAIN={DOMAIN}\nPORTS="{" ".join(bare.ports)}"\n')
        refused = bare.script("set-up.sh", check=False)
        assert (refused.returncode, "/etc/credstore/stompgate.store is missing" in refused.stderr) == (2, True)


def test_certbot_is_asked_for_the_name_and_what_it_brings_is_shown(two: Machine, tmp_path: Path) -> None:
    asked = (two.root / "run/certbot.log").read_text().splitlines()[0].split()
    assert asked[asked.index("--domain") + 1] == DOMAIN
    hook = asked[asked.index("--deploy-hook") + 1 :]
    before = (two.root / "etc/stompgate/tls/fullchain.pem").read_bytes()
    kept = {file: file.read_bytes() for file in (two.root / "etc/stompgate/tls").glob("*.pem")}
    issued = issue(tmp_path, "brought")
    two.run("env", f"RENEWED_LINEAGE={tmp_path}", *hook)
    assert (two.root / "etc/stompgate/tls/fullchain.pem").read_bytes() == issued.certificate.read_bytes() != before
    assert (two.root / "etc/stompgate/tls/privkey.pem").stat().st_mode & 0o077 == 0
    assert (two.root / "run/systemctl.log").read_text().splitlines()[-1] == "reload nginx"
    for file, data in kept.items():
        file.write_bytes(data)


# Behind nginx


def test_nginx_has_connections_for_many_clients(two: Machine) -> None:
    text = (two.root / "etc/nginx/nginx.conf").read_text()
    assert int(re.findall(r"worker_connections (\d+);", text)[0]) >= 16384
    assert "worker_rlimit_nofile 65536;" in (two.root / "etc/nginx/modules-enabled/99-stompgate.conf").read_text()


async def test_clear_text_is_sent_to_tls(nginx: Service) -> None:
    port = nginx.program.clear_port  # type: ignore[attr-defined]
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{port}/test/?a=b")
    assert (answer.status_code, answer.headers["location"]) == (308, f"https://{DOMAIN}/test/?a=b")


async def test_nobody_says_over_http_who_they_are_and_operators_pages_are_closed(two: Machine, nginx: Service) -> None:
    async with httpx.AsyncClient(base_url=nginx.url, verify=trusting(two), trust_env=False) as http:
        named = {"X-Auth-User": "someone-else"}
        assert (await http.post("/room/create", params={"user": "a", "name": "b"}, headers=named)).status_code == 400
        assert (await http.get("/chat/debug/sessions")).status_code in (403, 404)
        assert (await http.get("/room/rooms")).status_code == 403
        assert (await http.get("/metrics")).status_code == 404
        assert (await http.get("/operator/sessions")).status_code == 404
        answer = await http.get("/test/")
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"]


async def test_sockjs_is_answered_through_it(two: Machine, nginx: Service) -> None:
    async with httpx.AsyncClient(base_url=nginx.url, verify=trusting(two), trust_env=False) as http:
        assert (await http.get("/ws-stomp/info")).json()["websocket"] is True
        opened = {(await http.post(f"/ws-stomp/000/session-{number}/xhr")).text for number in range(8)}
        again = {
            (await http.post(f"/ws-stomp/000/session-{number}/xhr_send", content='["\\n"]')).status_code for number in range(8)
        }
    assert (opened, again) == ({"o\n"}, {204})


class Talker:
    """Sends numbered messages, and comes back wherever nginx sends it until each has its RECEIPT."""

    def __init__(self, machine: Machine, nginx: Service, room: str) -> None:
        self.receipted = 0
        self._machine = machine
        self._nginx = nginx
        self._room = room

    async def talk(self) -> None:
        """Send them all."""
        while self.receipted < MESSAGES:
            try:
                async with client_of(self._machine, self._nginx, "buyer") as client:
                    while self.receipted < MESSAGES:
                        await self._say(client, f"{self.receipted}")
                        self.receipted += 1
                        await asyncio.sleep(0.05)
            except (ConnectionClosed, OSError, AssertionError, httpx.HTTPError, TimeoutError):
                await asyncio.sleep(0.1)

    async def _say(self, client: WireClient, text: str) -> None:
        headers = {"destination": f"/pub/room/{self._room}/message", "client-message-id": text, "receipt": text}
        await client.send_frames(Frame("SEND", headers, json.dumps({"content": text}).encode()))
        await client.expect("RECEIPT")


class Hearer:
    """Hears a room, and takes up where it was when it has to come back."""

    def __init__(self, machine: Machine, nginx: Service, room: str) -> None:
        self.heard: list[str] = []
        self.connections = 0
        self._machine = machine
        self._nginx = nginx
        self._room = room
        self._position = ""

    async def hear(self) -> None:
        """Until the last message has come."""
        while len(self.heard) < MESSAGES:
            try:
                async with client_of(self._machine, self._nginx, "seller") as client:
                    self.connections += 1
                    since = {"since": self._position} if self._position else {}
                    named = {"destination": f"/sub/chat/room/{self._room}", "id": "s", "receipt": "r", **since}
                    await client.send_frames(Frame("SUBSCRIBE", named))
                    while len(self.heard) < MESSAGES:
                        self._take(await client.frame())
            except (ConnectionClosed, OSError, TimeoutError, httpx.HTTPError):
                await asyncio.sleep(0.1)

    def _take(self, frame: Frame) -> None:
        if "position" in frame.headers:
            self._position = frame.headers["position"]
        if frame.command == "MESSAGE":
            self.heard.append(json.loads(frame.body)["content"])
        else:
            assert frame.headers.get("recovered", "true") == "true", frame


async def test_clients_chat_on_while_one_server_is_drained_killed_and_started_again(two: Machine, nginx: Service) -> None:
    room = await make_room(direct(two))
    talker, hearers = Talker(two, nginx, room), [Hearer(two, nginx, room) for _ in range(6)]
    one, other = two.ports
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        for client in (*(hearer.hear() for hearer in hearers), talker.talk()):
            tasks.create_task(client)
        for act, port in (("restart", one), ("kill", other), ("start", other)):
            said = talker.receipted
            while talker.receipted < min(said + 8, MESSAGES):  # noqa: ASYNC110 (the talker knows no waiting for it)
                await asyncio.sleep(0.05)
            await asyncio.to_thread(two.run, "systemctl", act, f"stompgate@{port}")
    assert [hearer.heard for hearer in hearers] == [[f"{number}" for number in range(MESSAGES)]] * len(hearers)
    assert sum(hearer.connections for hearer in hearers) > len(hearers), "somebody had to come back"


# A new version, and the old one again


def copy_as(machine: Machine, version: str) -> Path:
    """Install the program a second time, under another version's name."""
    releases = machine.root / "opt/stompgate/releases"
    target = releases / version
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(releases / __version__, target, symlinks=True)
    for script in (target / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            script.write_text(script.read_text().replace(str(releases / __version__), str(target)))
    return target


def release_in_use(machine: Machine) -> str:
    return os.readlink(machine.root / "opt/stompgate/current")


def programs_of(machine: Machine) -> set[str]:
    """The releases that the servers really run."""
    lines = [Path(f"/proc/{machine.services.pid(port)}/cmdline").read_text() for port in machine.ports]
    return {found for line in lines for found in re.findall(r"/opt/stompgate/(\S+?)/bin/", line.replace("\0", " "))}


def test_a_new_version_is_taken_up_and_the_older_one_is_a_switch_back(two: Machine) -> None:
    copy_as(two, WORSE)
    two.script("switch.sh", WORSE)
    assert release_in_use(two) == f"releases/{WORSE}"
    two.script("switch.sh", __version__)
    assert release_in_use(two) == f"releases/{__version__}"
    assert "is healthy" in two.said[-1]


def test_a_version_that_does_not_become_healthy_is_taken_back_everywhere(two: Machine) -> None:
    program = copy_as(two, WORSE) / "bin" / "stompgate"
    text = program.read_text()
    # It starts on one server, and fails on the second.
    program.write_text(
        text.replace(
            "import sys\n",
            f"import os, sys\nif os.environ.get('STOMPGATE_LISTEN__PORT') == '{two.ports[1]}':\n    sys.exit(1)\n",
            1,
        )
    )
    assert program.read_text() != text
    done = two.script("switch.sh", WORSE, check=False)
    assert done.returncode == 1
    assert f"{two.ports[1]} does not become healthy on {WORSE}" in done.stderr
    assert release_in_use(two) == f"releases/{__version__}"
    for number, port in enumerate(two.ports):
        assert f"{port} is healthy on releases/{__version__}" in done.stderr
        assert httpx.get(f"{direct(two, number)}/health/ready", trust_env=False).status_code == 200


@pytest.mark.parametrize("version", ["1.2.3", WORSE])
def test_what_is_not_installed_or_does_not_take_the_settings_changes_nothing(version: str, two: Machine) -> None:
    if version == WORSE:
        (copy_as(two, WORSE) / "bin" / "stompgate").write_text("#!/bin/sh\nexit 2\n")
    pids = [two.services.pid(port) for port in two.ports]
    done = two.script("switch.sh", version, check=False)
    assert done.returncode == 1
    assert release_in_use(two) == f"releases/{__version__}"
    assert [two.services.pid(port) for port in two.ports] == pids
