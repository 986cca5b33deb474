"""Other programs at the database file: processes with a store of their own, and a connection that locks it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

DEADLINE_S = 30.0

HOLD = """
import asyncio, sys
from pathlib import Path
from stompgate.stores.sqlite import SqliteStore

async def hold():
    await SqliteStore(Path(sys.argv[1]), server_id="another").open()
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


@asynccontextmanager
async def another_process_with(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that has the database open, until it is killed at the end at the latest."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLD, str(path), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), DEADLINE_S) == b"open\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold SQLite's own write lock: writers wait for it as for a disk that hangs."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Read the file past the store."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - nothing else tells of a file that changes
            await asyncio.sleep(0.005)
