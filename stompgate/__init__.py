"""stompgate: a standalone STOMP broker daemon for chat."""

__version__ = "0.1.0"
