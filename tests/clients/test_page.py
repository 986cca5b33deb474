"""The page in headless Chromium: two people chat on it, reload, lose the server and get it back.

Set STOMPGATE_SCREENSHOTS to a folder to keep pictures of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.async_api import Browser, Page, Request, ViewportSize, WebSocketRoute, expect

from tests.daemon_process import DEADLINE_S, Daemon
from tests.wire_client import connected, make_room

from .rooms import BUYER, HOSTILE_CONTENTS, SELLER, chat_body, history, intake_of

DESKTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=360, height=740)
FINGER_PX = 40
WAIT_MS = DEADLINE_S * 1000
MESSAGES = "#log .bubble:not(.pending):not(.failed) .words"


class Person:
    """Someone with the page open. Whatever the page loads, and each trouble in its console, is written down."""

    def __init__(self, page: Page, daemon: Daemon, name: str) -> None:
        self.page, self.daemon, self.name = page, daemon, name
        self.requests: list[str] = []
        self.troubles: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("request", self._requested)
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("dialog", lambda dialog: self.troubles.append(f"dialog: {dialog.message}"))

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    async def open(self, **query: str) -> None:
        """Open the page as this user; wait until it is connected."""
        await self.page.goto(f"{self.daemon.url}/test/?{urlencode({'user': self.name, **query})}")
        await self.is_online()

    async def is_online(self) -> None:
        await expect(self.page.locator("#connection")).to_have_attribute("data-state", "online", timeout=WAIT_MS)

    async def enter(self, other: str) -> None:
        """Choose the room with someone."""
        await self.page.locator("#refresh").click()
        await self.page.locator(".room-item", has_text=other).click()

    async def say(self, *contents: str) -> None:
        for content in contents:
            await self.page.locator("#content").fill(content)
            await self.page.locator("#content").press("Enter")

    async def sees(self, contents: Sequence[str]) -> None:
        """Wait until the conversation shows exactly this, in this order."""
        await expect(self.page.locator(MESSAGES)).to_have_count(len(contents), timeout=WAIT_MS)
        shown = await self.page.locator(MESSAGES).evaluate_all("words => words.map(word => word.lastChild.textContent)")
        assert shown == list(contents)

    async def picture(self, name: str) -> None:
        if folder := os.environ.get("STOMPGATE_SCREENSHOTS"):
            await self.page.screenshot(path=Path(folder) / f"{name}.png")


NewPerson = Callable[..., Awaitable[Person]]


@pytest.fixture
async def new_person(browser: Browser, daemon: Daemon) -> AsyncIterator[NewPerson]:
    """Make someone by ``await new_person(name, viewport)``. In the end nobody had trouble, or loaded from elsewhere."""
    people: list[Person] = []

    async def make(name: str, viewport: ViewportSize = DESKTOP, **options: object) -> Person:
        context = await browser.new_context(viewport=viewport, **{"locale": "en-GB", **options})  # type: ignore[arg-type]
        people.append(Person(await context.new_page(), daemon, name))
        return people[-1]

    yield make
    for person in people:
        assert person.troubles == []
        assert person.requests
        assert {urlsplit(url).netloc for url in person.requests} == {urlsplit(daemon.url).netloc}


async def test_two_chat_reload_and_outlive_a_crash(daemon: Daemon, new_person: NewPerson) -> None:
    buyer, seller = await new_person(BUYER, DESKTOP), await new_person(SELLER, PHONE, has_touch=True, is_mobile=True)
    await buyer.open()
    await seller.open()
    await buyer.picture("desktop-empty")
    await buyer.page.locator("#seller").fill(SELLER)
    await buyer.page.locator("#product").fill("<b>Bicycle</b> 자전거")
    await buyer.page.locator("#create button").click()
    await expect(buyer.page.locator("#talk-product")).to_have_text("<b>Bicycle</b> 자전거")
    await seller.enter(BUYER)

    said: list[str] = []
    for content in HOSTILE_CONTENTS:
        as_typed = content.replace("\r\n", "\n")
        for person in (buyer, seller):
            await person.say(as_typed)
            said.append(as_typed)
            await buyer.sees(said)
            await seller.sees(said)
    for person in (buyer, seller):
        assert await person.page.locator("#log img, #log script, #room b").count() == 0
    await buyer.picture("desktop-talk")
    await seller.picture("phone-talk")

    await buyer.page.reload()
    await buyer.is_online()
    await buyer.sees(said)

    await asyncio.to_thread(daemon.kill)
    for person in (buyer, seller):
        await expect(person.page.locator("#connection")).not_to_have_attribute("data-state", "online", timeout=WAIT_MS)
    await buyer.say("while the server was away")
    await buyer.picture("desktop-offline")
    await seller.picture("phone-offline")
    await asyncio.to_thread(daemon.start_again)
    for person in (buyer, seller):
        await person.is_online()
        await expect(person.page.locator("#connection-text")).to_contain_text("Connected again", timeout=WAIT_MS)
    said.append("while the server was away")
    await seller.sees(said)
    await seller.say("and I am back as well")
    said.append("and I am back as well")
    for person in (buyer, seller):
        await person.sees(said)
    room = str(await buyer.page.evaluate("new URLSearchParams(location.search).get('room')"))
    assert [message["content"] for message in await history(daemon, room)] == said


async def test_a_message_whose_receipt_was_lost_is_there_once(daemon: Daemon, new_person: NewPerson) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    person = await new_person(BUYER)
    connections = sent = 0

    def between(page_side: WebSocketRoute) -> None:
        nonlocal connections
        connections += 1
        server_side = page_side.connect_to_server()
        is_deaf = False

        def from_page(message: str | bytes) -> None:
            nonlocal sent, is_deaf
            if str(message).startswith("SEND"):
                sent += 1
                is_deaf = sent == 1
            server_side.send(message)

        async def from_server(message: str | bytes) -> None:
            if not is_deaf:
                page_side.send(message)
            elif str(message).startswith("RECEIPT"):  # it is stored, and the page will never hear of it here
                await page_side.close()

        page_side.on_message(from_page)
        server_side.on_message(from_server)

    await person.page.route_web_socket("**/ws-stomp", between)
    await person.open(room=room)
    await expect(person.page.locator("#beginning")).to_be_visible()
    await person.say("said once")
    await person.sees(["said once"])
    await person.is_online()
    await person.say("and on")
    await person.sees(["said once", "and on"])
    assert connections == 2
    await expect(person.page.locator("#log .pending, #log .failed")).to_have_count(0)
    assert [message["content"] for message in await history(daemon, room)] == ["said once", "and on"]


async def test_what_was_missed_comes_by_recovery_and_is_announced(daemon: Daemon, new_person: NewPerson) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    person = await new_person(BUYER)
    sockets: list[WebSocketRoute] = []
    is_away = False

    def through_here(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        if is_away:
            asyncio.ensure_future(socket.close())  # noqa: RUF006 (it ends with the page)
        else:
            socket.connect_to_server()

    await person.page.route_web_socket("**/ws-stomp", through_here)
    await person.open(room=room)
    said = ["before"]
    async with connected(daemon.ws_url, SELLER) as seller:
        await seller.send(intake_of(room), chat_body(room, SELLER, "before"))
        await person.sees(said)
        is_away = True
        await sockets[-1].close()
        await expect(person.page.locator("#connection")).not_to_have_attribute("data-state", "online", timeout=WAIT_MS)
        for content in ("one", "two", "three"):
            said.append(content)
            await seller.send(intake_of(room), chat_body(room, SELLER, content))
    read_before = [url for url in person.requests if "/chat/room/" in url]
    is_away = False
    await person.sees(said)
    await expect(person.page.locator("#connection-text")).to_have_text("Connected again · 3 caught up", timeout=WAIT_MS)
    assert [url for url in person.requests if "/chat/room/" in url] == read_before
    await person.picture("desktop-recovered")


async def test_older_pages_come_by_scrolling(daemon: Daemon, new_person: NewPerson) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    contents = [f"message {number} 메시지" for number in range(130)]
    async with connected(daemon.ws_url, BUYER) as sender:
        for content in contents:
            await sender.send(intake_of(room), chat_body(room, BUYER, content))
    reader = await new_person(SELLER)
    await reader.open(room=room)
    await reader.sees(contents[-40:])
    while await reader.page.locator("#beginning").is_hidden():
        before = await reader.page.locator(MESSAGES).count()
        await reader.page.locator("#scroll").evaluate("scroll => scroll.scrollTop = 0")
        await expect(reader.page.locator(MESSAGES)).not_to_have_count(before, timeout=WAIT_MS)
        assert await reader.page.locator("#scroll").evaluate("scroll => scroll.scrollTop") > 0, "the place was lost"
    await reader.sees(contents)


async def test_it_speaks_korean_and_english(new_person: NewPerson) -> None:
    person = await new_person(BUYER, PHONE, locale="ko-KR", color_scheme="dark")
    await person.open()
    await expect(person.page.locator("#connection-text")).to_have_text("연결됨")
    await person.picture("phone-dark-korean")
    await person.page.locator("#language").select_option("en")
    await expect(person.page.locator("#connection-text")).to_have_text("Connected")
    await person.page.reload()
    await expect(person.page.locator("#rooms-title")).to_have_text("Rooms")
    assert await person.page.evaluate("document.documentElement.lang") == "en"


async def test_it_asks_who_one_is_and_remembers(daemon: Daemon, new_person: NewPerson) -> None:
    person = await new_person(BUYER, color_scheme="dark")
    await person.page.goto(f"{daemon.url}/test/")
    await expect(person.page.locator("#who")).to_be_visible()
    await person.picture("desktop-dark-who")
    await person.page.locator("#who-user").fill(BUYER)
    await person.page.locator("#who-form button").click()
    await person.is_online()
    await person.page.reload()
    await person.is_online()
    await expect(person.page.locator("#my-name")).to_have_text(BUYER)


async def test_nothing_is_wider_than_a_phone(daemon: Daemon, new_person: NewPerson) -> None:
    room = await make_room(daemon.url, BUYER, SELLER, "a very long product name " * 8)
    person = await new_person(BUYER, PHONE, color_scheme="dark")
    await person.open(room=room)
    await person.say("x" * 300, "https://example.org/" + "long/" * 60, "한글" * 100)
    await expect(person.page.locator(MESSAGES)).to_have_count(3, timeout=WAIT_MS)
    await person.picture("phone-dark-long")
    back = await person.page.locator("#back").bounding_box()
    assert back is not None
    assert back["width"] >= FINGER_PX
    assert await person.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert await person.page.locator("#scroll").evaluate("scroll => scroll.scrollWidth - scroll.clientWidth") == 0


async def test_the_newest_message_stays_in_sight_when_a_keyboard_takes_half_the_phone(
    daemon: Daemon, new_person: NewPerson
) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    person = await new_person(BUYER, PHONE)
    await person.open(room=room)
    await person.say(*(f"message {number}" for number in range(9)), "the newest")
    await expect(person.page.locator(MESSAGES)).to_have_count(10, timeout=WAIT_MS)
    await person.page.set_viewport_size(ViewportSize(width=PHONE["width"], height=PHONE["height"] // 2))
    await expect(person.page.locator(MESSAGES).last).to_be_in_viewport(ratio=1, timeout=WAIT_MS)


@pytest.mark.parametrize("way", ["sockjs-websocket", "sockjs-xhr-streaming", "sockjs-xhr-polling"])
async def test_it_chats_by_sockjs_as_well(daemon: Daemon, new_person: NewPerson, way: str) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    buyer, seller = await new_person(BUYER), await new_person(SELLER)
    await buyer.open(room=room, transport=way)
    await seller.open(room=room)
    await seller.page.locator("#transport").select_option(way)
    await seller.is_online()
    said = [f"{person.name} says {number}" for number in range(3) for person in (buyer, seller)]
    for number, content in enumerate(said, 1):
        await (buyer if content.startswith(BUYER) else seller).say(content)
        for person in (buyer, seller):
            await person.sees(said[:number])
    await asyncio.to_thread(daemon.kill)
    await expect(buyer.page.locator("#connection")).not_to_have_attribute("data-state", "online", timeout=WAIT_MS)
    await asyncio.to_thread(daemon.start_again)
    for person in (buyer, seller):
        await person.is_online()
        await expect(person.page.locator("#connection-text")).to_contain_text("Connected again", timeout=WAIT_MS)
    await buyer.say("back")
    await seller.sees([*said, "back"])
    name = {"sockjs-websocket": "/websocket", "sockjs-xhr-streaming": "/xhr_streaming", "sockjs-xhr-polling": "/xhr"}[way]
    for person in (buyer, seller):
        assert any(urlsplit(url).path.endswith(name) for url in person.requests)
