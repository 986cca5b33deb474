"""Floor 1: STOMP 1.0, 1.1 and 1.2. Bytes in, frames out, and back. Nothing here does I/O, reads a clock or writes a log."""
