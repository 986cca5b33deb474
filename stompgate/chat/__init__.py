"""Floor 2: the chat service: rooms, the way of a message into the store and out to its room, recovery, inquiries."""
