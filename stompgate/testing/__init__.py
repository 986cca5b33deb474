"""Floor 6: a real server for the tests of a client, in a process of its own.

``running_server`` needs nothing but stompgate; ``pytest_plugins = ["stompgate.testing"]`` in a conftest gives the fixtures.
"""

from .server import DidNotStart, Server, Settings, running_server

__all__ = ["DidNotStart", "Server", "Settings", "running_server"]

# pytest reads this of a plugin; so only who has pytest imports it.
pytest_plugins = ("stompgate.testing.fixtures",)
