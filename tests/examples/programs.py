"""The programs of ``examples/`` as their readers start them: in a process of its own each, or in a page of a browser."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from playwright.async_api import Browser, Page

from tests.daemon_process import DEADLINE_S
from tests.waiting import until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PYTHON = {**os.environ, "PYTHONPATH": str(ROOT)}
"""So that a program finds the code that stands here, wherever it is run."""


class Program(Protocol):
    """An example that runs."""

    async def lines(self) -> list[str]:
        """All that it has shown so far."""

    async def type(self, line: str) -> None:
        """Type a line and send it."""


class InProcess:
    """One in a terminal."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: list[str] = []

    async def lines(self) -> list[str]:
        """All that it has printed so far."""
        return self.said

    async def type(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def read(self) -> None:
        """Take in what it prints, to its end."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode().rstrip("\n"))


@asynccontextmanager
async def started(*command: str, folder: Path) -> AsyncIterator[InProcess]:
    """A program that is ended when it was looked at."""
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=PYTHON, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    program = InProcess(process)
    reading = asyncio.create_task(program.read())
    try:
        yield program
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()
            await reading


def python(name: str) -> tuple[str, str]:
    """The command of an example in Python."""
    return sys.executable, str(EXAMPLES / "python" / name)


class InPage:
    """One in a browser."""

    def __init__(self, page: Page, shown: str) -> None:
        self.page = page
        self._shown = shown

    async def lines(self) -> list[str]:
        """All that its page shows."""
        return [line for text in await self.page.locator(self._shown).all_text_contents() for line in text.splitlines()]

    async def type(self, line: str) -> None:
        """Type a line and send it."""
        await self.page.locator("#content").fill(line)
        await self.page.locator("#content").press("Enter")


@asynccontextmanager
async def opened(browser: Browser, url: str, shown: str, **query: str) -> AsyncIterator[InPage]:
    """A page of the examples. Nothing in it may fail."""
    page = await browser.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    await page.goto(f"{url}?{urlencode(query)}")
    yield InPage(page, shown)
    assert troubles == []
    await page.close()


def with_packages(node_folder: Path, folder: Path) -> Path:
    """A copy of the examples in JavaScript with what `npm install` would bring."""
    copy = folder / "javascript"
    shutil.copytree(EXAMPLES / "javascript", copy)
    (copy / "node_modules").symlink_to(node_folder / "node_modules")
    return copy


async def shows(program: Program, line: str, times: int = 1) -> None:
    """Wait until it shows a line so often."""
    found: list[str] = []

    async def is_there() -> bool:
        found[:] = await program.lines()
        return found.count(line) >= times

    try:
        await until(is_there, "", DEADLINE_S, every_s=0.05)
    except AssertionError:
        raise AssertionError(f"{line!r} is not {times} times in {found}") from None
