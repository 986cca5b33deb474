"""Floor 6: a real server for the tests of a client, in a process of its own.

``running_server`` needs nothing but stompgate; ``pytest_plugins = ["stompgate.testing"]`` in a conftest gives the fixtures.
PYTEST_DONT_REWRITE: that conftest may have imported this before pytest does, which would warn of it.
"""

from .server import DidNotStart, Server, Settings, running_server

__all__ = ["DidNotStart", "Server", "Settings", "running_server"]

# pytest reads this of a plugin; so only who has pytest imports it.
pytest_plugins = ("stompgate.testing.fixtures",)
