pytest_plugins = ["stompgate.testing"]
