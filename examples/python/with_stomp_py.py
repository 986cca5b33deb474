"""python with_stomp_py.py localhost 61613 LOGIN PASSCODE: stomp.py over TCP, nothing in it is of stompgate."""

import sys
import threading

import stomp

host, port, login, passcode = sys.argv[1:]
came = threading.Event()


class Listener(stomp.ConnectionListener):
    def on_message(self, frame):
        print(frame.body, flush=True)
        came.set()

    def on_error(self, frame):
        print(f"{frame.headers.get('code')}: {frame.body}", file=sys.stderr)


connection = stomp.Connection12([(host, int(port))], heartbeats=(10_000, 10_000))
connection.set_listener("", Listener())
connection.connect(login, passcode, wait=True)
connection.subscribe("/topic/news", id="1")
connection.send("/topic/news", "hello from stomp.py")
came.wait(10)
connection.disconnect()
