"""Every client library: it connects, sends, receives, acknowledges, is cut off and comes back, and leaves nothing behind.

One table of libraries, each a small script with the same calls. Where a library does not connect or subscribe again by itself,
its script does, as its users have to; the script says so.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.daemon_process import Daemon, launcher
from tests.proxy import Proxy
from tests.requirements import find_program, left_out, require_node_package
from tests.wire_client import connected

from .remote import Remote, remote
from .rooms import BUYER, HEADER_VALUES, HOSTILE_CONTENTS

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "libraries"
NODE, RUBY, PERL = "node", "ruby", "perl"
PLAIN_VALUE = "값 without signs that STOMP escapes"


@dataclass(frozen=True)
class Library:
    """A library: its script, what must be there for it, and what it is able to."""

    name: str
    script: str
    runs_on: str
    needs: str = ""
    """A package of npm, or what Ruby or Perl loads."""
    transports: tuple[str, ...] = ("ws",)
    ack: str = "client-individual"
    header: str = HEADER_VALUES["1.2"]
    """The most that a header value may carry which this library writes and reads again."""

    def command(self) -> tuple[list[str], Path]:
        """The command and its folder; the test is left out where something is missing."""
        match self.runs_on:
            case "node":
                return ["node", self.script], require_node_package(self.needs)
            case "python":
                return [sys.executable, "-W", "ignore", "-m", f"tests.clients.libraries.{self.script}"], ROOT
            case language:
                if find_program(language) is None or not _loads(language, self.needs):
                    left_out(f"{self.name} is not installed")
                return [language, str(SCRIPTS / self.script)], SCRIPTS


LIBRARIES = (
    Library("stompjs", "stompjs.mjs", NODE, "@stomp/tcp-wrapper", ("ws", "tcp")),
    Library("rx-stomp", "rx-stomp.mjs", NODE, "@stomp/rx-stomp"),
    Library("webstomp-client", "webstomp.mjs", NODE, "webstomp-client", header=PLAIN_VALUE),  # it escapes nothing
    Library("stompit", "stompit.mjs", NODE, "stompit", ("tcp",)),
    Library("stomp.py", "stomp_py_remote", "python", "", ("ws", "tcp")),
    Library("stompman", "stompman_remote", "python", "", ("ws", "tcp"), header=HEADER_VALUES["1.1"]),  # it drops each CR
    Library("ruby-stomp", "ruby_stomp.rb", RUBY, "stomp", ("tcp",)),
    Library("Net::Stomp", "net_stomp.pl", PERL, "Net::Stomp", ("tcp",), ack="client", header=HEADER_VALUES["1.0"]),
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all libraries; each has a queue of its own."""
    with launcher(tmp_path_factory.mktemp("libraries")) as launch:
        yield launch(None, "--tcp-port", "0")


@pytest.mark.parametrize(
    ("library", "transport"),
    [
        pytest.param(library, transport, id=f"{library.name} {transport}")
        for library in LIBRARIES
        for transport in library.transports
    ],
)
async def test_it_acknowledges_is_cut_off_and_comes_back(library: Library, transport: str, daemon: Daemon) -> None:
    command, folder = library.command()
    address = urlsplit(daemon.ws_url if transport == "ws" else daemon.tcp_url)
    assert address.port is not None
    queue = f"/queue/{library.script}-{transport}"
    first, second, *others = HOSTILE_CONTENTS
    async with Proxy("127.0.0.1", address.port) as way, remote(Remote, command, folder) as client:
        await client.connect(address._replace(netloc=f"127.0.0.1:{way.port}").geturl(), BUYER)
        headers = {"ack": library.ack, "prefetch-count": "1"}
        await client.call("subscribe", destination=queue, headers=headers)
        for content in HOSTILE_CONTENTS:
            await client.call("send", destination=queue, body=content, headers={"of-mine": library.header})

        (message,) = await client.has("message")  # it is allowed no second one before it has acknowledged the first
        assert (message["body"], message["headers"]["of-mine"]) == (first, library.header)
        assert "redelivered" not in message["headers"]
        await client.call("ack")
        assert (await client.has("message", 2))[-1]["body"] == second

        way.cut()
        again = (await client.has("message", 3))[-1]
        assert (again["body"], again["headers"]["redelivered"]) == (second, "true")
        for number, content in enumerate(others, 4):
            await client.call("ack")
            assert (await client.has("message", number))[-1]["body"] == content
        await client.call("ack")
        await client.call("leave")
        assert client.seen("error") == []
        assert way.connections > 1
    async with connected(daemon.tcp_url) as nobody_else:
        await nobody_else.subscribe(queue)
        await nobody_else.send(queue, "the end")
        assert (await nobody_else.expect("MESSAGE")).body == b"the end"


def _loads(language: str, package: str) -> bool:
    """Whether Ruby or Perl finds this package."""
    command = ["ruby", "-e", f"require '{package}'"] if language == RUBY else ["perl", f"-M{package}", "-e", "1"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
