"""Floor 4: the listener and what comes in by it, down to the bytes on the wire. It knows frames only as bytes."""
