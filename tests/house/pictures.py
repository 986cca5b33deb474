"""Takes the picture of the page for the README: ``python -m tests.house.pictures``. Needs Chromium.

Two people talk on a real daemon, one at a desk and one on a phone, and the two pages are put on one picture. Letters are
those of the machine's fonts, so that the picture is not the same byte for byte everywhere.
"""

from __future__ import annotations

import asyncio
import tempfile
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlencode

from playwright.async_api import Browser, Page, async_playwright

from tests.clients.conftest import CHROMIUM
from tests.daemon_process import Daemon, launcher
from tests.requirements import require_program

CHAT = Path(__file__).parents[2] / "docs" / "pictures" / "chat.png"
BUYER, SELLER, PRODUCT = "alice", "bob", "Road bicycle, 54 cm"
OTHERS = (("eve", "Oak bookshelf, 180 cm"), ("sam", "Desk lamp"))
SAID = (
    (BUYER, "Hello! Is the bicycle still for sale?"),
    (SELLER, "Hi, yes it is."),
    (SELLER, "New chain and brakes this spring."),
    (BUYER, "Good! May I see it on Saturday?"),
    (SELLER, "Saturday at ten, at the station?"),
    (BUYER, "Perfect, see you there!"),
)
DESK_WIDTH, PHONE_WIDTH, HEIGHT, GAP, SHARPNESS = 920, 340, 640, 20, 1.25
TOGETHER = """<body style="margin: 0; display: flex; justify-content: space-between">
<style>img {{ height: 100vh; outline: 1px solid #c9cfdd; outline-offset: -1px; border-radius: 12px }}</style>
<img src="data:image/png;base64,{desk}"><img src="data:image/png;base64,{phone}">"""


async def take(daemon: Daemon) -> None:
    """Let them talk, and write the picture."""
    async with async_playwright() as playwright:
        path = require_program("chromium", "chromium-browser", "google-chrome")
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        desk = await _opened(browser, daemon, BUYER, DESK_WIDTH)
        for seller, product in (*OTHERS, (SELLER, PRODUCT)):
            await desk.fill("#seller", seller)
            await desk.fill("#product", product)
            await desk.click("#create button")
            await desk.locator(f"#talk-product:text-is('{product}')").wait_for()
        phone = await _opened(browser, daemon, SELLER, PHONE_WIDTH)
        await phone.click(".room-item")
        await desk.mouse.move(0, 0)
        pages = {BUYER: desk, SELLER: phone}
        for name, content in SAID:
            await pages[name].fill("#content", content)
            await pages[name].press("#content", "Enter")
            for page in pages.values():  # each has seen it before the next is written
                await page.locator(".bubble:not(.pending) .words", has_text=content).wait_for()
                await page.evaluate("document.activeElement.blur()")
        shots = {name: b64encode(await page.screenshot()).decode() for name, page in pages.items()}
        together = await _page(browser, DESK_WIDTH + GAP + PHONE_WIDTH)
        await together.set_content(TOGETHER.format(desk=shots[BUYER], phone=shots[SELLER]))
        await together.screenshot(path=CHAT, omit_background=True)
        await browser.close()


async def _opened(browser: Browser, daemon: Daemon, name: str, width: int) -> Page:
    page = await _page(browser, width)
    await page.goto(f"{daemon.url}/test/?{urlencode({'user': name})}")
    await page.locator("#connection[data-state=online]").wait_for()
    return page


async def _page(browser: Browser, width: int) -> Page:
    return await browser.new_page(
        viewport={"width": width, "height": HEIGHT}, device_scale_factor=SHARPNESS, locale="en-GB", color_scheme="light"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, launcher(Path(folder)) as launch:
        asyncio.run(take(launch()))
