"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_process import daemon, launch, shared_daemon
from tests.deploy.dist import dist
from tests.services import Services

__all__ = ["daemon", "dist", "launch", "services", "shared_daemon"]

_LONGEST = (
    "tests/torture/",
    "tests/daemon/test_outages",
    "tests/deploy/test_pages",
    "tests/daemon/test_drain",
    "tests/daemon/test_life",
    "tests/daemon/test_rolling_restart",
    "tests/deploy/",
    "tests/relays/",
    "tests/daemon/",
    "tests/clients/",
    "tests/examples/",
)


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The real servers of this run, each started when a test first asks for it."""
    folder = Path(tempfile.mkdtemp(prefix="stompgate-services-"))
    folder.chmod(0o711)  # MariaDB may run as a user of its own, who has to get there
    services = Services(folder)
    try:
        yield services
    finally:
        services.end()
        shutil.rmtree(folder)


def pytest_configure() -> None:
    """Whoever runs these in the background has signals ignored, and so would all that tests start, and end by these signals."""
    for name in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(name) is signal.SIG_IGN:
            signal.signal(name, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first, so that no worker is still at it when the others have nothing left to do."""
    items.sort(key=lambda item: next((at for at, part in enumerate(_LONGEST) if part in item.nodeid), len(_LONGEST)))
