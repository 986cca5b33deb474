"""Fixtures that every folder of tests may use."""

from tests.daemon_process import daemon, launch

__all__ = ["daemon", "launch"]
