"""Floor 6: a small STOMP client for asyncio, over WebSocket or TCP.

``connect`` gives one connection, which ends when it is lost. ``ChatClient`` comes back by itself: it goes on in each room
where it was, sends again what was not answered, and says so where something could not be recovered.
"""

from .chat import ChatClient
from .connection import Connection, connect
from .failures import ConnectionLost, Failure, NoAnswer, Refused
from .following import Following
from .messages import Joined, Message
from .options import Options
from .subscription import Subscription

__all__ = [
    "ChatClient",
    "Connection",
    "ConnectionLost",
    "Failure",
    "Following",
    "Joined",
    "Message",
    "NoAnswer",
    "Options",
    "Refused",
    "Subscription",
    "connect",
]
