"""SockJS 0.3.3, the server's side, as values and arithmetic: no I/O, no clock. It knows nothing of what the messages mean."""
