"""sockjs-client 1.6.1 under @stomp/stompjs 7 and stompjs 2.3.3, by each transport that it offers, in Node and in Chromium from
a page on another port: a room is followed and written to, the connection is cut, and nothing is missed or comes twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from playwright.async_api import Browser, Page

from tests.daemon_process import DEADLINE_S, Daemon, launcher
from tests.proxy import Proxy
from tests.requirements import require_node_package
from tests.waiting import until
from tests.wire_client import connected, make_room

from .remote import Remote, remote
from .rooms import BUYER, HOSTILE_CONTENTS, SELLER, chat_body, intake_of, subscription_of
from .test_stompjs_2 import served

BEAT_MS = 2000
"""The only sign that a cut leaves to some: a page that has not come to its end fires no event."""

LIBRARIES = ("stompjs 7", "stompjs 2")
IN_NODE = ("websocket", "xhr-streaming", "eventsource", "xhr-polling")
IN_CHROMIUM = (
    "websocket",
    "xhr-streaming",
    "eventsource",
    "iframe-eventsource",
    "iframe-htmlfile",
    "xhr-polling",
    "iframe-xhr-polling",
    "jsonp-polling",
)


class Client(Protocol):
    """A chat client somewhere."""

    events: list[dict[str, Any]]

    async def call(self, name: str, **args: Any) -> Any:
        """Call one of its functions."""

    async def has(self, event: str, number: int = 1) -> list[dict[str, Any]]:
        """Wait for so many events of a name in all."""


class InPage:
    """A client in a page of a browser."""

    def __init__(self, page: Page) -> None:
        self.events: list[dict[str, Any]] = []
        self._page = page
        self._changed = asyncio.Event()

    async def open(self, url: str) -> None:
        """Load the page."""
        await self._page.expose_function("say", self._said)
        await self._page.goto(url)
        await self._page.wait_for_selector("html[data-ready=yes]", state="attached")

    def _said(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._changed.set()

    async def call(self, name: str, **args: Any) -> Any:
        """Call a function of the page, or of its client."""
        if name == "connect":
            return await self._page.evaluate("options => connect(options)", args)
        values = list(args.values())
        return await self._page.evaluate("([name, values]) => Promise.resolve(client[name](...values))", [name, values])

    async def has(self, event: str, number: int = 1) -> list[dict[str, Any]]:
        """Wait for so many events of a name in all; return them."""
        found: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(DEADLINE_S):
                while len(found := [seen for seen in self.events if seen["event"] == event]) < number:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"{len(found)} of {number} {event}: {self.events[-5:]}")
        return found


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    """The pages of the clients, on a port of their own; gives their origin."""
    folder = require_node_package("sockjs-client")
    require_node_package("stompjs")
    with served(folder) as origin:
        yield origin


@pytest.fixture(scope="module")
def daemon(pages: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that the pages may connect to."""
    settings = {
        "stomp": {"heart_beat_send_ms": BEAT_MS, "heart_beat_receive_ms": BEAT_MS},
        "listen": {"allowed_origins": [pages, "same-origin"]},
        "sockjs": {"client_url": f"{pages}/node_modules/sockjs-client/dist/sockjs.js", "disconnect_delay_s": 1.0},
    }
    with launcher(tmp_path_factory.mktemp("sockjs")) as launch:
        yield launch(settings)


@asynccontextmanager
async def cuttable(daemon: Daemon) -> AsyncIterator[Proxy]:
    """A way to the daemon that can be cut."""
    async with Proxy("127.0.0.1", daemon.port) as proxy:
        yield proxy


async def cut_off(proxy: Proxy, client: Client, number: int) -> None:
    """Cut what there is until the client notices, for the so-many-th time: between two polls there may be nothing to cut."""

    def is_noticed() -> bool:
        proxy.cut()
        closed = [event for event in client.events if event["event"] == "closed"]
        return len(closed) >= number

    await until(is_noticed, "the client notices that it is cut off", DEADLINE_S)


async def check_chat(daemon: Daemon, proxy: Proxy, client: Client, library: str, transport: str) -> None:
    """Follow a room, write to it, be cut off twice, and come back."""
    room = await make_room(daemon.url, BUYER, SELLER)
    url = f"http://127.0.0.1:{proxy.port}/ws-stomp"
    said: list[str] = []
    async with connected(daemon.ws_url, BUYER) as buyer:
        await client.call("connect", library=library, url=url, transport=transport, user=SELLER)
        await client.has("connected")
        await client.call("follow", destination=subscription_of(room))
        await client.has("receipt")
        for cut in range(2):
            for content in HOSTILE_CONTENTS:
                await buyer.send(intake_of(room), chat_body(room, BUYER, content))
            body = chat_body(room, SELLER, f"after cut {cut}")
            await client.has("message", len(said) + len(HOSTILE_CONTENTS))
            await client.call("send", destination=intake_of(room), body=body, headers={"receipt": f"sent {cut}"})
            said += [*HOSTILE_CONTENTS, f"after cut {cut}"]
            await client.has("message", len(said))
            await cut_off(proxy, client, cut + 1)
            for number in range(5):
                await buyer.send(intake_of(room), chat_body(room, BUYER, f"{cut}.{number}"))
            said += [f"{cut}.{number}" for number in range(5)]
            await client.has("connected", cut + 2)
            await client.has("message", len(said))
        messages = await client.has("message", len(said))
        assert [json.loads(message["body"])["content"] for message in messages] == said
        receipts = [receipt["headers"] for receipt in await client.has("receipt", 5)]
        assert [headers["recovered"] for headers in receipts if "recovered" in headers][-2:] == ["true", "true"]
        assert {"sent 0", "sent 1"} < {headers["receipt-id"] for headers in receipts}
        assert not [event for event in client.events if event["event"] == "error"]
        await client.call("leave")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("transport", IN_NODE)
async def test_in_node(daemon: Daemon, library: str, transport: str) -> None:
    folder = require_node_package("sockjs-client")
    async with cuttable(daemon) as proxy, remote(Remote, ["node", "sockjs.mjs"], folder) as client:
        await check_chat(daemon, proxy, client, library, transport)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("transport", IN_CHROMIUM)
async def test_in_chromium(browser: Browser, pages: str, daemon: Daemon, library: str, transport: str) -> None:
    page = await browser.new_page()
    client = InPage(page)
    async with cuttable(daemon) as proxy:
        await client.open(f"{pages}/sockjs.html")
        await check_chat(daemon, proxy, client, library, transport)
        await page.close()
