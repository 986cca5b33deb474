"""Floor 4: where the messages of queues wait when they are not in the store."""
