"""A secret that somebody gives to the daemon shows in nothing that it puts out, whatever goes wrong.

Each stands in one place of its own, and is looked for as it is and as URLs, JSON and the login of mail write it.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest

from stompgate.auth.users_file import hash_password
from stompgate.bursts import EVENT
from stompgate.stomp.frames import Frame
from tests.daemon_process import Daemon, Launch, Sections, as_toml, wait_until
from tests.mail.post_office import PostOffice, post_office
from tests.services import Services
from tests.services.kept import kept_port
from tests.wire_client import connected, make_room, opened, opened_tcp

PLACES = (
    *("store password", "relay password", "sessions password", "mail password", "query of a URL"),
    *("right passcode", "wrong passcode", "tcp passcode", "authorization", "cookie", "query", "header of a frame"),
    *("operator token", "wrong operator token", "operator message", "operator publication"),
    *("room message", "broadcast", "queue message", "unread frame", "unread body"),
    *("inquiry message", "inquiry email", "inquiry phone", "refused inquiry"),
)
SECRETS = {place: f"Zk{n:02}q/{place.replace(' ', '?')}%@:#" for n, place in enumerate(PLACES)}
MARK_CHARS = 5
WRITTEN = {"connection closed", EVENT, "statistics", "subscription refused", "not recovered", "an inquiry could not be mailed"}


def shown(text: str, secrets: Mapping[str, str] = SECRETS) -> dict[str, str]:
    """The places whose secrets a text shows, and the line that does."""
    found: dict[str, str] = {}
    for place, secret in secrets.items():
        lines = [line for line in text.splitlines() if any(form in line for form in forms(secret))]
        if lines:
            found[place] = lines[0]
    return found


def forms(secret: str) -> set[str]:
    """How it may be written; the first of its signs are enough."""
    raw = secret.encode()
    coded = {base64.b64encode(raw).decode(), base64.b64encode(b"\0stompgate\0" + raw).decode()}
    return {secret, secret[:MARK_CHARS], quote(secret, safe=""), json.dumps(secret)[1:-1], raw.hex()} | coded


def in_url(secret: str) -> str:
    return quote(secret, safe="")


@pytest.mark.parametrize("place", PLACES)
def test_the_search_finds_what_it_looks_for(place: str) -> None:
    for form in forms(SECRETS[place]):
        assert shown(f"a line\nurl={form}&more\n") == {place: f"url={form}&more"}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    """It refuses our login, and repeats the password that it was given."""
    with post_office(tmp_path / "post office", tls=True, user="stompgate", password="another") as office:
        yield office


@pytest.fixture
def sections(tmp_path: Path, office: PostOffice) -> Sections:
    """A relay and a Redis that are away, a mail server that refuses us; everything logged."""
    away = kept_port(tmp_path, "away")
    users = tmp_path / "users"
    users.write_text("".join(f"{user}:{hash_password(SECRETS['right passcode'])}\n" for user in ("buyer", "seller")))
    login = {name: f"user:{in_url(SECRETS[f'{name} password'])}@" for name in ("relay", "sessions", "mail")}
    return {
        "relay": f"kafka://{login['relay']}127.0.0.1:{away}",
        "sessions": f"redis://{login['sessions']}127.0.0.1:{away}/0",
        "mail": f"smtp://{login['mail'].replace('user', 'stompgate')}localhost:{office.port}",
        "smtp": office.smtp,
        "inquiries": {"retry_least_s": 0.2},
        "auth": {"mode": "users", "users_file": str(users)},
        "tcp": {"port": 0},
        "http": {"operators": ["*"]},
        "operator": {"token": SECRETS["operator token"]},
        "kafka": {
            "security_protocol": "sasl_plaintext",
            "open_wait_s": 0.5,
            "request_timeout_s": 1.0,
            "delivery_timeout_s": 1.0,
            "flush_timeout_s": 0.5,
        },
        "log": {"level": "debug", "format": "json", "statistics_every_s": 0.5, "burst_lines": 1, "burst_s": 600},
    }


def content(place: str) -> bytes:
    return json.dumps({"content": SECRETS[place]}).encode()


async def talk(daemon: Daemon) -> list[str]:
    """Say everything that may hold a secret, well and badly; return what was answered to what was wrong."""
    answers = []
    passcode = SECRETS["right passcode"]
    room = await make_room(daemon.url)
    async with connected(daemon.ws_url, None, login="buyer", passcode=passcode, x_token=SECRETS["header of a frame"]) as client:
        await client.subscribe(f"/sub/chat/room/{room}", "room")
        await client.send_frames(Frame("SEND", {"destination": f"/pub/room/{room}/message"}, content("room message")))
        await client.expect("MESSAGE")
        for destination, place in (("/topic/x", "broadcast"), ("/queue/x", "queue message")):
            await client.send_frames(Frame("SEND", {"destination": destination, "receipt": place}, content(place)))
            await client.expect("RECEIPT")
    for wrong, place in ((daemon.ws_url, "wrong passcode"), (daemon.tcp_url, "tcp passcode")):
        async with opened_tcp(wrong) if wrong.startswith("tcp:") else opened(wrong) as client:
            headers = {"accept-version": "1.2", "host": "x", "login": "buyer", "passcode": SECRETS[place]}
            await client.send_frames(Frame("CONNECT", headers))
            answers.append(str(await client.expect("ERROR")))
    for frame in (
        Frame(SECRETS["unread frame"], {"passcode": SECRETS["unread frame"]}),
        Frame("SEND", {"destination": f"/pub/room/{room}/message"}, SECRETS["unread body"].encode()),
    ):
        async with connected(daemon.ws_url, None, login="buyer", passcode=passcode) as client:
            await client.send_frames(frame)
            answers.append(str(await client.expect("ERROR")))
    async with connected(daemon.ws_url, None, login="buyer", passcode=passcode) as client:
        answers.append(str(await client.subscribe(f"/sub/chat/room/{room}", since=SECRETS["header of a frame"])))
        await client.send_frames(Frame("SUBSCRIBE", {"destination": f"/sub/chat/room/{uuid4()}", "id": "none"}))
        answers.append(str(await client.expect("ERROR")))
    return answers


def ask(daemon: Daemon) -> list[str]:
    """The same over HTTP."""
    headers = {"Authorization": f"Bearer {SECRETS['authorization']}", "Cookie": f"session={in_url(SECRETS['cookie'])}"}
    inquiry = {"name": "kim", **{field: SECRETS[f"inquiry {field}"] for field in ("email", "phone", "message")}}
    with httpx.Client(base_url=daemon.url, headers=headers, trust_env=False, timeout=20) as client:
        assert client.post("/inquiry/upload", json=inquiry).text == "success"
        wait_until(lambda: bool(daemon.events("an inquiry could not be mailed")), "the mail was refused")
        query = {"token": SECRETS["query"]}
        answers = [
            client.post("/inquiry/upload", json=inquiry | {"email": SECRETS["refused inquiry"] + "\n"}),
            client.post("/inquiry/upload", content=SECRETS["refused inquiry"]),
            client.get("/nothing/here", params=query),
            client.put("/inquiry/upload", params=query),
            client.get("/chat/room/none", params=query | {"limit": SECRETS["query"]}, headers={"X-Auth-User": "buyer"}),
            client.get("/health/ready", params=query),
            client.get("/metrics", params=query),
            client.get("/chat/debug/sessions", params=query),
            client.get("/room/rooms", params=query),
            client.get("/openapi.json"),
        ]
    answers += asked_by_operators(daemon)
    parts = answers[5].json()["parts"]
    assert {name for name, part in parts.items() if part["status"] == "down"} == {"relay", "sessions", "mail"}
    return [f"{answer.status_code} {answer.headers} {answer.text}" for answer in answers]


def asked_by_operators(daemon: Daemon) -> list[httpx.Response]:
    """The same by an operator, well and badly."""
    answers = []
    for place in ("operator token", "wrong operator token"):
        headers = {"Authorization": f"Bearer {SECRETS[place]}"}
        with httpx.Client(base_url=f"{daemon.url}/operator", headers=headers, trust_env=False, timeout=20) as client:
            publication = {
                "destination": "/topic/x",
                "body": SECRETS["operator publication"],
                "headers": {"h": SECRETS["query"]},
            }
            answers += [
                client.get("/sessions"),
                client.post("/publish", json=publication),
                client.post("/publish", json=publication | {"destination": "/nowhere"}),
                client.post("/rooms/none/messages", json={"sender": "x", "content": SECRETS["operator message"]}),
                client.post("/rooms/none/messages", json={"content": SECRETS["operator message"]}),
            ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 404, 400, *[401] * 5]
    return answers


def commanded(daemon: Daemon) -> Iterator[str]:
    """What the operator's commands say."""
    for place in ("operator token", "wrong operator token"):
        yield str(daemon.command("sessions", "--url", daemon.url, STOMPGATE_OPERATOR__TOKEN=SECRETS[place]))


