"""Fixtures that every folder of tests may use."""

from tests.daemon_process import daemon, launch, shared_daemon

__all__ = ["daemon", "launch", "shared_daemon"]
