"""Fixtures of pytest with real servers, and their logs in the report of a test that has failed.

They come by ``pytest_plugins = ["stompgate.testing"]`` in the conftest at the root of the tests.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .server import Server, Settings, running_server


@pytest.fixture(scope="session")
def stompgate_settings() -> Settings:
    """The settings of ``stompgate_server``: override this fixture to have others than the defaults."""
    return {}


@pytest.fixture(scope="session")
def stompgate_server(stompgate_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole run. Tests keep apart by rooms and destinations of their own, and leave it running."""
    with running_server(stompgate_settings, folder=tmp_path_factory.mktemp("stompgate")) as server:
        yield server


class Servers:
    """``stompgate_servers(settings, *options)`` starts one more; it may be stopped, killed and started again."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.started: list[Server] = []
        self._folder = folder
        self._stack = stack

    def __call__(self, settings: Settings | None = None, *options: str) -> Server:
        """Start a server that is the test's own."""
        folder = self._folder / f"stompgate-{len(self.started) + 1}"
        folder.mkdir()
        self.started.append(self._stack.enter_context(running_server(settings, *options, folder=folder)))
        return self.started[-1]


@pytest.fixture
def stompgate_servers(tmp_path: Path) -> Iterator[Servers]:
    """Starts servers for one test, each with data of its own."""
    with ExitStack() as stack:
        yield Servers(tmp_path, stack)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that has failed shows the end of the logs of its servers."""
    report = yield
    if report.failed:
        for server in _servers_of(item):
            report.sections.append((f"log of {server.url}, {server.folder}", server.log_text()))
    return report


def _servers_of(item: pytest.Item) -> Iterator[Server]:
    for value in getattr(item, "funcargs", {}).values():
        match value:
            case Server():
                yield value
            case Servers(started=started):
                yield from started
            case _:
                pass