async def test_a_life_with_failures_shows_no_secret(launch: Launch, services: Services, sections: Sections) -> None:
    store = services.fresh_store_url()
    password = urlsplit(store).password
    assert password
    daemon = launch(sections, "--store", store)
    answers = [*await talk(daemon), *ask(daemon), *commanded(daemon)]
    daemon.signal(signal.SIGTERM)
    ended = daemon.wait()
    assert ended.code == 0, ended.errors
    everything = "\n".join([*answers, ended.output, ended.errors])
    assert "refused the login" in everything
    assert {event["event"] for event in daemon.log()} >= WRITTEN, "what is searched has every kind of line"
    assert shown(everything, SECRETS | {"the store's own": password}) == {}


def command(folder: Path, sections: Sections, *arguments: str) -> str:
    """What a command says that reads these settings."""
    config = folder / "settings.toml"
    config.write_text(as_toml(sections))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STOMPGATE_")}
    ended = subprocess.run(
        [sys.executable, "-m", "stompgate", arguments[0], "--config", str(config), *arguments[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    return f"{ended.returncode} {ended.stdout}{ended.stderr}"


def test_what_is_in_force_is_told_without_its_secrets(tmp_path: Path, sections: Sections) -> None:
    store = f"mysql://user:{in_url(SECRETS['store password'])}@127.0.0.1:1/x?token={in_url(SECRETS['query of a URL'])}"
    said = command(tmp_path, sections, "check-config", "--store", store)
    assert said.startswith("0 "), said
    assert "***" in said
    assert shown(said) == {}


URLS: Mapping[str, Sequence[str]] = {
    "store": ("mysql://user:{}@", "mysql://user:{}@host:port/x", "clay://user:{}@host", "mysql:{}"),
    "relay": ("kafka://user:{}@host", "{}", "kafka://user:{}@host:1?x={}"),
    "sessions": ("redis://user:{}@host:port", "rediss://:{}@host?nonsense={}"),
    "mail": ("smtp://user:{}@host:port", "smtp://{}@host", "log:{}"),
}


@pytest.mark.parametrize(("key", "url"), [(key, url) for key, urls in URLS.items() for url in urls])
def test_a_url_that_is_wrong_is_refused_without_its_secret(tmp_path: Path, sections: Sections, key: str, url: str) -> None:
    secret = in_url(SECRETS[f"{key} password"])
    given = {
        **{name: value for name, value in sections.items() if name in ("smtp", "kafka")},
        "store": f"sqlite:{tmp_path}/x.db",
    }
    said = command(tmp_path, {**given, key: url.replace("{}", secret)}, "serve", "--port", "0")
    assert said.startswith(("1 ", "2 ")), said
    assert shown(said) == {}


def test_a_store_that_refuses_the_password_is_named_without_it(tmp_path: Path, services: Services) -> None:
    parts = urlsplit(services.fresh_store_url())
    login = f"{parts.username}:{in_url(SECRETS['store password'])}"
    url = urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}"))
    said = command(tmp_path, {"store": url, "log": {"level": "debug"}}, "serve", "--port", "0")
    assert said.startswith("1 "), said
    assert "Access denied" in said
    assert shown(said) == {}
