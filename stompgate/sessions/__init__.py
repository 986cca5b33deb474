"""Floor 4: presence. One adapter per place where it is kept, all under ``ports.sessions``."""
