"""Client libraries in processes of their own, told what to do line by line; how they answer stands in tests/node/remote.mjs."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.daemon_process import DEADLINE_S

LINE_LIMIT_BYTES = 1024 * 1024


class Remote:
    """One process with one client."""

    def __init__(self, process: Process) -> None:
        self.events: list[dict[str, Any]] = []
        self.user = ""
        self._process = process
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._changed = asyncio.Event()

    async def call(self, name: str, **args: Any) -> Any:
        """Call a function of the script; return what it answers."""
        number = len(self._answers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "name": name, "args": args}).encode() + b"\n")
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await answer
        except TimeoutError:
            pytest.fail(f"{self.user}: no answer to {name}: {self.events[-5:]}")

    async def connect(self, url: str, user: str, **options: Any) -> None:
        """Connect the client and wait until it is."""
        self.user = user
        await self.call("connect", url=url, user=user, **options)
        await self.has("connected")

    async def has(self, event: str, number: int = 1) -> list[dict[str, Any]]:
        """Wait for so many events of a name in all; return them."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while len(found := self.seen(event)) < number:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"{self.user} has {len(found)} of {number} {event}: {self.events[-5:]}")
        return found

    def seen(self, event: str) -> list[dict[str, Any]]:
        """The events of a name so far."""
        return [seen for seen in self.events if seen["event"] == event]

    async def read(self) -> None:
        """Take in what the process says, to its end."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "id" not in said:
                self.events.append(said)
                self._changed.set()
            elif "error" in said:
                self._answers[said["id"]].set_exception(AssertionError(said["error"]))
            else:
                self._answers[said["id"]].set_result(said["result"])


AnyRemote = TypeVar("AnyRemote", bound=Remote)


@asynccontextmanager
async def remote(kind: type[AnyRemote], command: Sequence[str], folder: Path) -> AsyncIterator[AnyRemote]:
    """A client that is not connected yet. Its process ends when its standard input does."""
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdin=PIPE, stdout=PIPE, limit=LINE_LIMIT_BYTES)
    client = kind(process)
    reading = asyncio.create_task(client.read())
    try:
        yield client
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await process.wait()
                await reading
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
